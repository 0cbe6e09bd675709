"""Runs a recipe and writes what each process of it saw and ended with.

A file for each rank: the ids of each epoch's utterances, and the trained weights.
"""

import os
from collections import defaultdict
from pathlib import Path

import torch

import bloomnet_sb  # noqa: F401  # isort: skip (makes SpeechBrain importable)
from speechbrain import Stage

from tests.helpers.recipes import recipe_main, recipe_module


def watched_run(folder: Path, arguments: list[str], scored: bool = True) -> None:
    """Run the recipe with these arguments; `folder` gets a file of this process.

    Not `scored`, it ends where its training does.
    """
    seen = defaultdict(list)
    recipe = recipe_module()
    Brain = recipe.ConvTasNetBrain
    if not scored:
        recipe.if_main_process = lambda: False
    forward, fit_stage = Brain.compute_forward, Brain.fit_stage

    def watched_forward(brain, batch, stage):
        if stage == Stage.TRAIN:
            seen[brain.epoch_counter.current] += batch.id
        return forward(brain, batch, stage)

    def watched_fit_stage(brain, *args, **kwargs):
        fit_stage(brain, *args, **kwargs)
        rank = os.environ.get("RANK", "0")
        state = {"seen": dict(seen), "weights": brain.model.state_dict()}
        torch.save(state, folder / f"rank{rank}.pt")

    Brain.compute_forward, Brain.fit_stage = watched_forward, watched_fit_stage
    recipe_main(arguments)
