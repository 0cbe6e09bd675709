"""Enhancers as functions of rows, as Hugging Face's datasets and Ray Data call them."""

import pickle

import numpy as np
import pytest
import soundfile as sf
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.utils.errors import InputError
from tests.helpers.recipes import REPOSITORY, SAMPLES

NOISY = SAMPLES / "demo" / "noisy_0dB.flac"


@pytest.fixture(scope="module", params=["convtasnet-16k", "bandrnn-16k"])
def enhancer(request):
    enhancer = BloomEnhancer.from_hparams(source=request.param, run_opts={"device": "cpu"})
    enhancer.blocks = 1
    return enhancer


@pytest.fixture(scope="module")
def samples():
    return sf.read(NOISY, dtype="float32")[0]


def test_an_array_is_enhanced_as_its_file(enhancer, samples, tmp_path):
    stereo = np.stack([samples, samples[::-1]], axis=1)[: 3 * 16000]
    for signal, rate in ((samples, 16000), (stereo, 48000)):
        sf.write(tmp_path / "in.wav", signal, rate, "FLOAT")
        expected = enhancer.enhance_file(tmp_path / "in.wav").numpy()
        np.testing.assert_allclose(enhancer.enhance_array(signal.T, rate).T, expected, atol=1e-6)


def test_a_pickled_one_gives_the_same_at_the_same_depth(enhancer, samples):
    expected = enhancer.enhance_array(samples[:8000], 16000)  # caches of streams are filled
    again = pickle.loads(pickle.dumps(enhancer))
    assert again.blocks == 1
    np.testing.assert_array_equal(again.enhance_array(samples[:8000], 16000), expected)


@pytest.mark.parametrize("kind", ["row", "batch"])
def test_columns_of_hugging_face(enhancer, samples, kind):
    audio = {"array": samples[:8000].tolist(), "sampling_rate": 16000, "path": "a.wav"}
    rows = {"audio": audio, "text": "a"}
    if kind == "batch":
        rows = {"audio": [audio, audio], "text": ["a", "b"]}
    result = enhancer(rows)
    assert result["text"] == rows["text"]
    found = result["audio"] if kind == "row" else result["audio"][1]
    np.testing.assert_array_equal(found["array"], enhancer.enhance_array(samples[:8000], 16000))


@pytest.mark.parametrize("lengths", [(8000, 8000), (8000, 6000)])
def test_columns_of_ray(enhancer, samples, lengths):
    column = np.empty(2, dtype=object)
    column[:] = [samples[None, :length] for length in lengths]
    result = enhancer({"amplitude": column, "sample_rate": np.array([16000, 16000])})
    assert [signal.shape for signal in result["amplitude"]] == [(1, length) for length in lengths]
    expected = enhancer.enhance_array(samples[: lengths[1]], 16000)
    np.testing.assert_array_equal(result["amplitude"][1][0], expected)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"text": "a"}, "columns text, but must have audio"),
        ({"audio": "a.wav"}, "audio is str, but must have array and sampling_rate"),
        ({"amplitude": np.zeros((1, 1, 9)), "sample_rate": 16000}, r"the samples are \[1, 1, 9\]"),
        ({"amplitude": np.array([np.nan]), "sample_rate": 16000}, "the samples hold NaN"),
        ({"amplitude": np.zeros(9), "sample_rate": 0}, "its rate is 0 Hz"),
    ],
)
def test_rows_that_cannot_be(enhancer, rows, message):
    with pytest.raises(InputError, match=message):
        enhancer(rows)


def test_tensors_are_enhanced_as_before(enhancer):
    noisy = torch.randn(2, 4000)
    assert torch.equal(enhancer(noisy), enhancer.enhance_batch(noisy))


def example(name: str) -> str:
    """The example of docs/corpora.md that imports a module."""
    text = (REPOSITORY / "docs" / "corpora.md").read_text()
    (code,) = [
        part.split("```")[0] for part in text.split("```py\n")[1:] if f"import {name}\n" in part
    ]
    assert len(code.splitlines()) <= 10
    return code


@pytest.mark.parametrize("name", ["datasets", "ray"])
def test_the_examples_of_the_documents_run(name, tmp_path, monkeypatch):
    pytest.importorskip("pyarrow")
    pytest.importorskip(name)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recordings").mkdir()
    samples, rate = sf.read(NOISY, dtype="float32", frames=16000)
    for number in range(3):
        sf.write(tmp_path / "recordings" / f"{number}.wav", samples, rate)
    names: dict = {}
    try:
        exec(example(name), names)  # noqa: S102 (that is what is tested)
    finally:
        if name == "ray":
            names["ray"].shutdown()
    expected = BloomEnhancer.from_hparams(source="bandrnn-16k", run_opts={"device": "cpu"})
    expected.blocks = 2
    np.testing.assert_allclose(
        np.squeeze(names["enhanced"]), expected.enhance_array(samples, rate), atol=1e-4
    )
