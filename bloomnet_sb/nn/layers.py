"""Layers of causal networks, and layers that torch runs slowly on a CPU."""

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.causal import Causal, FrameWise, State
from bloomnet_sb.nn.norms import GlobalLayerNorm


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

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the activation to `x`, of any shape."""
        if x.device.type != "cpu" or torch.compiler.is_compiling():
            return super().forward(x)
        if torch.is_grad_enabled():
            return _PReLUFunction.apply(x, self.weight)
        return F.leaky_relu(x, self.weight.item(), self.inplace)


class _ShiftedDepthwise(torch.autograd.Function):
    """A dilated depthwise convolution of kernel P as P shifted multiply-adds.

    Of `x` [batch, frames, channels]; weights, and what the taps add that stand where there is no
    frame, are [batch or 1, taps, channels], the bias is [batch or 1, 1, channels].
    """

    @staticmethod
    def forward(ctx, x, weight, bias, beyond, dilation, left):
        ctx.save_for_backward(x, weight)
        ctx.slices = _tap_slices(weight.shape[1], dilation, left, x.shape[1])
        ctx.beyond = None if beyond is None else beyond.shape
        return _shifted_sum(x, weight, bias, beyond, ctx.slices)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad_x = torch.zeros_like(x)
        grad_weight = grad.new_zeros(len(x), *weight.shape[1:])
        grad_beyond = None if ctx.beyond is None else torch.zeros_like(grad_weight)
        for tap, (source, target) in enumerate(ctx.slices):
            grad_x[:, source].addcmul_(grad[:, target], weight[:, tap, None].to(grad.dtype))
            grad_weight[:, tap] = (grad[:, target] * x[:, source]).sum(1)
            if grad_beyond is not None:
                for part in (grad[:, : target.start], grad[:, target.stop :]):
                    grad_beyond[:, tap] += part.sum(1)
        grad_bias = grad.sum(1, keepdim=True)
        grads = (grad_weight, grad_bias, grad_beyond)
        if len(weight) != len(x):
            grads = tuple(g if g is None else g.sum(0, keepdim=True) for g in grads)
        return grad_x, *grads, None, None


def _shifted_sum(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    beyond: torch.Tensor | None,
    slices: list[tuple[slice, slice]],
) -> torch.Tensor:
    """Sum over the taps of their weights times the shifted `x`, plus the bias."""
    weight = weight.to(x.dtype).unsqueeze(2)
    out = bias.to(x.dtype).expand_as(x).clone()
    for tap, (source, target) in enumerate(slices):
        out[:, target].addcmul_(x[:, source], weight[:, tap])
        if beyond is not None:
            out[:, : target.start] += beyond[:, tap, None]
            out[:, target.stop :] += beyond[:, tap, None]
    return out


def _tap_slices(kernel: int, dilation: int, left: int, frames: int) -> list[tuple[slice, slice]]:
    """For each tap, the input frames it reads and the output frames it adds to."""
    slices = []
    for tap in range(kernel):
        shift = tap * dilation - left
        source = slice(min(max(shift, 0), frames), max(min(frames + shift, frames), 0))
        length = max(source.stop - source.start, 0)
        start = min(max(-shift, 0), frames)
        slices.append((slice(source.start, source.start + length), slice(start, start + length)))
    return slices


class DepthwiseConv(nn.Module):
    """Dilated depthwise convolution of [batch, frames, channels], of the input's length.

    Arguments
    ---------
    channels : int
        Number of channels, each with its own filter.
    kernel_size : int
        Taps of a filter <P>.
    dilation : int
        Frames between two taps.

    Attributes
    ----------
    padding : torch.Tensor or None
        What stands beyond both ends, [channels]; None: zeros.

    Example
    -------
    >>> DepthwiseConv(8, kernel_size=3, dilation=4)(torch.rand(2, 50, 8)).shape
    torch.Size([2, 50, 8])
    """

    padding: torch.Tensor | None

    def __init__(self, channels: int, kernel_size: int, dilation: int = 1):
        super().__init__()
        self.dilation = dilation
        self.reach = (kernel_size - 1) * dilation
        self.left = self.reach // 2
        self.weight = nn.Parameter(torch.empty(kernel_size, channels))
        self.bias = nn.Parameter(torch.empty(channels))
        for parameter in (self.weight, self.bias):
            nn.init.uniform_(parameter, -(kernel_size**-0.5), kernel_size**-0.5)
        self.register_buffer("padding", None)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Filter `x` [batch, frames, channels]; the result has the same shape."""
        beyond = None if self.padding is None else (self.weight * self.padding)[None]
        return self._filter(x, self.weight[None], self.bias[None, None], beyond)

    def scaled(self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        """Filter `scale * x + shift` in the passes that filtering `x` takes.

        Arguments
        ---------
        x : torch.Tensor
            [batch, frames, channels].
        scale, shift : torch.Tensor
            [batch, 1, channels] each.

        Returns
        -------
        torch.Tensor
            [batch, frames, channels].
        """
        added = shift * self.weight
        bias = self.bias + added.sum(1, keepdim=True)
        # Taps beyond the ends meet zeros, which are not shifted.
        return self._filter(x, scale * self.weight, bias, -added)

    def _filter(self, x, weight, bias, beyond):
        return _ShiftedDepthwise.apply(x, weight, bias, beyond, self.dilation, self.left)


class CausalDepthwiseConv(DepthwiseConv, Causal):
    """A `DepthwiseConv` whose output sees the frames so far; it carries the last of them.

    Example
    -------
    >>> layer, x = CausalDepthwiseConv(8, kernel_size=3, dilation=4), torch.rand(2, 50, 8)
    >>> torch.allclose(layer(x)[:, :20], layer(x[:, :20]), atol=1e-6)
    True
    """

    def __init__(self, channels: int, kernel_size: int, dilation: int = 1):
        super().__init__(channels, kernel_size, dilation)
        self.left = self.reach

    @property
    def warm_up(self) -> int:
        """The frames before the present one that it sees."""
        return self.reach

    def start(self, batch: int, like: torch.Tensor) -> State:
        """What stands before the first frame, [batch, reach, channels]."""
        channels = len(self.bias)
        before = like.new_zeros(channels) if self.padding is None else self.padding
        return {"past": before.repeat(batch, self.reach, 1)}

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:  # type: ignore[override]
        """Filter `x` [batch, frames, channels]."""
        seen, frames = torch.cat([state["past"], x], dim=1), x.shape[1]
        weight, bias = self.weight.to(x.dtype), self.bias.to(x.dtype)
        y = torch.addcmul(bias, x, weight[-1])
        for tap, one in enumerate(weight[:-1]):
            y = y.addcmul_(seen.narrow(1, tap * self.dilation, frames), one)
        return y, {"past": seen[:, frames:]}


def norm_then_filter(norm: nn.Module, layer: DepthwiseConv, x: torch.Tensor) -> torch.Tensor:
    """A depthwise convolution of the normalised `x`; gLN is a part of its taps, to save passes.

    Arguments
    ---------
    norm : torch.nn.Module
        A norm of `bloomnet_sb.nn.norms.make_norm`.
    layer : DepthwiseConv
        The convolution.
    x : torch.Tensor
        [batch, frames, channels].

    Returns
    -------
    torch.Tensor
        `layer(norm(x))`, [batch, frames, channels].

    Example
    -------
    >>> norm, layer, x = GlobalLayerNorm(8), DepthwiseConv(8, 3), torch.rand(2, 50, 8)
    >>> torch.allclose(norm_then_filter(norm, layer, x), layer(norm(x)), atol=1e-5)
    True
    """
    if not isinstance(norm, GlobalLayerNorm):
        return layer(norm(x))
    return layer.scaled(x, *norm.scale_and_shift(x))
