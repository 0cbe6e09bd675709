"""Runs of the mini recipe that are broken, and how they are compared."""

import json
import subprocess
from pathlib import Path
from unittest.mock import patch

import torch
from safetensors.torch import load_file

from tests.faults.broken_run import broken_run
from tests.helpers.forked import run_forked
from tests.helpers.recipes import recipe_module, run_here, tiny_arguments

# 2 blocks and the fine-tuning, 2 epochs of 3 updates each: 18 updates, a checkpoint at every
# second one and at the end of each epoch.
OFTEN = {"ckpt_interval_steps": 2, "ckpt_interval_minutes": 0}


def run_broken(
    folder: Path, what: str, moment: str, number: int, options: dict = OFTEN
) -> subprocess.CompletedProcess:
    """Run the recipe at its smallest, broken as broken_run.py says, in a session of its own."""
    arguments = tiny_arguments(folder, **options)
    return run_forked(broken_run, what, moment, number, arguments, new_session=True)


def train_on(folder: Path, scored: Path, **options) -> subprocess.CompletedProcess:
    """Go on with a run, up to its pretrained folder.

    Half the time of so small a run is for its scores and its page, which follow from its weights:
    here they are not made again, the scores are those of the run in `scored`.
    """
    results = json.loads((scored / "results.json").read_text())
    with patch.object(recipe_module(), "evaluate", lambda *_: results):
        return run_here(folder, **options)


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
