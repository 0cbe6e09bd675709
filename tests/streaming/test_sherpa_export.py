import re
import subprocess
import sys
from importlib.metadata import version

import numpy as np
import onnxruntime
import pytest
import soundfile as sf
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.nn.levels import NoLevel
from bloomnet_sb.separators import ConvTasNetSeparator
from bloomnet_sb.streaming.parts import parts_of
from bloomnet_sb.utils.errors import InputError
from tests.helpers import exports  # noqa: F401
from tests.helpers.networks import band_rnn, conv_tasnet, interface, network
from tests.helpers.recipes import REPOSITORY

pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
sherpa_onnx = pytest.importorskip("sherpa_onnx", reason="sherpa-onnx is not installed")
from bloomnet_sb.streaming import sherpa_export  # noqa: E402
from bloomnet_sb.streaming.sherpa_export import export_sherpa  # noqa: E402

pytestmark = pytest.mark.xdist_group("export")

REQUIRED = {"model_type", "version", "sample_rate", "n_fft", "hop_length", "window_length"}
REQUIRED |= {"window_type", "conv_cache_shape", "tra_cache_shape", "inter_cache_shape"}


def stft_conv_tasnet(window=60, hop=30, **sizes):
    """Starts that are not zero (folded norms), no state before the blocks, an odd window."""
    torch.manual_seed(0)
    separator = ConvTasNetSeparator(
        window + 2, 8, 12, num_blocks=1, layers_per_block=2, norm="BN", causal=True, **sizes
    )
    model = BloomNet(STFTFilterbank(window, hop), separator, NoLevel())
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


MODELS = {"BandRNN": band_rnn(num_blocks=2, mask="complex"), "Conv-TasNet": stft_conv_tasnet()}
DEPTHS = [("BandRNN", 1), ("BandRNN", 2), ("Conv-TasNet", 1)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folders = {name: tmp_path_factory.mktemp("sherpa") / name for name in MODELS}
    for name, folder in folders.items():
        export_sherpa(MODELS[name], 16000, folder)
    return folders


@pytest.fixture
def noisy(noisy_file):
    return sf.read(noisy_file, dtype="float32")[0][:20011]


def model_config(path):
    gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(model=str(path))
    return sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn=gtcrn)


def online(path):
    return sherpa_onnx.OnlineSpeechDenoiser(
        sherpa_onnx.OnlineSpeechDenoiserConfig(model=model_config(path))
    )


def offline(path):
    return sherpa_onnx.OfflineSpeechDenoiser(
        sherpa_onnx.OfflineSpeechDenoiserConfig(model=model_config(path))
    )


def streamed(name, depth, noisy):
    stream = interface(MODELS[name]).stream(depth)
    return np.concatenate([stream.process(noisy), stream.flush()])


@pytest.mark.parametrize("name, depth", DEPTHS)
def test_the_live_denoiser_hears_what_our_stream_does(exported, noisy, name, depth):
    denoiser, hop = online(exported[name] / f"depth{depth}.onnx"), MODELS[name].encoder.hop
    assert (denoiser.sample_rate, denoiser.frame_shift_in_samples) == (16000, hop)
    expected = streamed(name, depth, noisy)
    for size in (hop, 333, 20011):  # each a signal of its own, after a flush
        out, given = np.zeros(0), 0
        for chunk in np.split(noisy, range(size, len(noisy), size)):
            out, given = np.append(out, denoiser.run(chunk, 16000).samples), given + len(chunk)
            assert len(out) == max(given // hop - 1, 0) * hop  # as our stream's delay
        out = np.append(out, denoiser.flush().samples)
        np.testing.assert_allclose(out, expected, atol=1e-4)


@pytest.mark.parametrize("name, depth", DEPTHS)
def test_the_offline_denoiser_too_but_for_the_last_window(exported, noisy, name, depth):
    filterbank = MODELS[name].encoder
    out = np.array(offline(exported[name] / f"depth{depth}.onnx").run(noisy, 16000).samples)
    assert len(out) == len(noisy) // filterbank.hop * filterbank.hop
    expected, end = streamed(name, depth, noisy), len(out) - filterbank.window
    np.testing.assert_allclose(out[:end], expected[:end], atol=1e-4)


def test_a_denoiser_that_comes_later_catches_up_with_one_that_ran(exported, noisy):
    """As an app changes depth; here at one depth, of a network that forgets after some frames."""
    path = exported["Conv-TasNet"] / "depth1.onnx"
    first, later = online(path), online(path)
    first.run(noisy[:3000], 16000)
    for chunk in np.split(noisy[3000:6000], 10):
        running, caught_up = (np.array(d.run(chunk, 16000).samples) for d in (first, later))
    np.testing.assert_allclose(caught_up, running, atol=1e-4)


def test_the_files_have_the_form_of_gtcrn(exported):
    path = exported["BandRNN"] / "depth2.onnx"
    assert sorted(file.name for file in path.parent.iterdir()) == ["depth1.onnx", "depth2.onnx"]
    session = onnxruntime.InferenceSession(path)
    caches = ["conv_cache", "tra_cache", "inter_cache"]
    given, made = session.get_inputs(), session.get_outputs()
    assert [value.name for value in given] == ["mix", *caches]
    assert [value.name for value in made] == ["enh", *(f"{cache}_out" for cache in caches)]
    assert [value.shape for value in given] == [value.shape for value in made]
    assert given[0].shape == [1, 33, 1, 2]
    about = session.get_modelmeta().custom_metadata_map
    assert about.keys() == REQUIRED | {"comment"}
    for value in given[1:]:
        assert about[f"{value.name}_shape"] == ",".join(map(str, value.shape))
    assert str(REPOSITORY).encode() not in path.read_bytes()


WITHOUT_EACH = """
import os, sys, sherpa_onnx
for path in sys.argv[1:]:
    if not (child := os.fork()):
        gtcrn = sherpa_onnx.OfflineSpeechDenoiserGtcrnModelConfig(model=path)
        model = sherpa_onnx.OfflineSpeechDenoiserModelConfig(gtcrn=gtcrn)
        for kind in ("Offline", "Online"):
            config = getattr(sherpa_onnx, kind + "SpeechDenoiserConfig")(model=model)
            getattr(sherpa_onnx, kind + "SpeechDenoiser")(config)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


def test_sherpa_onnx_reads_those_names_and_no_others(exported, tmp_path):
    """It ends the process where one that it reads is not there."""
    import onnx

    for pinned in ("requirements.txt", "setup.py"):
        assert f"sherpa-onnx=={sherpa_export.SHERPA_ONNX}" in (REPOSITORY / pinned).read_text()
    assert version("sherpa-onnx") == sherpa_export.SHERPA_ONNX
    whole = exported["BandRNN"] / "depth1.onnx"
    about = onnxruntime.InferenceSession(whole).get_modelmeta().custom_metadata_map
    file, paths = onnx.load(whole), [whole]
    for name in sorted(REQUIRED):
        paths.append(tmp_path / f"no_{name}.onnx")
        onnx.helper.set_model_props(file, {k: v for k, v in about.items() if k != name})
        onnx.save(file, paths[-1])
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT_EACH, *map(str, paths)], capture_output=True, text=True
    )
    assert result.stdout.split() == ["0"] + ["255"] * len(REQUIRED), result.stderr
    for name in REQUIRED:
        assert f"'{name}' does not exist in the metadata" in result.stderr


@pytest.mark.parametrize("most_loss_db", [sherpa_export.MOST_LOSS_DB, -1.0])
def test_8_bits_where_they_lose_little(exported, tmp_path, noisy, monkeypatch, most_loss_db):
    monkeypatch.setattr(sherpa_export, "MOST_LOSS_DB", most_loss_db)
    path = tmp_path / "depth2.onnx"
    path.write_bytes((exported["BandRNN"] / path.name).read_bytes())
    target = torch.from_numpy(noisy)
    mixtures = [{"mix": target + 0.01 * torch.randn(len(noisy)), "target": target[:, None]}]
    loss = sherpa_export._try_int8(parts_of(MODELS["BandRNN"]), path, mixtures)
    small = tmp_path / "depth2.int8.onnx"
    assert abs(loss) < 0.05
    assert small.is_file() == (loss < most_loss_db)
    if small.is_file():
        denoiser = online(small)
        out = np.append(denoiser.run(noisy, 16000).samples, denoiser.flush().samples)
        error = np.abs(out - streamed("BandRNN", 2, noisy)).max()
        assert 0 < error < 0.05


@pytest.mark.parametrize(
    "model, reason",
    [
        (lambda: network("gLN"), "a causal network"),
        (lambda: network("causal sources"), "one signal, but this network has 2 sources"),
        (lambda: conv_tasnet(norm="BN", causal=True), "filterbank is a LearnedFilterbank"),
        (lambda: stft_conv_tasnet(64, 16), "window is 64 and its hop 16 samples"),
    ],
)
def test_networks_that_do_not_fit(tmp_path, model, reason):
    with pytest.raises(InputError, match=reason) as error:
        export_sherpa(model(), 16000, tmp_path / "out")
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_the_python_of_the_guide_runs(exported, noisy, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "denoisers").symlink_to(exported["BandRNN"])
    sf.write("noisy.wav", noisy, 16000, subtype="FLOAT")
    guide = (REPOSITORY / "docs" / "apps.md").read_text()
    for code in re.findall(r"^```python\n(.*?)^```", guide, flags=re.DOTALL | re.MULTILINE):
        exec(code, {})  # noqa: S102 (that is what is tested)
    enhanced, _ = sf.read("enhanced.wav", dtype="float32")
    np.testing.assert_allclose(enhanced, streamed("BandRNN", 2, noisy), atol=1e-3)
