"""Fixtures that the tests share."""

import json
import os
import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

import bloomnet_sb  # noqa: F401

from speechbrain.utils.importutils import LazyModule  # isort: skip (bloomnet_sb makes both
from torchaudio.functional import resample  # isort: skip  importable)

# Hypothesis asks every module for its file, and SpeechBrain's lazy ones would import k2 and others.
LazyModule.__file__ = None

REPOSITORY = Path(__file__).parent.parent
SAMPLES = REPOSITORY / "tests" / "samples"
RECIPE = REPOSITORY / "recipes" / "ConvTasNet"

# The least that goes through every stage: 2 blocks, 2 epochs of 3 updates each.
TINY = {
    "num_blocks": 2,
    "num_filters": 16,
    "batch_size": 2,
    "segments_per_epoch": 6,
    "block_epochs": 2,
    "finetune_epochs": 2,
    "end_to_end_epochs": 2,
    "block_segment_seconds": 0.25,
    "finetune_segment_seconds": 0.5,
    "end_to_end_segment_seconds": 0.25,
    "eval_seconds": 1.0,
    "num_workers": 1,
    "with_dnsmos": False,
}
TINY_SEPARATORS = {
    "ConvTasNet": {"layers_per_block": 1, "bottleneck_channels": 8, "hidden_channels": 8},
    "SepFormer": {
        "bottleneck_channels": 8,
        "feedforward_channels": 8,
        "num_heads": 2,
        "layers_per_path": 1,
        "chunk_size": 20,
    },
}


def tiny_arguments(
    output_folder, recipe: Path = RECIPE, hparams: str = "mini.yaml", **overrides
) -> list[str]:
    """The command line of a recipe at its smallest."""
    sizes = {**TINY, **TINY_SEPARATORS[recipe.name]}
    if hparams != "libri2mix.yaml":
        sizes["test_snr_bands_db"] = "[]"  # the test mixtures alone
    options = {"data_folder": SAMPLES, "output_folder": output_folder, **sizes, **overrides}
    arguments = [str(recipe / "hparams" / hparams)]
    for name, value in options.items():
        arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return arguments


def run_python(
    *arguments, start_new_session: bool = False, **environment
) -> subprocess.CompletedProcess:
    """Run Python in a process of its own, as a user would."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=start_new_session,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


@cache
def benchmark_helps() -> dict[str, str]:
    """What `--help` of each benchmark says, by its name; none of them may import torch for it."""
    code = (
        "import contextlib, io, json, pathlib, runpy, sys\n"
        "sys.modules['torch'] = None\n"
        "sys.path.insert(0, sys.argv[1])\n"
        "helps = {}\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.py')):\n"
        "    sys.argv[1:] = ['--help']\n"
        "    with contextlib.redirect_stdout(io.StringIO()) as said:\n"
        "        with contextlib.suppress(SystemExit):\n"
        "            runpy.run_path(str(path), run_name='__main__')\n"
        "    helps[path.stem] = said.getvalue()\n"
        "print(json.dumps(helps))\n"
    )
    result = run_python("-c", code, REPOSITORY / "benchmarks", COLUMNS="200")
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def run_recipe(output_folder, recipe: Path = RECIPE, **overrides) -> subprocess.CompletedProcess:
    """Run a recipe at its smallest, as `tiny_arguments` says."""
    return run_python(recipe / "train.py", *tiny_arguments(output_folder, recipe, **overrides))


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """The output folder of one whole run of the mini recipe at its smallest."""
    folder = tmp_path_factory.mktemp("run") / "output"
    result = run_recipe(folder, test_snr_bands_db="[[-5, 10], [10, 25]]")
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="session")
def pretrained(finished_run) -> Path:
    """The folder that the run left for the pretrained interface."""
    return finished_run / "pretrained"


@pytest.fixture
def noisy_file() -> Path:
    """A noisy demonstration file, 16 kHz, one channel."""
    return SAMPLES / "demo" / "noisy_0dB.flac"


@pytest.fixture(scope="session")
def librimix_folder(tmp_path_factory) -> Path:
    """Libri2Mix/ and Libri3Mix/ of the sample speech, as LibriMix's scripts lay them out."""
    folder = tmp_path_factory.mktemp("librimix")
    parts = {"train-100": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}
    for (part, speech), sources, first in product(parts.items(), (2, 3), range(4)):
        files = sorted((SAMPLES / "LibriSpeech" / speech).rglob("*.flac"))
        # As far apart as can be, so that speakers differ where there are enough of them.
        chosen = files[first :: len(files) // sources][:sources]
        name = "_".join(file.stem for file in chosen)
        for rate in (8000, 16000):
            signals = [speech_at(file, rate, seconds=3 + 0.5 * n) for n, file in enumerate(chosen)]
            for mode, pick in (("min", min), ("max", max)):
                place = folder / f"Libri{sources}Mix" / f"wav{rate // 1000}k" / mode / part
                write_mixture(place, name, signals, pick(map(len, signals)), rate)
    return folder


def speech_at(file: Path, rate: int, seconds: float) -> np.ndarray:
    """The beginning of a speech file at another rate, at a peak of 0.25."""
    samples, file_rate = sf.read(file, dtype="float32", frames=int(seconds * 16000))
    resampled = resample(torch.from_numpy(samples), file_rate, rate).numpy()
    return 0.25 * resampled / np.abs(resampled).max()


def write_mixture(folder: Path, name: str, signals: list, length: int, rate: int) -> None:
    """Write one mixture of LibriMix with its sources, as 16-bit samples that add up exactly."""
    sources = [np.pad(signal, (0, max(length - len(signal), 0)))[:length] for signal in signals]
    sources.append(0.02 * np.random.default_rng(0).standard_normal(length))
    *speech, noise = [np.round(2**15 * source).astype(np.int16) for source in sources]
    mix = sum(speech)
    files = {"mix_clean": mix, "mix_both": mix + noise, "noise": noise}
    files |= {f"s{number}": source for number, source in enumerate(speech, 1)}
    for part, samples in files.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        sf.write(folder / part / f"{name}.wav", samples, rate)
