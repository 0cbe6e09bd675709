"""Layers of causal networks, and layers that torch runs slowly on a CPU."""

from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.causal import Causal, FrameWise, State


class GRU(Causal):
    """A gated recurrent network along time, see `torch.nn.GRU`.

    Arguments
    ---------
    input_size, hidden_size : int
        Channels in and out.
    num_layers : int
        Layers, one on top of the other.

    Example
    -------
    >>> layer, x = GRU(8, 16), torch.rand(2, 50, 8)
    >>> layer(x).shape, layer.start(2, x)["hidden"].shape
    (torch.Size([2, 50, 16]), torch.Size([2, 1, 16]))
    """

    one_by_one = True
    warm_up = None

    def __init__(self, input_size: int, hidden_size: int, num_layers: int = 1):
        super().__init__()
        self.gru = nn.GRU(input_size, hidden_size, num_layers, batch_first=True)

    def start(self, batch: int, like: torch.Tensor) -> State:
        """Nothing remembered, [batch, layers, channels]."""
        return {"hidden": like.new_zeros(batch, self.gru.num_layers, self.gru.hidden_size)}

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:  # type: ignore[override]
        """Run on `x` [batch, frames, channels]."""
        y, hidden = self.gru(x, state["hidden"].transpose(0, 1).contiguous())
        return y, {"hidden": hidden.transpose(0, 1).contiguous()}


class _PReLUFunction(torch.autograd.Function):
    """PReLU with one slope, with a backward of few passes over the data."""

    @staticmethod
    def forward(ctx, x, slope):
        ctx.save_for_backward(x, slope)
        return F.leaky_relu(x, slope.item())

    @staticmethod
    def backward(ctx, grad):
        x, slope = ctx.saved_tensors
        grad_x = torch.ops.aten.leaky_relu_backward(grad, x, slope.item(), False)
        grad_slope = x.clamp(max=0).mul_(grad).sum()
        return grad_x, grad_slope.to(slope.dtype).view_as(slope)


class PReLU(FrameWise, nn.PReLU):
    """Parametric ReLU with one learned slope for all channels.

    The same function as `torch.nn.PReLU()`, whose backward reduces the slope's gradient slowly
    on a CPU (four times this one's time at [8, 128, 1000], see benchmarks/training.py).

    Arguments
    ---------
    inplace : bool
        Whether to overwrite the input, outside autograd.

    Example
    -------
    >>> PReLU()(torch.tensor([-4.0, 2.0]))
    tensor([-1.,  2.], grad_fn=<_PReLUFunctionBackward>)
    """

    def __init__(self, inplace: bool = False):
        super().__init__(num_parameters=1)
        self.inplace = inplace
        self.slope: float | None = None

    def fold(self) -> None:
        """Keep the slope as a number, which a network that learns no more need not look up."""
        self.slope = self.weight.item()

    def overwriting(self) -> Callable[[torch.Tensor], torch.Tensor]:
        """The activation in one call, which overwrites its input where the slope is a number."""
        if self.slope is None:
            return partial(F.prelu, weight=self.weight)
        return partial(F.leaky_relu_, negative_slope=self.slope)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the activation to `x`, of any shape."""
        if self.slope is not None:
            return F.leaky_relu(x, self.slope, self.inplace)
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        if torch.is_grad_enabled():
            return _PReLUFunction.apply(x, self.weight)
        return F.leaky_relu(x, self.weight.item(), self.inplace)


def normal_parameter(deviation: float, *shape: int) -> nn.Parameter:
    """Weights from a normal distribution.

    Arguments
    ---------
    deviation : float
        Its standard deviation.
    *shape : int
        Of the weights.

    Returns
    -------
    torch.nn.Parameter
        The weights; empty on the meta device, where networks to be loaded are built.

    Example
    -------
    >>> normal_parameter(0.1, 2, 3).shape
    torch.Size([2, 3])
    """
    values = torch.empty(shape)
    # There is nothing to fill on the meta device, and torch would import its compiler for it.
    return nn.Parameter(values if values.is_meta else nn.init.normal_(values, std=deviation))
