import numpy as np
import pytest
import soundfile as sf
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.separate_many import separate_many
from bloomnet_sb.inference.separator import BloomSeparator
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import conv_tasnet


def separator_of(model):
    return BloomSeparator({"model": model}, {"sample_rate": 16000})


@pytest.fixture
def noisy(noisy_file):
    samples, _ = sf.read(noisy_file, dtype="float32")
    return torch.from_numpy(samples)[None]


def test_separation(noisy, noisy_file, tmp_path):
    separator = separator_of(conv_tasnet(num_sources=2))
    sources = separator.separate_batch(noisy, blocks=2)
    assert sources.shape == (*noisy.shape, 2)
    torch.testing.assert_close(separator(noisy, blocks=2), sources)
    returned = separator.separate_file(noisy_file, tmp_path / "out", blocks=2)
    torch.testing.assert_close(returned, sources)
    for n in (1, 2):
        written, rate = sf.read(tmp_path / "out" / f"noisy_0dB_source{n}.flac", dtype="float32")
        assert rate == 16000
        np.testing.assert_allclose(written, sources[0, :, n - 1], atol=1e-4)
    half = separator.separate_batch(
        noisy.repeat(2, 1), lengths=torch.tensor([1.0, 8000 / noisy.shape[1]]), blocks=2
    )
    torch.testing.assert_close(half[0], sources[0])
    torch.testing.assert_close(
        half[1, :8000], separator.separate_batch(noisy[:, :8000], None, 2)[0]
    )


def test_separation_in_windows_keeps_the_sources_apart(noisy, tmp_path):
    samples = torch.stack([noisy[0], noisy[0].flip(0)], dim=1).numpy()
    sf.write(tmp_path / "in.wav", samples, 16000, subtype="FLOAT")
    separator = separator_of(conv_tasnet(num_sources=2, norm="BN"))
    whole = separator.separate_file(tmp_path / "in.wav")
    separator.window_seconds = 1.5
    torch.testing.assert_close(
        separator.separate_file(tmp_path / "in.wav"), whole, atol=1e-4, rtol=0
    )


def test_a_separator_is_no_enhancer():
    with pytest.raises(InputError, match="separates 2 sources; use BloomSeparator"):
        BloomEnhancer({"model": conv_tasnet(num_sources=2)}, {"sample_rate": 16000})


def test_many_files_lose_nothing(noisy_file, tmp_path):
    separator = separator_of(conv_tasnet(num_sources=2))
    paths = [tmp_path / "a.flac", tmp_path / "a_source1.flac"]
    for path in paths:
        path.write_bytes(noisy_file.read_bytes())
    with pytest.raises(InputError, match="a_source1.flac: is an input"):
        separate_many(separator, [(path, tmp_path) for path in paths], tmp_path)
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    jobs = [(path, tmp_path / "out") for path in (tmp_path / "broken.wav", *paths)]
    (error,) = separate_many(separator, jobs, tmp_path / "out")
    assert "broken.wav: not a readable audio file" in error
    assert len(list((tmp_path / "out").glob("*.flac"))) == 4
    errors = separate_many(separator, jobs, tmp_path / "out")
    assert [error.partition(": ")[2] for error in errors[1:]] == [
        "is there already; with --force it is overwritten"
    ] * 2
    assert len(separate_many(separator, jobs, tmp_path / "out", force=True)) == 1


def test_of_two_files_of_one_stem_one_keeps_its_suffix_in_the_results(tmp_path):
    sound = np.random.default_rng(0).uniform(-0.1, 0.1, 4000)
    for name in ("call.flac", "call.opus"):  # of a rate that no Opus file can have
        sf.write(tmp_path / name, sound, 11025, format="FLAC")
    separator = separator_of(conv_tasnet(num_sources=2))
    jobs = [(path, tmp_path / "out") for path in sorted(tmp_path.glob("call.*"))]
    assert separate_many(separator, jobs, tmp_path / "out") == []
    assert {path.name for path in tmp_path.glob("out/*.flac")} == {
        *("call_source1.flac", "call_source2.flac"),
        *("call_source1.opus.flac", "call_source2.opus.flac"),
    }
