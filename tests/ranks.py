"""Runs a recipe and writes what each process of it saw and ended with. For test_distributed.py.

    torchrun --nproc_per_node=2 -m tests.ranks FOLDER ARGUMENTS-OF-THE-RECIPE

FOLDER gets a file for each rank: the ids of each epoch's utterances, and the trained weights.
"""

import os
import sys
from collections import defaultdict
from pathlib import Path

import torch

import bloomnet_sb  # noqa: F401  # isort: skip (makes SpeechBrain importable)
from speechbrain import Stage

from tests.helpers.recipes import recipe_module

if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    seen = defaultdict(list)
    recipe = recipe_module()
    Brain = recipe.ConvTasNetBrain
    forward, fit_stage = Brain.compute_forward, Brain.fit_stage

    def watched_forward(brain, batch, stage):
        if stage == Stage.TRAIN:
            seen[brain.epoch_counter.current] += batch.id
        return forward(brain, batch, stage)

    def watched_fit_stage(brain, *args, **kwargs):
        fit_stage(brain, *args, **kwargs)
        rank = os.environ.get("RANK", "0")
        state = {"seen": dict(seen), "weights": brain.model.state_dict()}
        torch.save(state, Path(folder) / f"rank{rank}.pt")

    Brain.compute_forward, Brain.fit_stage = watched_forward, watched_fit_stage
    recipe.main(arguments)
