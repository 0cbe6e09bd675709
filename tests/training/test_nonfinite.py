"""Losses that are not finite, while a Brain trains and where it is validated."""

import pytest
import speechbrain as sb
import torch

from bloomnet_sb.utils.errors import InputError
from tests.helpers.brains import Brain, run, snapshot
from tests.helpers.networks import conv_tasnet


@pytest.mark.parametrize("norm", ["gLN", "BN"])
def test_a_batch_without_a_finite_loss_changes_nothing(make_brain, monkeypatch, norm):
    model = conv_tasnet(norm=norm)
    brain, before = make_brain(model, kind="joint"), snapshot(model)
    compute = Brain.compute_objectives

    def spoilt(brain, predictions, batch, stage):
        loss = compute(brain, predictions, batch, stage)
        return loss * float("nan") if stage == sb.Stage.TRAIN else loss

    monkeypatch.setattr(Brain, "compute_objectives", spoilt)
    brain.skip_nonfinite_grads = True
    run(brain)
    after = snapshot(model)
    # A decoder may have been turned, see `bloomnet_sb.training.polarity`.
    assert all(torch.equal(before[name].abs(), after[name].abs()) for name in before)
    assert brain.nonfinite_count == 2


def test_too_many_of_them_are_an_error(make_brain, monkeypatch):
    brain = make_brain(conv_tasnet(), kind="joint", epochs=1)
    brain.nonfinite_patience = 1
    monkeypatch.setattr(
        Brain, "compute_objectives", lambda brain, predictions, *_: predictions.sum() / 0
    )
    with pytest.raises(InputError, match="not finite in 2 updates of an epoch"):
        run(brain)


@pytest.mark.parametrize("spoilt_losses", [1, 4])
def test_a_validation_without_a_finite_loss_is_not_the_best(make_brain, spoilt_losses):
    """Of four: a mean of the others, or 0, would be less than the losses of the other epochs."""
    brain = make_brain(conv_tasnet(), kind="joint", epochs=3)
    evaluated = Brain.compute_objectives

    def spoilt(brain, predictions, batch, stage):
        loss = evaluated(brain, predictions, batch, stage)
        if stage == sb.Stage.TRAIN:
            return loss
        if brain.epoch_counter.current == 2 and brain.step <= spoilt_losses:
            brain.valid_products[-1] += torch.nan
            return loss * torch.nan
        return loss + 1000

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Brain, "compute_objectives", spoilt)
        run(brain)
    best = brain.checkpointer.find_checkpoint(min_key="loss")
    assert best.paramfiles["counter"].read_text() != "2"
    assert best.meta["loss"] > 500
