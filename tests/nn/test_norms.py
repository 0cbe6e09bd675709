import pytest
import torch
from torch.nn import functional as F

from bloomnet_sb.nn.norms import CumulativeLayerNorm, GlobalLayerNorm, make_norm, norm_then_linear
from bloomnet_sb.utils.errors import InputError


def test_global_norm_equals_torch():
    torch.manual_seed(0)
    norm, x = GlobalLayerNorm(5), (3 + 2 * torch.randn(2, 30, 5)).requires_grad_()
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    expected = F.group_norm(x.transpose(1, 2), 1, norm.weight, norm.bias, norm.eps).transpose(1, 2)
    inputs = (x, norm.weight, norm.bias)
    torch.testing.assert_close(norm(x), expected, atol=1e-5, rtol=1e-5)
    for mine, other in zip(
        torch.autograd.grad(norm(x).pow(3).sum(), inputs),
        torch.autograd.grad(expected.pow(3).sum(), inputs),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("name", ["gLN", "cLN", "cgLN", "BN"])
@pytest.mark.parametrize("training", [True, False])
def test_a_norm_and_a_linear_layer(name, training):
    torch.manual_seed(0)
    norm, linear, x = make_norm(name, 5), torch.nn.Linear(5, 3), torch.randn(2, 30, 5)
    for parameter in norm.parameters():
        torch.nn.init.normal_(parameter)
    norm.train(training)
    torch.testing.assert_close(norm_then_linear(norm, linear, x), linear(norm(x)))


def test_cumulative_norm_ends_where_the_global_norm_is():
    x = 3 + 2 * torch.randn(2, 400, 5)
    ours, theirs = CumulativeLayerNorm(5)(x), make_norm("gLN", 5)(x)
    torch.testing.assert_close(ours[:, -1], theirs[:, -1], atol=1e-5, rtol=1e-4)


def test_unknown_norm_is_refused():
    with pytest.raises(InputError, match="'LN'.*gLN, cLN, cgLN, BN"):
        make_norm("LN", 5)
    with pytest.raises(InputError, match="looks ahead"):
        make_norm("gLN", 5, causal=True)
