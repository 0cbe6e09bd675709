"""Networks on a device without double precision, as Macs have: its results are those of here."""

import copy
from io import StringIO

import numpy as np
import pytest
import soundfile as sf
import torch
from hyperpyyaml import load_hyperpyyaml
from typer.testing import CliRunner

from bloomnet_sb.cli import app
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.separator import BloomSeparator
from bloomnet_sb.nn.enhancement_loss import compressed_spectrum_error, thresholded_snr_db
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.nn.losses import negative_si_sdr
from bloomnet_sb.nn.pesq import pesq_mos
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.scoring.corpus import corpus_test_set, score
from bloomnet_sb.utils.errors import InputError
from tests.helpers.accelerator import NAME, accelerator
from tests.helpers.networks import CAUSAL, NETWORKS, network
from tests.helpers.recipes import SAMPLES

NOISY = SAMPLES / "demo" / "noisy_0dB.flac"


def interface(name: str, device: str) -> BloomEnhancer | BloomSeparator:
    model = copy.deepcopy(network(name))
    kind = BloomEnhancer if model.num_sources == 1 else BloomSeparator
    return kind({"model": model}, {"sample_rate": 16000}, run_opts={"device": device})


@pytest.fixture(scope="module")
def short_file(tmp_path_factory):
    """Half a second of two channels."""
    path = tmp_path_factory.mktemp("short") / "noisy.wav"
    signal, rate = sf.read(NOISY)
    sf.write(path, np.stack([signal[: rate // 2], signal[rate : 3 * rate // 2]], axis=1), rate)
    return path


@pytest.mark.parametrize("name", NETWORKS)
def test_files_in_pieces_and_batches_without_double_precision(name, short_file):
    here, mix = interface(name, "cpu"), 0.1 * torch.randn(2, 3000)
    with accelerator() as device:
        there = interface(name, NAME)
        assert there.device == f"{NAME}:0"
        here.window_seconds = there.window_seconds = 0.4
        results = []
        for one in (here, there):
            kind = isinstance(one, BloomSeparator)
            of_file = one.separate_file if kind else one.enhance_file
            results.append([of_file(short_file), one(mix, torch.tensor([1.0, 0.5])).cpu()])
        assert device.used
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", CAUSAL)
def test_streams_without_double_precision(name):
    signal = 0.1 * torch.randn(1000)
    expected = interface(name, "cpu").stream()
    expected = torch.cat([expected.process(signal), expected.flush()])
    with accelerator() as device:
        stream, pieces = interface(name, NAME).stream(1), []
        for chunk in signal.split(300):
            pieces.append(stream.process(chunk))
            stream.blocks = stream.num_blocks
        again = interface(name, NAME).stream()
        found = torch.cat([again.process(signal), again.flush()])
        assert device.used
    assert torch.cat(pieces).isfinite().all()
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_scores_without_double_precision():
    mixtures = torch.utils.data.Subset(corpus_test_set(str(SAMPLES), 16000, max_seconds=0.5), [0])
    expected = score(network("BN"), mixtures, 16000, with_dnsmos=False).rows
    with accelerator():
        rows = score(interface("BN", NAME).mods.model, mixtures, 16000, with_dnsmos=False).rows
    for row, other in zip(rows, expected, strict=True):
        assert row["si_sdr"] == pytest.approx(other["si_sdr"], abs=1e-3)


LOSSES = {
    "SI-SDR": lambda estimates, target, mix: negative_si_sdr(estimates, target),
    "spectra": lambda *signals: compressed_spectrum_error(
        *signals, window=torch.hann_window(512).to(signals[0].device)
    ),
    "SNR": lambda *signals: thresholded_snr_db(*signals, sample_rate=16000),
    "PESQ": lambda estimates, target, mix: pesq_mos(estimates, target, 16000),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_losses_without_double_precision(loss):
    estimates, target = 0.1 * torch.randn(3, 2, 8000, 1), 0.1 * torch.randn(2, 8000, 1)
    signals = estimates, target, (target + estimates[0]).squeeze(-1)
    with accelerator() as device:
        found = loss(*(signal.to(NAME) for signal in signals)).cpu()
        assert device.used
    torch.testing.assert_close(found, loss(*signals), rtol=1e-4, atol=1e-4)


def test_a_filterbank_is_made_where_there_is_no_double_precision():
    with accelerator() as device, torch.device(NAME):
        bank = STFTFilterbank(64)
        assert bank.shape.device.type == bank.make_synthesis().shape.device.type == NAME
        assert device.used
    torch.testing.assert_close(bank.shape.values, STFTFilterbank(64).shape)


@pytest.fixture
def folders(tmp_path):
    """Pretrained folders of small causal networks, for one source and for two."""
    for sources in (1, 2):
        sizes = "num_filters: 16, num_blocks: 2, norm: BN, causal: True"
        hparams = (
            "sample_rate: 16000\nmodel: !new:bloomnet_sb.model.BloomNet\n"
            "  filterbank: !new:bloomnet_sb.nn.filterbanks.LearnedFilterbank {num_filters: 16}\n"
            "  separator: !new:bloomnet_sb.separators.ConvTasNetSeparator\n"
            f"    {{{sizes}, num_sources: {sources}}}\n"
        )
        model = load_hyperpyyaml(hparams)["model"]
        write_pretrained(model, StringIO(hparams), tmp_path / f"of {sources}", "A card.")
    return tmp_path


COMMANDS = {
    "enhance": ["enhance", "{noisy}", "{folder}/clean.wav", "--source={folder}/of 1"],
    "enhance a folder": ["enhance", "{noisy}", "{folder}/clean", "--source={folder}/of 1"],
    "separate": ["separate", "{noisy}", "{folder}/apart", "--source={folder}/of 2"],
    "info": ["info", "--source={folder}/of 1"],
    "export": ["export", "{folder}/onnx", "--source={folder}/of 1"],
    "live": [
        *("live", "--source={folder}/of 1", "--input={noisy}", "--output={folder}/live.wav"),
        *("--speed=full", "--blocks=1"),
    ],
    "evaluate": [
        *("evaluate", "--source={folder}/of 1", "--data_folder={samples}", "--no-dnsmos"),
        *("--limit=1", "--max_seconds=0.5"),
    ],
}


def run(command: list[str], folder, noisy, device: str):
    words = [word.format(folder=folder, noisy=noisy, samples=SAMPLES) for word in command]
    return CliRunner().invoke(app, [*words, "--device", device])


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "export"])
def test_every_command_runs_on_the_device(name, folders, short_file):
    with accelerator() as device:
        result = run(COMMANDS[name], folders, short_file, NAME)
        assert result.exit_code == 0, result.output
        assert device.used


@pytest.mark.parametrize("device", ["cuda:77", "abacus", "cpu:x"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_a_device_that_is_not_there_is_one_line(command, device, folders, short_file):
    result = run(command, folders, short_file, device)
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith(f"device is {device!r}, which torch cannot use here (")
    assert "\n" not in str(result.exception)
    assert sorted(path.name for path in folders.iterdir()) == ["of 1", "of 2"]
