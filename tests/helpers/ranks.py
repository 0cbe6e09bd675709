"""Runs a recipe and writes what each process of it saw and ended with: a file for each rank."""

import os
from collections import defaultdict
from pathlib import Path

import torch

import bloomnet_sb  # noqa: F401  # isort: skip (makes SpeechBrain importable)
from speechbrain import Stage

from tests.helpers.recipes import recipe_main, recipe_module


def watched_run(folder: Path, arguments: list[str], scored: bool = True) -> None:
    """Run Conv-TasNet's recipe; `folder` gets the ids of each epoch's utterances and the weights.

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
        _save(folder, {"seen": dict(seen), "weights": brain.model.state_dict()})

    Brain.compute_forward, Brain.fit_stage = watched_forward, watched_fit_stage
    recipe_main(arguments)


def watched_listeners(folder: Path, arguments: list[str], script: Path) -> None:
    """Run the listeners' recipe; `folder` gets the weights and the first update's gradients.

    Beside them what this process alone would have had as gradients.
    """
    recipe = recipe_module(script)
    brains, gradients = [], {}

    class WatchedBrain(recipe.ListenersBrain):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            brains.append(self)

        def on_fit_batch_start(self, batch, should_step):
            super().on_fit_batch_start(batch, should_step)
            if not gradients:
                estimates = self.compute_forward_alone(batch)
                self.compute_objectives(estimates, batch, Stage.TRAIN).backward()
                gradients["alone"] = self.gradients()
                self.optimizer.zero_grad()

        def compute_forward_alone(self, batch):
            wrapped, self.modules["model"] = self.modules["model"], self.model
            estimates = self.compute_forward(batch, Stage.TRAIN)
            self.modules["model"] = wrapped
            return estimates

        def gradients(self):
            named = self.model.named_parameters()
            return {name: p.grad.clone() for name, p in named if p.grad is not None}

        def check_gradients(self):
            gradients.setdefault("together", self.gradients())
            super().check_gradients()

    recipe.ListenersBrain = WatchedBrain
    recipe.main(arguments)
    _save(folder, {"weights": dict(brains[0].model.named_parameters()), **gradients})


def _save(folder: Path, state: dict) -> None:
    torch.save(state, folder / f"rank{os.environ.get('RANK', '0')}.pt")
