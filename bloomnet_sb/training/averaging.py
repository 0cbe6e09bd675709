"""A running average of a network's weights, which does better than any of the weights in it."""

import copy

import torch

from bloomnet_sb.utils.errors import InputError, is_number


class WeightAverage:
    """A copy of a network that follows it: its weights, and the statistics of its norms.

    Each update moves the copy towards the network by 1 - d, d = min(decay, (1 + n) / (10 + n))
    after n updates, so that the first weights are soon forgotten (Polyak and Juditsky, 1992, with
    the exponential weights and the start of TensorFlow's ExponentialMovingAverage).

    Arguments
    ---------
    model : torch.nn.Module
        The network, before it is compiled.
    decay : float
        The weight of what was before, in the long run.

    Attributes
    ----------
    model : torch.nn.Module
        The copy, in evaluation mode; its state dict has the names of the network's.

    Raises
    ------
    InputError
        If `decay` is not a number from 0 to 1.

    Example
    -------
    >>> model = torch.nn.Linear(2, 2)
    >>> average = WeightAverage(model, decay=0.5)
    >>> _ = model.weight.data.fill_(1.0), average.model.weight.data.fill_(0.0)
    >>> average.update(model, updates=100)
    >>> average.model.weight
    Parameter containing:
    tensor([[0.5000, 0.5000],
            [0.5000, 0.5000]])
    """

    def __init__(self, model: torch.nn.Module, decay: float = 0.999):
        if not is_number(decay) or not 0 <= decay < 1:
            raise InputError(f"the average's decay is {decay!r}, but must be from 0 to below 1")
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay

    @torch.no_grad()
    def update(self, model: torch.nn.Module, updates: int) -> None:
        """Follow `model`, which has had `updates` updates."""
        share = 1 - min(self.decay, (1 + updates) / (10 + updates))
        averaged, current = self.model.state_dict(), model.state_dict()
        floating = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
        torch._foreach_lerp_(
            [averaged[name] for name in floating], [current[name] for name in floating], share
        )
        for name in averaged.keys() - set(floating):  # counts
            averaged[name].copy_(current[name])
