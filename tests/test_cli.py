import re
import shutil
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hyperpyyaml import load_hyperpyyaml

from bloomnet_sb import __version__
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.separator import BloomSeparator
from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.pretrained.fetching import installed_names
from bloomnet_sb.pretrained.saving import export_pretrained, write_pretrained
from bloomnet_sb.separators import BandRNNSeparator
from tests.helpers import exports  # noqa: F401
from tests.helpers.command import bloomnet, started_bloomnet
from tests.helpers.networks import conv_tasnet
from tests.helpers.recipes import SAMPLES, corpus, run_python

NOISY = [SAMPLES / "demo" / f"noisy_{snr}dB.flac" for snr in (0, 5)]


@pytest.mark.parametrize("arguments", [["--help"], ["enhance", "--help"], ["--version"], ["list"]])
def test_what_runs_no_network_imports_nothing_that_takes_long(arguments):
    """They answer at once: torch alone takes seconds."""
    result = run_python("-X", "importtime", "-m", "bloomnet_sb", *arguments)
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert result.returncode == 0 and result.stdout and "bloomnet_sb.cli" in imported
    slow = {"torch", "torchaudio", "speechbrain", "numpy", "scipy", "soundfile", "pesq", "pystoi"}
    assert not imported & slow


def test_list():
    assert bloomnet("list").stdout.split() == installed_names()


def test_the_version():
    assert bloomnet("--version").stdout == f"bloomnet {__version__}\n"
    assert run_python("-m", "bloomnet_sb", "--version").stdout == f"bloomnet {__version__}\n"


def test_a_fresh_install_enhances_a_file_in_one_command_and_without_warnings(tmp_path):
    assert sf.info(NOISY[0]).duration > 6
    result = started_bloomnet("enhance", NOISY[0], tmp_path / "out.wav")
    assert result.returncode == 0 and not result.stderr
    assert sf.info(tmp_path / "out.wav").frames == sf.info(NOISY[0]).frames


def test_one_file(pretrained, tmp_path):
    output = tmp_path / "out.wav"
    result = bloomnet("enhance", NOISY[0], output, "--source", pretrained, "--blocks", 1)
    assert result.returncode == 0, result.stderr
    expected = BloomEnhancer.from_hparams(source=str(pretrained)).enhance_file(NOISY[0], blocks=1)
    written, _ = sf.read(output, dtype="float32")
    assert abs(written - expected.numpy()).max() < 1e-4


def test_files_and_folders(pretrained, tmp_path):
    folder = tmp_path / "in" / "deeper"
    folder.mkdir(parents=True)
    shutil.copy(NOISY[1], folder / "five.flac")
    output = tmp_path / "out"
    result = bloomnet("enhance", NOISY[0], tmp_path / "in", output, "--source", pretrained)
    assert result.returncode == 0, result.stderr
    written = {str(path.relative_to(output)) for path in output.rglob("*.flac")}
    assert written == {"noisy_0dB.flac", "deeper/five.flac"}


FILTERBANK = (
    "  filterbank: !new:bloomnet_sb.nn.filterbanks.LearnedFilterbank\n"
    "    num_filters: 16\n    window: 16\n"
)


@pytest.fixture
def two_source_folder(tmp_path) -> Path:
    """A pretrained folder of an untrained network for two sources."""
    hparams = (
        "num_sources: 2\nsample_rate: 16000\nmodel: !new:bloomnet_sb.model.BloomNet\n"
        f"{FILTERBANK}  separator: !new:bloomnet_sb.separators.ConvTasNetSeparator\n"
        "    num_filters: 16\n    num_blocks: 2\n    num_sources: !ref <num_sources>\n"
    )
    (tmp_path / "trained.yaml").write_text(hparams)
    model = load_hyperpyyaml(hparams)["model"]
    export_pretrained(model, tmp_path / "trained.yaml", "", tmp_path / "pretrained", "A card.")
    return tmp_path / "pretrained"


def test_separate(two_source_folder, tmp_path):
    shutil.copytree(SAMPLES / "demo", tmp_path / "in" / "deeper")
    output = tmp_path / "out"
    result = bloomnet(
        "separate", NOISY[0], tmp_path / "in", output, "--source", two_source_folder, "--blocks=1"
    )
    assert result.returncode == 0, result.stderr
    written = sorted(str(path.relative_to(output)) for path in output.rglob("noisy_0dB*"))
    names = ["noisy_0dB_source1.flac", "noisy_0dB_source2.flac"]
    assert written == [f"deeper/{name}" for name in names] + names
    separator = BloomSeparator.from_hparams(source=str(two_source_folder))
    expected = separator.separate_file(NOISY[0], blocks=1)
    for place, name in enumerate(names):
        source, _ = sf.read(output / name, dtype="float32")
        assert abs(source - expected[0, :, place].numpy()).max() < 1e-4


def test_a_separator_does_not_enhance(two_source_folder, tmp_path):
    result = bloomnet("enhance", NOISY[0], tmp_path / "o.wav", "--source", two_source_folder)
    assert result.returncode == 2
    assert "error: this network separates 2 sources" in result.stderr


def test_enhance_with_as_many_blocks_as_needed(pretrained, tmp_path):
    result = bloomnet(
        "enhance", NOISY[0], tmp_path / "out.wav", "--source", pretrained, "--blocks", "auto",
        "--min_gain_db=-1000",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    enhancer = BloomEnhancer.from_hparams(source=str(pretrained))
    expected = enhancer.enhance_file(NOISY[0])
    enhanced, _ = sf.read(tmp_path / "out.wav", dtype="float32")
    np.testing.assert_allclose(enhanced, expected, atol=1e-4)


def write_causal(folder, **options):
    """A pretrained folder with a causal Conv-TasNet of one layer a block."""
    options |= {"layers_per_block": 1, "norm": "BN", "causal": True}
    sizes = {"num_filters": 16, "bottleneck_channels": 8, "hidden_channels": 12, **options}
    separator = "".join(f"\n    {name}: {value}" for name, value in sizes.items())
    hparams = (
        f"sample_rate: 16000\nmodel: !new:bloomnet_sb.model.BloomNet\n{FILTERBANK}"
        f"  separator: !new:bloomnet_sb.separators.ConvTasNetSeparator{separator}\n"
    )
    write_pretrained(conv_tasnet(**options), StringIO(hparams), folder, "A card.")


@pytest.mark.xdist_group("export")  # ONNX takes seconds to import
def test_live_and_export(tmp_path):
    write_causal(tmp_path / "causal", num_blocks=2)
    result = bloomnet(
        "live", "--source", tmp_path / "causal", "--input", NOISY[0], "--output",
        tmp_path / "live.wav", "--speed", "full", "--blocks", 2,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("623 chunks, ")
    live, _ = sf.read(tmp_path / "live.wav", dtype="float32")
    expected = BloomEnhancer.from_hparams(source=str(tmp_path / "causal")).enhance_file(
        NOISY[0], blocks=2
    )
    np.testing.assert_allclose(live[1000:], expected.clamp(-1, 1)[1000:], atol=1e-4)
    result = bloomnet("export", tmp_path / "onnx", "--source", tmp_path / "causal")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "onnx" / "block2.onnx").is_file()
    result = bloomnet("export", "--sherpa", tmp_path / "no", "--source", tmp_path / "causal")
    assert result.returncode == 2
    assert "this network's filterbank is a LearnedFilterbank" in result.stderr
    assert not (tmp_path / "no").exists()


@pytest.mark.xdist_group("export")
def test_export_of_a_network_that_separates(tmp_path):
    write_causal(tmp_path / "two", num_blocks=1, num_sources=2)
    result = bloomnet("export", tmp_path / "onnx", "--source", tmp_path / "two")
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "onnx" / "decode1.onnx").is_file()
    result = bloomnet("export", "--sherpa", tmp_path / "no", "--source", tmp_path / "two")
    assert result.returncode == 2
    assert "sherpa-onnx's denoisers give one signal" in result.stderr


@pytest.mark.xdist_group("export")
def test_export_for_sherpa_onnx_says_what_8_bits_lose(tmp_path):
    filterbank, separator = STFTFilterbank(), BandRNNSeparator(channels=8, num_blocks=1)
    hparams = (
        "sample_rate: 16000\nmodel: !new:bloomnet_sb.model.BloomNet\n"
        "  filterbank: !new:bloomnet_sb.nn.filterbanks.STFTFilterbank\n"
        "  separator: !new:bloomnet_sb.separators.BandRNNSeparator\n"
        "    channels: 8\n    num_blocks: 1\n"
    )
    write_pretrained(
        BloomNet(filterbank, separator), StringIO(hparams), tmp_path / "bands", "A card."
    )
    result = bloomnet(
        "export", "--sherpa", tmp_path / "out", "--source", tmp_path / "bands", "--int8",
        "--data_folder", SAMPLES,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(r"depth 1: 8 bits lose -?\d\.\d{3} dB; written\n", result.stdout)
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["depth1.int8.onnx", "depth1.onnx"]


@pytest.mark.parametrize("options", [("--sherpa", "--int8"), ("--int8", "--data_folder=DIR")])
def test_8_bits_for_sherpa_onnx_need_a_corpus_and_nothing_else_does(tmp_path, options):
    result = bloomnet("export", tmp_path / "out", *options)
    assert result.returncode == 2
    assert "--data_folder goes with --sherpa --int8" in result.stderr


def test_info(pretrained):
    result = bloomnet("info", "--source", pretrained)
    assert result.returncode == 0, result.stderr
    header, _, *rows = result.stdout.strip().splitlines()
    assert header == "| blocks | parameters | MMAC/s | RTF |"
    assert [row.split("|")[1].strip() for row in rows] == ["1", "2"]


def test_evaluate_makes_the_table_of_the_model_card_again(pretrained, finished_run):
    result = bloomnet(
        "evaluate", "--source", pretrained, "--data_folder", corpus.folder, "--max_seconds=1.0",
        "--no-dnsmos",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    scores = [
        [line.split("|")[column] for line in table.splitlines() if line.startswith("| ")]
        for table in (result.stdout, (finished_run / "results.md").read_text())
        for column in (1, 2, 5)
    ]
    assert scores[:3] == scores[3:]


@pytest.mark.parametrize("seconds", ["-1", "nan"])
def test_evaluate_refuses_lengths_that_cannot_be(pretrained, tmp_path, seconds):
    of_corpus = ["--data_folder", SAMPLES]
    pairs = [
        "--noisy",
        NOISY[0],
        "--clean",
        SAMPLES / "demo" / "clean_0dB.flac",
        "--output_folder",
        tmp_path / "results",
    ]
    for data in (of_corpus, pairs):
        result = bloomnet("evaluate", "--source", pretrained, *data, f"--max_seconds={seconds}")
        assert result.returncode == 2
        assert "but must be a number of seconds above 0" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--data_folder", SAMPLES, "--output_folder", "here"], "go with --noisy and --clean"),
        (["--noisy", "a", "--clean", "b", "--noise_split", "c"], "goes with --data_folder"),
        (
            ["--noisy", NOISY[0].parent, "--clean", NOISY[0].parent, "--output_folder", "a-file"],
            "a-file: cannot be written (File exists)",
        ),
    ],
)
def test_evaluate_says_what_it_would_not_do(pretrained, tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a-file").touch()
    result = bloomnet("evaluate", "--source", pretrained, *options)
    assert result.returncode == 2
    assert message in result.stderr


def test_evaluate_without_a_corpus(pretrained, tmp_path):
    result = bloomnet("evaluate", "--source", pretrained, "--data-folder", tmp_path)
    assert result.returncode == 2
    assert "has no folder musan/noise/free-sound" in result.stderr


@pytest.mark.parametrize("output", ["out.wav", "folder"])
@pytest.mark.parametrize("blocks", ["0", "3", "two", "-1"])
def test_wrong_blocks(pretrained, tmp_path, blocks, output):
    result = bloomnet(
        "enhance", NOISY[0], tmp_path / output, "--source", pretrained, f"--blocks={blocks}"
    )
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "1 to 2 blocks" in line
    assert not list(tmp_path.iterdir())


def test_a_bad_file_does_not_stop_the_others(pretrained, tmp_path):
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"no audio")
    output = tmp_path / "out"
    result = bloomnet("enhance", broken, NOISY[0], output, "--source", pretrained)
    assert result.returncode == 1
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert "broken.flac: not a readable audio file" in line
    reports = {f"report.{kind}" for kind in ("jsonl", "csv", "html")}
    assert {path.name for path in output.iterdir()} == {".lock", "noisy_0dB.flac", *reports}
    assert "1 files enhanced, 0 had been before, 1 could not be" in result.stdout
    again = bloomnet("enhance", broken, NOISY[0], output, "--source", pretrained)
    assert "0 files enhanced, 1 had been before, 1 could not be" in again.stdout


def test_no_such_source(tmp_path):
    result = bloomnet("info", "--source", tmp_path / "nowhere")
    assert result.returncode == 2
    assert "nowhere: neither a folder, nor" in result.stderr


def test_files_without_a_place_to_go(pretrained):
    result = bloomnet("enhance", NOISY[0], "--source", pretrained)
    assert result.returncode == 2
    assert "error: enhance takes" in result.stderr


def test_nothing_is_written_over_an_input_or_over_another_result(pretrained, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        shutil.copy(NOISY[0], tmp_path / name / "x.flac")
    before = (tmp_path / "a" / "x.flac").read_bytes()
    a, b, out = (tmp_path / name for name in ("a", "b", "out"))
    for paths, message in (
        ((a, b, out), "would be the result of both"),
        ((a, a), "where the files are"),
        ((a / "x.flac", a), "is an input"),
        ((a / "x.flac", a / "x.flac"), "is an input"),
    ):
        result = bloomnet("enhance", *paths, "--source", pretrained)
        assert result.returncode == 2, result.stderr
        assert message in result.stderr.splitlines()[-1]
    assert (a / "x.flac").read_bytes() == before
    assert not out.exists()


def test_results_below_the_inputs_are_no_inputs(pretrained, tmp_path):
    shutil.copy(NOISY[0], tmp_path / "x.flac")
    for told in ("1 files enhanced, 0 had been before", "0 files enhanced, 1 had been before"):
        result = bloomnet("enhance", tmp_path, tmp_path / "out", "--source", pretrained)
        assert told in result.stdout
    assert [path.name for path in (tmp_path / "out").rglob("*.flac")] == ["x.flac"]


@pytest.mark.parametrize("name", ["OUT.WAV", "out.mp3"])
def test_any_format_of_one_file(name, pretrained, tmp_path):
    result = bloomnet("enhance", NOISY[0], tmp_path / name, "--source", pretrained)
    assert result.returncode == 0, result.stderr
    assert sf.info(str(tmp_path / name)).frames == sf.info(str(NOISY[0])).frames


def test_the_cost_of_a_separator(two_source_folder):
    result = bloomnet("info", "--source", two_source_folder)
    assert result.returncode == 0, result.stderr
    assert result.stdout.count("\n| ") >= 3
