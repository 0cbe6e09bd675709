"""The recipes: runs of each mini.yaml, of other schedules, tasks and options."""

import json
import math
import shutil

import pytest
import soundfile as sf
import torch
import yaml
from safetensors.torch import load_file

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.separator import BloomSeparator
from tests.helpers.corpora import voicebank_demand
from tests.helpers.forked import Forked, ranks, run_forked
from tests.helpers.readme import readme_blocks
from tests.helpers.recipes import (
    RECIPE,
    RECIPES,
    REPOSITORY,
    SAMPLES,
    TINY,
    error_line,
    recipe_main,
    run_here,
    run_main,
    tiny_arguments,
)

# What goes through every stage once
ONCE = {"block_epochs": 1, "finetune_epochs": 1, "segments_per_epoch": 4}

# Enough to learn from: half the seconds, and as little as each backbone can do with.
SHORTER = ["--block_segment_seconds=0.5", "--finetune_segment_seconds=0.5", "--eval_seconds=1.0"]
LEAST = {
    "BandRNN": ["--segments_per_epoch=96"],
    "DPRNN": ["--segments_per_epoch=96"],
    "SepFormer": ["--segments_per_epoch=160", "--block_epochs=2", "--kernel_size=64"],
}


# Conv-TasNet's is what `make demo` runs. Scores in bands are the same code for every backbone.
@pytest.mark.parametrize("backbone", LEAST)
def test_mini_learns_from_start_to_end(backbone, tmp_path, noisy_file, monkeypatch):
    monkeypatch.chdir(REPOSITORY)
    folder = RECIPES / backbone
    options = [f"--output_folder={tmp_path}", "--test_snr_bands_db=[]", *SHORTER]
    options += ["--num_workers=0", *LEAST[backbone]]
    # Forked, and so not slowed down by the measuring of what tests cover.
    arguments = [str(folder / "hparams" / "mini.yaml"), *options]
    result = run_forked(recipe_main, arguments, folder / "train.py")
    assert result.returncode == 0, result.stderr
    rows = json.loads((tmp_path / "results.json").read_text())["depths"]
    assert [row["blocks"] for row in rows] == [0, 1, 2]
    assert all(row["si_sdr_improvement"] > 0.5 for row in rows[1:])
    enhancer = BloomEnhancer.from_hparams(source=str(tmp_path / "pretrained"))
    assert len(enhancer.enhance_file(noisy_file, blocks=1)) == sf.info(noisy_file).frames


def depths_scored(folder) -> list[int]:
    results = json.loads((folder / "results.json").read_text())
    return [row["blocks"] for row in results["depths"]]


def test_one_network_of_the_largest_depth_by_one_key(tmp_path):
    result = run_here(tmp_path, training="e2e", end_to_end_epochs=1, use_tensorboard=True)
    assert result.returncode == 0, result.stderr
    assert depths_scored(tmp_path) == [0, 2]
    assert list((tmp_path / "tensorboard").iterdir())


def test_two_processes_and_batch_norms(tmp_path):
    arguments = tiny_arguments(
        tmp_path,
        distributed_backend="gloo",
        device="cpu",
        norm="BN",
        num_workers=1,
        **ONCE,
    )
    started = [Forked(recipe_main, arguments, **environment) for environment in ranks()]
    results = [process.finish() for process in started]
    assert [result.returncode for result in results] == [0, 0], results[0].stderr
    assert len((tmp_path / "train_log.txt").read_text().splitlines()) == 3
    assert (tmp_path / "results.json").is_file()


def test_all_estimates_from_a_network_by_two_keys(pretrained, tmp_path):
    result = run_here(
        tmp_path,
        training="joint",
        start_from=pretrained,
        spectral_weight=1.0,
        pesq_weight=1.0,
        end_to_end_lr=1e-9,
        end_to_end_segment_seconds=0.5,
    )
    assert result.returncode == 0, result.stderr
    assert depths_scored(tmp_path) == [0, 1, 2]
    before = load_file(pretrained / "model.safetensors")
    after = load_file(tmp_path / "pretrained" / "model.safetensors")
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, atol=1e-6, rtol=0)


def test_a_test_alone_leaves_what_the_training_said(finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "run")
    before = {path: path.read_bytes() for path in (tmp_path / "run" / "pretrained").iterdir()}
    result = run_here(tmp_path / "run", test_only=True, seed=2)
    assert result.returncode == 0, result.stderr
    assert {path: path.read_bytes() for path in before} == before


SPEECHBRAIN_OPTIONS = {
    "precision": "bf16",
    "eval_precision": "bf16",
    "device": "cpu",
    "optimizer_step_limit": 3,
    "remove_vector_weight_decay": True,
    "max_grad_norm": 1.0,
    "noprogressbar": True,
}


def test_options_of_speechbrain(tmp_path):
    result = run_here(tmp_path, **SPEECHBRAIN_OPTIONS)
    assert result.returncode == 0, result.stderr
    for checkpoint in (tmp_path / "save").glob("CKPT*"):
        assert yaml.safe_load((checkpoint / "brain.ckpt").read_text())["optimizer_step"] == 3
    weights = load_file(tmp_path / "pretrained" / "model.safetensors")
    assert all(torch.isfinite(value).all() for value in weights.values())


def test_debugging_is_short_and_leaves_what_is_there(tmp_path):
    finished = tmp_path / "pretrained" / "model.safetensors", tmp_path / "results.md"
    finished[0].parent.mkdir()
    for file in finished:
        file.write_text("of a finished run")
    options = {"debug_batches": 1, "grad_accumulation_factor": 2, "block_epochs": 5}
    result = run_here(tmp_path, debug=True, **options, finetune_epochs=5)
    assert result.returncode == 0, result.stderr
    assert not list((tmp_path / "save").glob("CKPT*"))
    assert {file.read_text() for file in finished} == {"of a finished run"}
    # Two epochs of each stage, as many as SpeechBrain's debug_epochs
    assert len((tmp_path / "train_log.txt").read_text().splitlines()) == 6


SEPARATIONS = [("SepFormer", 2), ("ConvTasNet", 3)]


@pytest.mark.parametrize(("backbone", "num_sources"), SEPARATIONS)
def test_separation(librimix_folder, tmp_path, backbone, num_sources):
    result = run_here(
        tmp_path,
        recipe=RECIPES / backbone,
        hparams="libri2mix.yaml",
        data_folder=librimix_folder,
        train_split="train-100",
        num_sources=num_sources,
        **ONCE,
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


@pytest.fixture(scope="module")
def voicebank_folder(tmp_path_factory):
    return voicebank_demand(tmp_path_factory.mktemp("voicebank"))


# What these two and the next two need of a recipe is the same for each backbone but for its YAML
# file, and every file builds what it says: tests/test_recipe_files.py.
@pytest.mark.parametrize("backbone", ["BandRNN", "SepFormer"])
def test_voicebank_demand(voicebank_folder, tmp_path, backbone):
    options = {**ONCE, "data_folder": voicebank_folder, "hparams": "voicebank_demand.yaml"}
    result = run_here(tmp_path, RECIPES / backbone, **options)
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "results.json").read_text())
    assert results["test_mixtures"] == 4
    assert results["failures"] == []
    # As the log files say
    assert [group["group"] for group in results["by_noise"]] == ["bus", "cafe"]
    assert [group["group"] for group in results["by_snr"]] == ["0 to 5 dB", "5 to 10 dB"]
    card = (tmp_path / "pretrained" / "README.md").read_text()
    assert "VoiceBank-DEMAND, 28 speakers, its test part" in card
    assert "- mix_valid: 4 files" in card
    assert "Mixtures at 16000 Hz." in card
    assert "official test part has 824" in (tmp_path / "log.txt").read_text()


OWN = {
    "ConvTasNet": {"noise_folder": "musan/noise", "rir_folder": "rooms", "reverb": 0.5},
    "DPRNN": {"noisy_folder": "noisy", "test_snr_bands_db": "[[0, 5]]"},
}


@pytest.mark.parametrize("backbone", OWN)
def test_own_data(tmp_path, backbone):
    for place in ("LibriSpeech", "musan"):
        (tmp_path / place).symlink_to(SAMPLES / place)
    shutil.copytree(SAMPLES / "LibriSpeech" / "dev-clean", tmp_path / "noisy")
    (tmp_path / "rooms").mkdir()
    sf.write(tmp_path / "rooms" / "hall.wav", 0.5 ** torch.arange(50).numpy(), 48000)
    options = {**ONCE, "data_folder": tmp_path, "clean_folder": "LibriSpeech/dev-clean"}
    options |= {"hparams": "own_data.yaml", **OWN[backbone]}
    result = run_here(tmp_path / "run", RECIPES / backbone, **options)
    assert result.returncode == 0, result.stderr
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert [row["blocks"] for row in results["depths"]] == [0, 1, 2]
    apart = "noise_folder" in options
    assert "listeners" not in results
    card = (tmp_path / "run" / "pretrained" / "README.md").read_text()
    assert ("- speech_train: " in card) == ("-5 to 20 dB SNR" in card) == apart
    assert ("- mix_train: " in card) != apart


def test_skip_prep_uses_the_manifests_that_are_there(finished_run, tmp_path):
    for part in ("manifests", "save"):
        shutil.copytree(finished_run / part, tmp_path / part)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "manifests").iterdir()}
    result = run_here(tmp_path, skip_prep=True)
    assert result.returncode == 0, result.stderr
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "manifests").iterdir()}


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
    line = error_line(run_here(tmp_path / "run", data_folder=corpus))
    assert str(corpus) in line
    assert ("NaN" in line) == (fault == "nan")
    assert not (tmp_path / "run" / "results.json").exists()


def test_the_backbone_of_the_readme_trains(tmp_path, noisy_file, monkeypatch):
    (code,), (network, keys) = readme_blocks("python"), readme_blocks("yaml")
    assert len(code.splitlines()) <= 40
    (tmp_path / "gru.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    recipe = shutil.copytree(RECIPE, tmp_path / "recipes" / "GRU")
    shutil.copytree(RECIPES / "common", tmp_path / "recipes" / "common")
    network = network.replace("bloomnet_sb.separators.gru", "gru")
    (recipe / "hparams" / "models" / "gru.yaml").write_text(network)
    mini = recipe / "hparams" / "mini.yaml"
    mini.write_text(mini.read_text().split("# Network", 1)[0] + keys)
    # Few frames: a GRU's operations are counted one by one.
    sizes = {**TINY, **ONCE, "num_filters": 16, "channels": 8, "kernel_size": 320}
    sizes |= {"test_snr_bands_db": "[]"}
    folders = {"data_folder": SAMPLES, "output_folder": tmp_path / "run"}
    options = [f"--{name}={value}" for name, value in {**sizes, **folders}.items()]
    result = run_main(recipe / "train.py", [mini, *options])
    assert result.returncode == 0, result.stderr
    source = str(tmp_path / "run" / "pretrained")
    enhancer = BloomEnhancer.from_hparams(source=source, trust_source=True)
    assert len(enhancer.enhance_file(noisy_file, blocks=1)) == sf.info(noisy_file).frames
