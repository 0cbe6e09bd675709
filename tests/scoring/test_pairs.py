import csv
import json
import shutil

import numpy as np
import pytest
import soundfile as sf
import soxr
import torch
from typer.testing import CliRunner

from bloomnet_sb.cli import app
from bloomnet_sb.scoring import deepfilternet
from bloomnet_sb.scoring.pairs import evaluate_pairs, find_pairs
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import conv_tasnet
from tests.helpers.recipes import SAMPLES

RATE = 16000
DEMO = SAMPLES / "demo"


@pytest.fixture
def folders(tmp_path):
    """Two pairs in folders below, of other formats, rates and channels; and two programs' work."""
    noisy, clean, exact, late = (tmp_path / name for name in ("noisy", "clean", "exact", "late"))
    for number, snr in enumerate(("0dB", "5dB")):
        signals = [
            sf.read(DEMO / f"{kind}_{snr}.flac", frames=RATE)[0] for kind in ("noisy", "clean")
        ]
        for folder in (noisy, clean, exact, late):
            (folder / "a").mkdir(parents=True, exist_ok=True)
        stereo = np.stack([signals[0]] * 2, axis=1)
        sf.write(noisy / "a" / f"{number}.wav", stereo, RATE)
        sf.write(clean / "a" / f"{number}.flac", soxr.resample(signals[1], RATE, 48000), 48000)
        sf.write(exact / "a" / f"{number}.wav", signals[1], RATE)
        sf.write(late / "a" / f"{number}.ogg", np.pad(signals[1], (0, 100)), RATE)
    return noisy, clean, exact, late


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_network_and_programs_are_scored_on_the_same_pairs(folders):
    torch.manual_seed(0)
    model = conv_tasnet().eval()
    pairs, rate = find_pairs(*folders[:2], folders[2:])
    assert rate == RATE
    played = {"as it is": lambda mix: [mix]}
    results, scores, others = evaluate_pairs(pairs, rate, model, played, with_dnsmos=False)
    assert [row["blocks"] for row in results["depths"]] == [0, 1, 2, 3]
    assert list(results["systems"]) == ["exact", "late", "as it is"]
    unprocessed = {**results["depths"][0], "blocks": 1}
    assert results["systems"]["as it is"] == pytest.approx(unprocessed)
    assert results["systems"]["exact"]["si_sdr"] > 30
    assert results["systems"]["exact"]["pesq"] > 4.5
    assert results["systems"]["late"]["si_sdr"] > 5
    assert {row["utterance"] for row in scores.rows} == {"a/0", "a/1"}


def test_the_command_writes_what_a_run_leaves(folders, tmp_path, monkeypatch, pretrained):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(deepfilternet, "is_installed", lambda: True)
    monkeypatch.setattr(deepfilternet, "enhance_at", lambda mix, sample_rate: 0.5 * mix)
    pair = ["evaluate", "--noisy", str(folders[0]), "--clean", str(folders[1]), "--no-dnsmos"]
    network = [*pair, "--source", str(pretrained), "--max_seconds", "0.8"]
    result = CliRunner().invoke(app, network)
    assert result.exit_code == 0, result.output
    table = (tmp_path / "results" / "evaluate" / "results.md").read_text()
    assert table in result.output
    assert "| DeepFilterNet3 |  |  |  |" in table
    rows = rows_of(tmp_path / "results" / "evaluate" / "scores.csv")
    assert sorted({(row["blocks"], row["system"]) for row in rows}) == [
        ("", "DeepFilterNet3"), ("0", ""), ("1", ""), ("2", "")
    ]  # fmt: skip
    again = CliRunner().invoke(app, network)
    assert "holds results; name another --output_folder, or use --force" in str(again.exception)
    other = [*pair, "--enhanced", str(folders[2]), "--enhanced", str(folders[3]), "--force"]
    result = CliRunner().invoke(app, other)
    assert result.exit_code == 0, result.output
    results = json.loads((tmp_path / "results" / "evaluate" / "results.json").read_text())
    assert [row["blocks"] for row in results["depths"]] == [0]
    assert list(results["systems"]) == ["exact", "late"]
    assert "Memory" not in result.output


@pytest.mark.parametrize(
    "options", [[], ["--noisy", "a"], ["--enhanced", "a", "--data_folder", "b"]]
)
def test_options_that_do_not_go_together(options):
    result = CliRunner().invoke(app, ["evaluate", *options])
    assert "evaluate takes --data_folder, or --noisy and --clean" in str(result.exception)


def test_all_that_is_wrong_is_in_one_report(folders, caplog):
    noisy, clean, exact, _ = folders
    shutil.copy(noisy / "a" / "0.wav", noisy / "alone.wav")
    sf.write(exact / "a" / "0.wav", np.ones(RATE // 2), RATE)
    (clean / "a" / "1.flac").write_bytes(b"fLaC")
    shutil.copy(noisy / "a" / "0.wav", clean / "more.wav")
    with pytest.raises(InputError, match="the pairs: 4 faults, each named in the report"):
        find_pairs(noisy, clean, [exact], RATE)
    for fault in (
        f"alone.wav: {clean} has no recording of this name",
        f"alone.wav: {exact} has no recording of this name",
        "clean/a/1.flac: not a readable audio file",
        "exact/a/0.wav: 0.50 s longer or shorter than",
        "clean: 1 recordings of other names left out",
    ):
        assert fault in caplog.text, fault
    with pytest.raises(InputError, match="clean .*nowhere: no such folder"):
        find_pairs(noisy, noisy / "nowhere")


@pytest.mark.parametrize("name", ["noisy", "clean"])
def test_a_program_that_tables_would_mix_up_is_refused(folders, name, tmp_path):
    shutil.copytree(folders[2], tmp_path / "program" / name)
    with pytest.raises(InputError, match=f"{name}: rename it, as tables would name a program"):
        find_pairs(*folders[:2], [tmp_path / "program" / name])


def test_two_systems_of_one_name_are_refused(folders):
    pairs, rate = find_pairs(*folders[:2], [folders[2]])
    with pytest.raises(InputError, match="two systems have one name"):
        evaluate_pairs(pairs, rate, systems={"exact": lambda mix: [mix]}, with_dnsmos=False)


def test_rates_below_the_network_s(folders):
    noisy, clean, *_ = folders
    with pytest.raises(InputError, match="2 faults.* below the network's 24000 Hz"):
        find_pairs(noisy, clean, sample_rate=24000)
    assert len(find_pairs(noisy, clean, sample_rate=24000, allow_upsampling=True)[0]) == 2
    samples, _ = sf.read(noisy / "a" / "0.wav")
    sf.write(noisy / "a" / "0.wav", soxr.resample(samples, RATE, 8000), 8000)
    assert find_pairs(noisy, clean)[1] == 8000


def test_a_pair_that_cannot_be_scored_is_left_out_and_named(folders, tmp_path):
    noisy, clean = folders[:2]
    tone = np.random.default_rng(0).normal(0, 0.1, RATE)
    sf.write(noisy / "a" / "silence.wav", tone, RATE)
    sf.write(clean / "a" / "silence.wav", np.zeros(RATE), RATE)
    for folder in (noisy, clean):
        sf.write(folder / "a" / "whole.flac", tone, RATE)
    damaged = noisy / "a" / "whole.flac"
    damaged.write_bytes(damaged.read_bytes()[:9000])
    output = tmp_path / "results"
    shutil.copytree(noisy, tmp_path / "program")
    arguments = ["evaluate", "--noisy", noisy, "--clean", clean]
    arguments += ["--enhanced", tmp_path / "program"]
    arguments += ["--no-dnsmos", "--output_folder", output]
    done = CliRunner().invoke(app, [str(argument) for argument in arguments])
    assert done.exit_code == 0, done.output
    results = json.loads((output / "results.json").read_text())
    assert results["test_mixtures"] == 2
    left_out = [failure for failure in results["failures"] if "/a/" in failure]
    assert [f.split(":")[0] for f in left_out] == [str(clean / "a" / "silence.wav"), str(damaged)]
    assert all(f"Not scored: {failure}" in done.output for failure in left_out)
    for number in ("0", "1"):
        (noisy / "a" / f"{number}.wav").unlink()
    with pytest.raises(InputError, match="no pair can be scored:\n.*silent.*\n.*whole.flac"):
        evaluate_pairs(find_pairs(noisy, clean)[0], RATE, with_dnsmos=False)
