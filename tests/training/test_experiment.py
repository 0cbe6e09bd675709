"""Recipes as a user runs them: what a run leaves behind, its options, and bad input."""

import csv
import json
import math
import shutil

import pytest
import soundfile as sf
import torch
from bloomnet_sb.training.experiment import _shared_command
from safetensors.torch import load_file

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.separator import BloomSeparator
from tests.conftest import RECIPE, SAMPLES, run_python, run_recipe, tiny_arguments


def one_error_line(result) -> str:
    """The error of a run that failed as it should: one line, no traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


def test_what_a_run_leaves_behind(finished_run):
    results = json.loads((finished_run / "results.json").read_text())
    assert results["test_mixtures"] == 14
    assert [row["blocks"] for row in results["depths"]] == [0, 1, 2]
    costs = ("parameters", "macs_per_second", "real_time_factor")
    scores = ("si_sdr", "si_sdr_improvement", "pesq", "stoi", "level_db")
    for row in results["depths"][1:]:
        assert all(isinstance(row[key], int | float) for key in (*costs, *scores))
    assert results["depths"][0]["si_sdr_improvement"] == 0
    table = (finished_run / "results.md").read_text()
    assert "| unprocessed |" in table
    assert "\nMemory of the weights: " in table
    listeners = results["listeners"]["depths"]
    assert [depth["blocks"] for depth in listeners] == [0, 1, 2]
    for depth in listeners[1:]:
        assert {"-5 to 10 dB", "10 to 25 dB", "clean", "noise", "conditions"} < depth.keys()
    assert listeners[2]["-5 to 10 dB"]["si_sdr"] == results["depths"][2]["si_sdr"]
    assert table.count("\nAt 10 to 25 dB SNR, 14 mixtures:\n") == 1
    memory = results["memory_bytes"]
    assert memory["this_network"] < memory["stand_alone_networks"]
    with open(finished_run / "scores.csv", newline="") as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 14 * 3
    for row in results["depths"]:
        mean = [float(s["si_sdr"]) for s in scores if s["blocks"] == str(row["blocks"])]
        assert sum(mean) / 14 == pytest.approx(row["si_sdr"])
    epochs = (finished_run / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in epochs] == [f"epoch: {n}" for n in range(1, 7)]
    assert (finished_run / "spectrograms.png").read_bytes().startswith(b"\x89PNG")
    left = {path.name for path in (finished_run / "pretrained").iterdir()}
    assert left == {"hyperparams.yaml", "model.safetensors", "README.md"}
    card = (finished_run / "pretrained" / "README.md").read_text()
    assert "espeak-ng" in card
    assert "CC0" in card
    assert "- speech_train: 82 files, 7.9 minutes" in card
    assert "Mixtures at -5 to 10 dB SNR, 16000 Hz." in card
    assert "| unprocessed |" in card
    assert "Clean speech:" in card
    assert "    python train.py mini.yaml --data_folder DIR --output_folder DIR --" in card
    assert str(finished_run) not in card
    assert "BloomEnhancer.from_hparams" in card


def test_the_pretrained_network_is_the_one_that_was_scored(finished_run, pretrained):
    enhancer = BloomEnhancer.from_hparams(source=str(pretrained))
    noisy, _ = sf.read(SAMPLES / "demo" / "noisy_5dB.flac", dtype="float32")
    assert enhancer.enhance_batch(torch.from_numpy(noisy)[None]).shape == (1, len(noisy))
    results = json.loads((finished_run / "results.json").read_text())
    parameters = [row["parameters"] for row in results["depths"][1:]]
    assert [depth.parameters for depth in enhancer.profile()] == parameters


@pytest.mark.parametrize("training", ["e2e", "joint"])
def test_other_schedules_by_one_key(tmp_path, training):
    result = run_recipe(tmp_path, training=training, use_tensorboard=True)
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    depths = [0, 2] if training == "e2e" else [0, 1, 2]
    assert [row["blocks"] for row in results["depths"]] == depths
    assert list((tmp_path / "tensorboard").iterdir())


@pytest.mark.parametrize("norm", ["gLN", "BN"])
def test_two_processes(tmp_path, norm):
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    arguments = tiny_arguments(
        tmp_path, distributed_backend="gloo", device="cpu", norm=norm, block_epochs=1
    )
    result = run_python(*launcher, RECIPE / "train.py", *arguments)
    assert result.returncode == 0, result.stderr
    assert len((tmp_path / "train_log.txt").read_text().splitlines()) == 4
    assert (tmp_path / "results.json").is_file()


def test_starting_from_a_network(pretrained, tmp_path):
    result = run_recipe(
        tmp_path,
        training="joint",
        start_from=pretrained,
        spectral_weight=1.0,
        pesq_weight=1.0,
        end_to_end_lr=1e-9,
        end_to_end_segment_seconds=0.5,
    )
    assert result.returncode == 0, result.stderr
    before = load_file(pretrained / "model.safetensors")
    after = load_file(tmp_path / "pretrained" / "model.safetensors")
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"start_from": "nowhere"}, "nowhere: neither a folder, nor a name of `bloomnet list`"),
        ({"start_from": "convtasnet-16k"}, "not the weights of the network"),
    ],
)
def test_a_start_that_cannot_be(tmp_path, options, message):
    result = run_recipe(tmp_path, **options)
    assert result.returncode == 2
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert message in line


def test_pesq_is_of_16_khz(librimix_folder, tmp_path):
    result = run_recipe(
        tmp_path,
        hparams="libri2mix.yaml",
        data_folder=librimix_folder,
        train_split="train-100",
        pesq_weight=1.0,
    )
    assert result.returncode == 2
    assert "error: pesq_weight is 1.0 with a sample_rate of 8000, but" in result.stderr


def test_bfloat16(tmp_path):
    result = run_recipe(tmp_path, precision="bf16", device="cpu")
    assert result.returncode == 0, result.stderr
    weights = load_file(tmp_path / "pretrained" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())


SEPARATIONS = [("ConvTasNet", 2), ("SepFormer", 2), ("ConvTasNet", 3)]


@pytest.mark.parametrize(("backbone", "num_sources"), SEPARATIONS)
def test_separation(librimix_folder, tmp_path, backbone, num_sources):
    result = run_recipe(
        tmp_path,
        recipe=RECIPE.parent / backbone,
        hparams="libri2mix.yaml",
        data_folder=librimix_folder,
        train_split="train-100",
        num_sources=num_sources,
    )
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["test_mixtures"] == 4
    assert [row["blocks"] for row in results["depths"]] == [0, 1, 2]
    assert all(math.isfinite(row["si_sdr"]) for row in results["depths"])
    card = (tmp_path / "pretrained" / "README.md").read_text()
    assert card.startswith(f"# BLOOM-Net speech separation, {backbone}Separator, 2 blocks")
    assert f"Libri{num_sources}Mix" in card
    assert "- mix_train: 4 files, 0.2 minutes" in card
    assert "Mixtures at 8000 Hz." in card
    separator = BloomSeparator.from_hparams(source=str(tmp_path / "pretrained"))
    assert separator.separate_batch(torch.randn(1, 4000)).shape == (1, 4000, num_sources)


def test_skip_prep_uses_the_manifests_that_are_there(finished_run, tmp_path):
    shutil.copytree(finished_run / "manifests", tmp_path / "manifests")
    shutil.copytree(finished_run / "save", tmp_path / "save")
    result = run_recipe(tmp_path, skip_prep=True)
    assert result.returncode == 0, result.stderr
    other = run_recipe(tmp_path / "other", skip_prep=True)
    assert ".json: no such manifest" in one_error_line(other)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"data_folder": "/nowhere"}, "data_folder /nowhere: no such folder"),
        ({"training": "sequential"}, "the schedule is 'sequential', but must be one of"),
        ({"norm": "LN"}, "norm is 'LN', but must be one of"),
        ({"num_blocks": 0}, "num_blocks is 0"),
        ({"num_blocks": "two"}, "num_blocks is 'two'"),
        ({"blocks": 3}, "blocks"),
        ({"output_folder": "/proc/nowhere"}, "/proc/nowhere: cannot be written"),
    ],
)
def test_bad_options(tmp_path, overrides, message):
    line = one_error_line(run_recipe(**{"output_folder": tmp_path / "run", **overrides}))
    assert message in line
    assert not list((tmp_path / "run" / "save").glob("[!.]*"))


def test_bad_hparams_file(tmp_path):
    result = run_python(RECIPE / "train.py", tmp_path / "none.yaml")
    assert "none.yaml: No such file" in one_error_line(result)


@pytest.mark.parametrize("fault", ["corrupt", "nan"])
def test_a_bad_file_met_while_training_is_named(tmp_path, fault):
    corpus = shutil.copytree(SAMPLES, tmp_path / "corpus")
    for path in (corpus / "LibriSpeech" / "train-clean-100").rglob("*.flac"):
        if fault == "corrupt":
            content = path.read_bytes()
            path.write_bytes(content[:2000] + bytes(len(content) - 2000))
        else:
            samples = torch.full((32000,), torch.nan).numpy()
            sf.write(path.with_suffix(".wav"), samples, 16000, subtype="FLOAT")
            path.unlink()
    line = one_error_line(run_recipe(tmp_path / "run", data_folder=corpus))
    assert str(corpus) in line
    assert ("NaN" in line) == (fault == "nan")
    assert not (tmp_path / "run" / "results.json").exists()


def test_a_card_names_no_path_of_this_machine():
    argv = ["/home/me/mini.yaml", "--data_folder=/home/me/data", "--output_folder", "/tmp/out"]
    assert _shared_command([*argv, "--lr=1e-3"]) == (
        "python train.py mini.yaml --data_folder=DIR --output_folder DIR --lr=1e-3"
    )
