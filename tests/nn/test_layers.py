import pytest
import torch
from torch import nn

from bloomnet_sb.nn.layers import DepthwiseConv1d, PReLU


def gradients(output, *inputs):
    return torch.autograd.grad(output.square().sum(), inputs)


@pytest.mark.parametrize("frames", [1, 2, 7, 40])
@pytest.mark.parametrize("kernel_size", [2, 3, 5])
@pytest.mark.parametrize("dilation", [1, 2, 16])
@pytest.mark.parametrize("causal", [True, False])
def test_depthwise_equals_torch(frames, kernel_size, dilation, causal):
    layer = DepthwiseConv1d(6, kernel_size, dilation, causal)
    x = torch.randn(2, 6, frames, requires_grad=True)
    padded = nn.functional.pad(x, (layer.left, layer.right))
    expected = nn.Conv1d.forward(layer, padded)
    torch.testing.assert_close(layer(x), expected, atol=1e-6, rtol=1e-5)
    parameters = (x, layer.weight, layer.bias)
    for ours, theirs in zip(
        gradients(layer(x), *parameters), gradients(expected, *parameters), strict=True
    ):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


def test_prelu_equals_torch():
    x = torch.randn(3, 4, 50, requires_grad=True)
    ours, theirs = PReLU(), nn.PReLU()
    torch.testing.assert_close(ours(x), theirs(x))
    for mine, other in zip(
        gradients(ours(x), x, ours.weight), gradients(theirs(x), x, theirs.weight), strict=True
    ):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_a_single_frame_leaves_the_weights_alone():
    layer = DepthwiseConv1d(4, kernel_size=3, dilation=2)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    x, one = torch.randn(1, 4, 1), torch.ones(1, 4, 1)
    torch.testing.assert_close(layer(x), layer(x))
    torch.testing.assert_close(layer.forward_scaled(x, one, 0 * one), layer(x))
    torch.testing.assert_close(layer.state_dict(), before)
