"""Fixtures that the tests of training share."""

import pytest
import torch

from bloomnet_sb.training.checkpointer import AtomicCheckpointer
from tests.helpers.brains import HPARAMS, SETTINGS, Brain, Logger


@pytest.fixture
def make_brain(tmp_path):
    """Makes a Brain for a network, whose stages all have the same settings."""

    def make_brain(model, kind="blockwise", folder=tmp_path, other=None, often=0, **settings):
        settings = {**SETTINGS, **settings}
        stages = ("block", "finetune", "end_to_end")
        hparams = {
            **HPARAMS,
            "training": kind,
            "lr_schedule": "constant",
            **{f"{stage}_{key}": value for stage in stages for key, value in settings.items()},
            "train_logger": Logger(),
            **(other or {}),
        }
        options = {"device": "cpu", "noprogressbar": True, "ckpt_interval_steps": often}
        return Brain(
            {"model": model}, torch.optim.Adam, hparams, options, AtomicCheckpointer(folder)
        )

    return make_brain
