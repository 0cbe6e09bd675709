"""Runs of the mini recipe that are broken, and how they are compared."""

import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file

from tests.faults.broken_run import broken_run
from tests.helpers.forked import run_forked
from tests.helpers.recipes import tiny_arguments

# 2 blocks and the fine-tuning, 2 epochs of 3 updates each: 18 updates, a checkpoint at every
# second one and at the end of each epoch.
OFTEN = {"ckpt_interval_steps": 2, "ckpt_interval_minutes": 0}


def run_broken(
    folder: Path, what: str, moment: str, number: int, options: dict = OFTEN
) -> subprocess.CompletedProcess:
    """Run the recipe at its smallest, broken as broken_run.py says, in a session of its own."""
    arguments = tiny_arguments(folder, **options)
    return run_forked(broken_run, what, moment, number, arguments, new_session=True)


def assert_same_weights(one: Path, two: Path) -> None:
    """Of two output folders."""
    one, two = (load_file(folder / "pretrained" / "model.safetensors") for folder in (one, two))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)


def leftovers(folder: Path) -> list[str]:
    """What a run should not leave in its output folder."""
    return [
        path.name
        for path in folder.rglob("*")
        if ".unfinished" in path.name or ".partial" in path.name
    ]
