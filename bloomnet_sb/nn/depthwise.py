"""Dilated depthwise convolutions along time, of a whole signal and piece by piece."""

from typing import Any

import torch
from torch import nn
from torch.compiler import is_compiling

from bloomnet_sb.nn.causal import Causal, State
from bloomnet_sb.nn.norms import GlobalLayerNorm


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
        grads = [grad_weight, grad_bias, grad_beyond]
        if len(weight) != len(x):
            grads = [g if g is None else g.sum(0, keepdim=True) for g in grads]
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


class CausalDepthwiseConv(DepthwiseConv, Causal):  # type: ignore[misc]
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
        taps, bias = self.weight.to(x.dtype).unbind(), self.bias.to(x.dtype)
        y, past = filter_next(x, state["past"], taps, bias, self.dilation)
        return y, {"past": past}


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


def filter_next(
    x: torch.Tensor,
    past: torch.Tensor,
    taps: tuple[torch.Tensor, ...],
    bias: torch.Tensor,
    dilation: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """A dilated depthwise convolution of the next frames.

    Arguments
    ---------
    x : torch.Tensor
        [batch, frames, channels].
    past : torch.Tensor
        The frames before, [batch, (taps - 1) * dilation, channels].
    taps : tuple of torch.Tensor
        The weights of each tap, [channels].
    bias : torch.Tensor
        [channels].
    dilation : int
        Frames between two taps.

    Returns
    -------
    (torch.Tensor, torch.Tensor)
        The filtered frames, and the `past` of those that follow.

    Example
    -------
    >>> x, taps = torch.ones(1, 4, 1), (torch.ones(1), torch.ones(1))
    >>> y, past = filter_next(x, torch.zeros(1, 2, 1), taps, torch.zeros(1), dilation=2)
    >>> y.flatten().tolist(), past.flatten().tolist()
    ([1.0, 1.0, 2.0, 2.0], [1.0, 1.0])
    """
    frames, first, past = with_next(past, x)
    y = torch.addcmul(bias, x, taps[-1])
    for tap in taps[:-1]:
        y = y.addcmul_(frames.narrow(1, first, x.shape[1]), tap)
        first += dilation
    return y, past


# Frames that may follow a past before it is copied
ROOM = 256


class _Tape:
    """Frames one after the other, and room for those to come.

    Arguments
    ---------
    past : torch.Tensor
        The first of them, [batch, frames, channels].
    """

    def __init__(self, past: torch.Tensor):
        batch, self.end, channels = past.shape
        self.frames = past.new_empty(batch, self.end + ROOM, channels)
        self.frames.narrow(1, 0, self.end).copy_(past)


def with_next(past: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, int, torch.Tensor]:
    """The frames of a past and those that follow, and the past of what comes then.

    A few frames are written behind the past, which is a view of what came before, so that none is
    copied twice. What anyone holds stays as it is: who goes on from an earlier past than the last
    gets a copy of it.

    Arguments
    ---------
    past : torch.Tensor
        [batch, frames, channels].
    x : torch.Tensor
        The frames that follow.

    Returns
    -------
    (torch.Tensor, int, torch.Tensor)
        Frames; where those of `past` begin in them, and those of `x` follow; and as many frames as
        `past` has, the last of them.

    Example
    -------
    >>> frames, first, past = with_next(torch.zeros(1, 2, 1), torch.ones(1, 1, 1))
    >>> frames[:, first : first + 3].flatten().tolist(), past.flatten().tolist()
    ([0.0, 0.0, 1.0], [0.0, 1.0])
    """
    reach, count = past.shape[1], x.shape[1]
    tape, end = getattr(past, "_tape", (None, 0))
    if torch.is_grad_enabled() or count > ROOM // 4 or tape is None and is_compiling():
        frames = torch.cat([past, x], dim=1)
        return frames, 0, frames.narrow(1, count, reach)
    if tape is None or tape.end != end or end + count > tape.frames.shape[1]:
        tape, end = _Tape(past), reach
    tape.end = end + count
    tape.frames.narrow(1, end, count).copy_(x)
    after: Any = tape.frames.narrow(1, tape.end - reach, reach)
    after._tape = (tape, tape.end)
    return tape.frames, end - reach, after
