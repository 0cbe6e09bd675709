"""Which source of several a Brain takes for which, at every depth."""

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch

from bloomnet_sb.nn.losses import best_order, in_order, negative_si_sdr
from tests.helpers.brains import run
from tests.helpers.networks import conv_tasnet


class Pairs(torch.utils.data.Dataset):
    """Four mixtures of a low and a high tone, which come in either order."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        time = torch.arange(1600.0)
        tones = torch.sin(torch.stack([(0.05 + 0.01 * index) * time, 0.9 * time + index], dim=-1))
        target = tones if index % 2 else tones.flip(-1)
        return {"id": str(index), "mix": target.sum(-1), "target": target, "noise": ""}


def test_a_source_is_the_same_at_every_depth(make_brain):
    model = conv_tasnet(num_sources=2, num_blocks=3)
    run(make_brain(model, epochs=12), Pairs())
    for pair in (Pairs()[index] for index in range(4)):
        with torch.no_grad():
            estimates = model.eval()(pair["mix"][None])
        target = pair["target"][None]
        orders = [best_order(target, estimates[depth][None]) for depth in range(3)]
        assert torch.equal(orders[0], orders[1])
        assert torch.equal(orders[0], orders[2])
        assert negative_si_sdr(estimates, in_order(target, orders[0])).max() < -5


def test_the_first_block_decides_on_the_order_and_then_all_together(make_brain):
    brain = make_brain(conv_tasnet(num_sources=2))
    batch = PaddedBatch([Pairs()[0]])
    target = batch.target.data
    noise = 0.1 * torch.randn_like(target)
    right, swapped = target + noise, target.flip(-1) + noise
    brain.stage = brain.schedule.stages[1]
    assert brain.compute_forward(batch, sb.Stage.TRAIN).shape[0] == 2
    follows = brain.compute_objectives(torch.stack([swapped, swapped]), batch, sb.Stage.TRAIN)
    differs = brain.compute_objectives(torch.stack([swapped, right]), batch, sb.Stage.TRAIN)
    assert follows < -10 < 0 < differs
    brain.stage = brain.schedule.stages[-1]
    outvoted = torch.stack([right, swapped, swapped])
    losses = [
        brain.compute_objectives(estimates, batch, sb.Stage.TRAIN)
        for estimates in (outvoted, outvoted.flip(-1))
    ]
    torch.testing.assert_close(*losses)
    unanimous = brain.compute_objectives(torch.stack([swapped] * 3), batch, sb.Stage.TRAIN)
    assert unanimous < losses[0]
