"""Estimates that are upside down are turned: SI-SDR, which trains them, does not see the sign."""

import torch
from torch.optim import Optimizer

from bloomnet_sb.model import BloomNet

# Of torch's optimizers, what has the sign of the gradients.
SIGNED_MOMENTS = ("exp_avg", "momentum_buffer")


def align_polarity(model: BloomNet, optimizer: Optimizer, products: dict[int, float]) -> None:
    """Turn estimates that are upside down; a cross-fade of two depths would go through silence.

    Training goes on as it would have: the optimizer's moments are turned too.

    Arguments
    ---------
    model : BloomNet
        The network.
    optimizer : torch.optim.Optimizer
        What trains it.
    products : dict
        By number of blocks, the product of its estimates with the targets.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> model = BloomNet(LearnedFilterbank(16), ConvTasNetSeparator(16, num_blocks=1)).eval()
    >>> optimizer, mix = torch.optim.Adam(model.parameters()), torch.rand(1, 800)
    >>> before = model(mix)
    >>> align_polarity(model, optimizer, {1: -1.0})
    >>> torch.allclose(model(mix), -before)
    True
    """
    for depth, product in products.items():
        if not product < 0:  # NaN included
            continue
        for weight in _signed_weights(model, depth):
            moments = optimizer.state.get(weight, {})
            signed = [moments[name] for name in SIGNED_MOMENTS if name in moments]
            for values in (weight.data, *signed):
                values.neg_()


def _signed_weights(model: BloomNet, depth: int) -> list[torch.nn.Parameter]:
    """The weights whose sign an estimate has: its synthesis's, else those of its head."""
    of_synthesis = list(model.part(f"decoder{depth}").parameters())
    signed_weights = getattr(model.part(f"head{depth}"), "signed_weights", list)
    return of_synthesis or signed_weights()
