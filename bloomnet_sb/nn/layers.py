"""Layers that torch runs slowly on a CPU."""

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.carry import with_past


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


class PReLU(nn.PReLU):
    """Parametric ReLU with one learned slope for all channels.

    The same function as `torch.nn.PReLU()`, whose backward reduces the slope's gradient slowly
    on a CPU (four times this one's time at [8, 128, 1000], see benchmarks/training.py).

    Example
    -------
    >>> PReLU()(torch.tensor([-4.0, 2.0]))
    tensor([-1.,  2.], grad_fn=<_PReLUFunctionBackward>)
    """

    def __init__(self):
        super().__init__(num_parameters=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the activation to `x`, of any shape."""
        if x.device.type != "cpu":
            return super().forward(x)
        return _PReLUFunction.apply(x, self.weight)

    def overwrite(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the activation to `x` in place, outside autograd."""
        return F.leaky_relu_(x, self.weight.item())


class _ShiftedDepthwise(torch.autograd.Function):
    """A dilated depthwise convolution of kernel P as P shifted multiply-adds."""

    @staticmethod
    def forward(ctx, x, weight, bias, dilation, left):
        ctx.save_for_backward(x, weight)
        ctx.taps = _tap_slices(weight.shape[1], dilation, left, x.shape[-1])
        return _shifted_sum(x, weight.to(x.dtype), bias.to(x.dtype)[:, None], ctx.taps)

    @staticmethod
    def backward(ctx, grad):
        x, weight = ctx.saved_tensors
        grad_x = torch.zeros_like(x)
        grad_weight = torch.zeros_like(weight)
        for tap, (source, target) in enumerate(ctx.taps):
            grad_x[..., source].addcmul_(grad[..., target], weight[:, tap, None].to(grad.dtype))
            grad_weight[:, tap] = (grad[..., target] * x[..., source]).sum(2).sum(0)
        return grad_x, grad_weight, grad.sum(2).sum(0).to(weight.dtype), None, None


def _shifted_sum(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, taps: list[tuple[slice, slice]]
) -> torch.Tensor:
    """Sum over the taps of weight[.., channels, tap] times the shifted `x`, plus the bias."""
    out = bias.expand_as(x).clone(memory_format=torch.contiguous_format)
    for tap, (source, target) in enumerate(taps):
        out[..., target].addcmul_(x[..., source], weight[..., tap, None])
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


class DepthwiseConv1d(nn.Conv1d):
    """Dilated depthwise convolution whose output has the input's length.

    Arguments
    ---------
    channels : int
        Number of channels, each with its own filter.
    kernel_size : int
        Taps of a filter <P>.
    dilation : int
        Frames between two taps.
    causal : bool
        Whether an output frame sees only its own and earlier input frames.

    Example
    -------
    >>> layer = DepthwiseConv1d(8, kernel_size=3, dilation=4)
    >>> layer(torch.rand(2, 8, 50)).shape
    torch.Size([2, 8, 50])
    """

    bias: torch.Tensor  # None in torch's, where there is none

    def __init__(self, channels: int, kernel_size: int, dilation: int = 1, causal: bool = False):
        super().__init__(channels, channels, kernel_size, dilation=dilation, groups=channels)
        reach = (kernel_size - 1) * dilation
        self.left = reach if causal else reach // 2
        self.right = reach - self.left

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Filter `x` [batch, channels, frames]; the result has the same shape."""
        frames = x.shape[-1]
        return self._filter(with_past(self, x, self.left))[..., -frames:]

    def _filter(self, x: torch.Tensor) -> torch.Tensor:
        if x.device.type != "cpu":
            return super().forward(F.pad(x, (self.left, self.right)))
        # torch's own CPU kernel for dilated depthwise convolution takes four times as long.
        return _ShiftedDepthwise.apply(
            x, self.weight.squeeze(1), self.bias, self.dilation[0], self.left
        )

    def forward_scaled(
        self, x: torch.Tensor, scale: torch.Tensor, shift: torch.Tensor
    ) -> torch.Tensor:
        """Filter `scale * x + shift` in the passes that filtering `x` takes, outside autograd.

        Arguments
        ---------
        x : torch.Tensor
            [batch, channels, frames], on the CPU.
        scale, shift : torch.Tensor
            [batch, channels, 1] each.

        Returns
        -------
        torch.Tensor
            [batch, channels, frames].
        """
        new_frames = x.shape[-1]
        x = with_past(self, x, self.left)
        frames = x.shape[-1]
        weight = self.weight.squeeze(1)
        taps = _tap_slices(weight.shape[1], self.dilation[0], self.left, frames)
        # Taps beyond the ends meet padding, which is not shifted.
        bias = self.bias[:, None] + shift * weight.sum(1, keepdim=True)
        out = _shifted_sum(x, scale * weight, bias, taps)
        for tap, (_, target) in enumerate(taps):
            unshifted = shift * weight[:, tap, None]
            out[..., : target.start] -= unshifted
            out[..., target.stop :] -= unshifted
        return out[..., -new_frames:]
