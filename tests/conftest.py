"""Fixtures that the tests share."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.separators import ConvTasNetSeparator

REPOSITORY = Path(__file__).parent.parent
SAMPLES = REPOSITORY / "tests" / "samples"
RECIPE = REPOSITORY / "recipes" / "ConvTasNet"

# The least that goes through every stage: 2 blocks, 2 epochs of 3 updates each.
TINY = {
    "num_blocks": 2,
    "layers_per_block": 1,
    "num_filters": 16,
    "bottleneck_channels": 8,
    "hidden_channels": 8,
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
}


def tiny_arguments(output_folder, **overrides) -> list[str]:
    """The command line of the mini recipe at its smallest."""
    options = {"data_folder": SAMPLES, "output_folder": output_folder, **TINY, **overrides}
    arguments = [str(RECIPE / "hparams" / "mini.yaml")]
    for name, value in options.items():
        arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return arguments


def run_python(*arguments, **environment) -> subprocess.CompletedProcess:
    """Run Python in a process of its own, as a user would."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def run_recipe(output_folder, **overrides) -> subprocess.CompletedProcess:
    """Run the mini recipe at its smallest."""
    return run_python(RECIPE / "train.py", *tiny_arguments(output_folder, **overrides))


def make_model(**overrides) -> BloomNet:
    """A small network with random weights in evaluation mode."""
    torch.manual_seed(overrides.pop("seed", 0))
    sizes = {"num_filters": 16, "bottleneck_channels": 8, "hidden_channels": 12, "num_blocks": 3}
    separator = ConvTasNetSeparator(**{**sizes, "layers_per_block": 2, **overrides})
    return BloomNet(separator, num_filters=16, kernel_size=16).eval()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory) -> Path:
    """The output folder of one whole run of the mini recipe at its smallest."""
    folder = tmp_path_factory.mktemp("run") / "output"
    result = run_recipe(folder)
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
