"""`bloomnet page`, as it is called."""

from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from bloomnet_sb.cli import app
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import conv_tasnet
from tests.helpers.pages import data_of, sound_of
from tests.helpers.recipes import SAMPLES

NOISY = [SAMPLES / "demo" / f"noisy_{snr}dB.flac" for snr in (0, 5)]
CLEAN = [SAMPLES / "demo" / f"clean_{snr}dB.flac" for snr in (0, 5)]


def write_network(folder: Path, **sizes) -> Path:
    """A pretrained folder of a small untrained Conv-TasNet."""
    few = {"num_filters": 16, "bottleneck_channels": 8, "hidden_channels": 12, "num_blocks": 2}
    sizes = {**few, "layers_per_block": 1, **sizes}
    separator = "".join(f"    {name}: {value}\n" for name, value in sizes.items())
    hparams = (
        "sample_rate: 16000\nmodel: !new:bloomnet_sb.model.BloomNet\n"
        "  filterbank: !new:bloomnet_sb.nn.filterbanks.LearnedFilterbank\n"
        "    num_filters: 16\n    window: 16\n"
        f"  separator: !new:bloomnet_sb.separators.ConvTasNetSeparator\n{separator}"
    )
    write_pretrained(conv_tasnet(**sizes), StringIO(hparams), folder, "A card.")
    return folder


@pytest.fixture(scope="module")
def networks(tmp_path_factory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("networks")
    return {
        "two": write_network(folder / "two"),
        "three": write_network(folder / "three", num_blocks=3, norm="BN", causal=True),
        "sources": write_network(folder / "sources", num_sources=2),
    }


@pytest.fixture(scope="module")
def short(tmp_path_factory) -> Path:
    """A folder of recordings of 1 s: noisy, clean, and both in two channels."""
    folder = tmp_path_factory.mktemp("recordings")
    for name, path in (("noisy", NOISY[0]), ("other", NOISY[1]), ("clean", CLEAN[0])):
        samples, rate = sf.read(path, 16000, 16000)
        sf.write(folder / f"{name}.wav", samples, rate)
    both = [sf.read(folder / f"{name}.wav")[0] for name in ("clean", "noisy")]
    sf.write(folder / "stereo.wav", np.stack(both, axis=1), 16000)
    sf.write(folder / "long.wav", np.zeros(601 * 8000), 8000)
    sf.write(folder / "fast.wav", both[0], 44100)
    sf.write(folder / "cut.wav", both[0][:-1], 16000)
    return folder


def page(*words):
    return CliRunner().invoke(app, ["page", *map(str, words)])


def test_every_input_at_every_depth_of_every_network(networks, short, tmp_path):
    result = page(
        short / "noisy.wav", short / "stereo.wav", tmp_path / "page.html",
        "--source", networks["two"], "--source", networks["three"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{tmp_path / 'page.html'}: 12 tracks as FLAC, 0.")
    recordings = data_of(tmp_path / "page.html")["recordings"]
    depths = [(None, 0), (0, 1), (0, 2), (1, 1), (1, 2), (1, 3)]
    for recording in recordings:
        assert [(t["network"], t["blocks"]) for t in recording["tracks"]] == depths
        assert recording["seconds"] == 1
    text = (tmp_path / "page.html").read_text()
    assert "networks/two" not in text.replace("networks0/two", "")  # no more than the last two
    enhancer = BloomEnhancer.from_hparams(source=str(networks["three"]))
    expected = enhancer.enhance_file(short / "noisy.wav", blocks=3).numpy()
    heard, _, _ = sound_of(recordings[0]["tracks"][5])
    similarity = np.vdot(heard, expected) / np.linalg.norm(heard) / np.linalg.norm(expected)
    assert similarity == pytest.approx(1, abs=1e-4)


def test_two_voices_and_clean_speech(networks, short, tmp_path):
    result = page(
        short / "noisy.wav", tmp_path / "page.html", "--source", networks["sources"],
        "--clean", short / "stereo.wav",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    tracks = data_of(tmp_path / "page.html")["recordings"][0]["tracks"]
    assert [t["label"] for t in tracks][-2:] == ["clean, voice 1", "clean, voice 2"]
    assert len(tracks) == 1 + 2 * 2 + 2
    assert "SI-SDRi, dB" in (tmp_path / "page.html").read_text()


WRONG = {
    "no page": (["noisy.wav"], "page takes one or more recordings, and where the result goes"),
    "no name of a page": (["noisy.wav", "other.wav"], "other.wav: where the page goes, but not"),
    "no file": (["no.wav", "OUT"], "no.wav: no such file"),
    "a folder": ([".", "OUT"], ": a folder; name the recordings in it"),
    "no audio": (["text.wav", "OUT"], "text.wav: not a readable audio file"),
    "no network": (["noisy.wav", "OUT", "--source=nowhere"], "nowhere: neither a folder, nor"),
    "twice": (["noisy.wav", "OUT", "--source=two", "--source=two"], "two is named twice"),
    "one clean of two": (
        ["noisy.wav", "other.wav", "OUT", "--clean", "clean.wav"],
        "clean speech of 1 recordings is given, but there are 2",
    ),
    "clean of another rate": (
        ["noisy.wav", "OUT", "--clean", "fast.wav"],
        "fast.wav: 16000 samples at 44100 Hz, but",
    ),
    "clean of another length": (
        ["noisy.wav", "OUT", "--clean", "cut.wav"],
        "cut.wav: 15999 samples",
    ),
    "too long": (["long.wav", "OUT"], "the recordings are 601 s long together, but a page holds"),
    "clean of one voice": (
        ["noisy.wav", "OUT", "--source=sources", "--clean", "clean.wav"],
        "clean.wav: of 1 channels, but",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_arguments_in_one_line(case, networks, short, tmp_path, monkeypatch):
    monkeypatch.chdir(short)
    (short / "text.wav").write_text("no audio")
    words, message = WRONG[case]
    output = tmp_path / "page.html"
    words = [str(output) if word == "OUT" else word for word in words]
    for name, folder in networks.items():
        words = [word.replace(f"--source={name}", f"--source={folder}") for word in words]
    if not any(word.startswith("--source") for word in words):
        words += ["--source", str(networks["two"])]
    error = page(*words).exception
    assert isinstance(error, InputError)
    assert message in str(error) and "\n" not in str(error)
    assert not output.exists()
