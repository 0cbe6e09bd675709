"""Runs a recipe and writes what each process of it saw and ended with. For test_distributed.py.

    torchrun --nproc_per_node=2 -m tests.ranks FOLDER ARGUMENTS-OF-THE-RECIPE

FOLDER gets a file for each rank: the ids of each epoch's utterances, and the trained weights.
"""

import os
import sys
from collections import defaultdict
from pathlib import Path

import torch

from bloomnet_sb.training.brain import BlockwiseBrain  # isort: skip (makes SpeechBrain importable)
from bloomnet_sb.training.experiment import main
from speechbrain import Stage

if __name__ == "__main__":
    folder, *arguments = sys.argv[1:]
    seen = defaultdict(list)
    forward, run = BlockwiseBrain.compute_forward, BlockwiseBrain.run

    def watched_forward(brain, batch, stage):
        if stage == Stage.TRAIN:
            seen[brain.hparams.epoch_counter.current] += batch.id
        return forward(brain, batch, stage)

    def watched_run(brain, *args, **kwargs):
        run(brain, *args, **kwargs)
        rank = os.environ.get("RANK", "0")
        state = {"seen": dict(seen), "weights": brain.model.state_dict()}
        torch.save(state, Path(folder) / f"rank{rank}.pt")

    BlockwiseBrain.compute_forward, BlockwiseBrain.run = watched_forward, watched_run
    main(arguments)
