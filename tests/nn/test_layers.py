import pytest
import torch
from torch import nn

from bloomnet_sb.nn.layers import GRU, PReLU


def test_prelu_equals_torch():
    x = torch.randn(3, 4, 50, requires_grad=True)
    ours, theirs = PReLU(), nn.PReLU()
    torch.testing.assert_close(ours(x), theirs(x))
    for mine, other in zip(
        torch.autograd.grad(ours(x).square().sum(), (x, ours.weight)),
        torch.autograd.grad(theirs(x).square().sum(), (x, theirs.weight)),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("inplace", [False, True])
@torch.no_grad()
def test_prelu_overwrites_its_input_where_it_may(inplace):
    x = torch.randn(3, 4)
    given, expected = x.clone(), nn.PReLU()(x)
    assert torch.equal(PReLU(inplace)(given), expected)
    assert torch.equal(given, expected if inplace else x)


@torch.no_grad()
def test_gru_equals_torch():
    layer, x = GRU(4, 6, num_layers=2), torch.randn(3, 20, 4)
    assert torch.equal(layer(x), layer.gru(x)[0])
