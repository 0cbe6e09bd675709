import pytest
import torch
from torch.nn import functional as F

from bloomnet_sb.nn.depthwise import (
    ROOM,
    CausalDepthwiseConv,
    DepthwiseConv,
    norm_then_filter,
)
from bloomnet_sb.nn.norms import GlobalLayerNorm


def by_torch(layer: DepthwiseConv, x: torch.Tensor) -> torch.Tensor:
    """torch's convolution of [batch, frames, channels], padded with zeros."""
    padded = F.pad(x.transpose(1, 2), (layer.left, layer.reach - layer.left))
    weight = layer.weight.t().unsqueeze(1)
    y = F.conv1d(padded, weight, layer.bias, dilation=layer.dilation, groups=len(layer.bias))
    return y.transpose(1, 2)


def assert_same(found, expected, *inputs):
    """Outputs and gradients are equal but for rounding."""
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    for mine, other in zip(
        torch.autograd.grad(found.square().sum(), inputs),
        torch.autograd.grad(expected.square().sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("frames", [1, 2, 7, 40])
@pytest.mark.parametrize(("kernel_size", "dilation"), [(1, 1), (2, 3), (3, 1), (3, 16), (5, 2)])
@pytest.mark.parametrize("kind", [DepthwiseConv, CausalDepthwiseConv])
def test_depthwise_equals_torch(frames, kernel_size, dilation, kind):
    torch.manual_seed(0)
    layer = kind(6, kernel_size, dilation)
    x = torch.randn(2, frames, 6, requires_grad=True)
    assert_same(layer(x), by_torch(layer, x), x, layer.weight, layer.bias)


@pytest.mark.parametrize("frames", [1, 7, 40])
def test_a_norm_in_the_taps_is_the_norm_before_them(frames):
    torch.manual_seed(0)
    layer, norm = DepthwiseConv(6, 3, 4), GlobalLayerNorm(6)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(2, frames, 6, requires_grad=True)
    inputs = (x, layer.weight, layer.bias, norm.weight, norm.bias)
    assert_same(norm_then_filter(norm, layer, x), layer(norm(x)), *inputs)


@torch.no_grad()
def test_padding_stands_beyond_both_ends():
    torch.manual_seed(0)
    layer, x = DepthwiseConv(6, 3, 4), torch.randn(2, 20, 6)
    layer.padding = torch.randn(6)
    ends = layer.padding.expand(2, 4, 6)
    expected = by_torch(layer, torch.cat([ends, x, ends], dim=1))[:, 4:-4]
    torch.testing.assert_close(layer(x), expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_a_long_stream_is_the_whole_signal():
    """Longer than what may follow a past before it is copied, also where two go on from one."""
    torch.manual_seed(0)
    layer, x = CausalDepthwiseConv(4, 3, 9), torch.randn(1, 3 * ROOM, 4)
    whole, state, outputs = layer(x), layer.start(1, x), []
    for piece in x.split(5, dim=1):
        layer.step(torch.randn(1, 7, 4), state)  # another goes on from here first
        y, state = layer.step(piece, state)
        outputs.append(y)
    torch.testing.assert_close(torch.cat(outputs, dim=1), whole, atol=1e-5, rtol=1e-5)
