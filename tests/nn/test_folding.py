"""Folded networks give what they gave, part by part."""

import copy

import pytest
import torch
from torch import nn

from bloomnet_sb.nn.folding import fold_batch_norms
from bloomnet_sb.nn.norms import ChannelsLastBatchNorm
from tests.helpers.causal_contract import close
from tests.helpers.networks import NETWORKS, conv_tasnet, network


def with_random_norms(model):
    """A copy with norms of scales and shifts far from one and zero, one of them zero."""
    model = copy.deepcopy(model)
    for norm in model.modules():
        if isinstance(norm, (ChannelsLastBatchNorm, nn.LayerNorm)):
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
        if isinstance(norm, ChannelsLastBatchNorm):
            norm.weight.data[0] = 0
            nn.init.normal_(norm.running_mean)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    return model.eval()


@pytest.mark.parametrize("name", NETWORKS)
@torch.no_grad()
def test_every_part_gives_what_it_gave(name):
    torch.manual_seed(0)
    model = with_random_norms(network(name))
    folded = fold_batch_norms(model)
    x = features = torch.randn(2, model.separator.num_filters, 40)
    for part in ("entry", *(f"block{depth + 1}" for depth in range(model.num_blocks))):
        expected = model.part(part)(x)
        close(folded.part(part)(x), expected)
        x = expected
    for depth in range(1, model.num_blocks + 1):
        head, folded_head = (net.part(f"head{depth}") for net in (model, folded))
        feature = x  # any head takes what the last block gives
        close(folded_head(feature, features), head(feature, features))


@pytest.mark.parametrize("name", ["BN", "causal BN", "causal sources", "BandRNN"])
def test_no_batch_norm_is_left(name):
    def norms(model):
        return [m for m in model.modules() if isinstance(m, ChannelsLastBatchNorm)]

    assert norms(network(name))
    assert not norms(fold_batch_norms(network(name)))


def test_the_network_itself_stays_as_it_is():
    model = conv_tasnet(norm="BN").train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert not fold_batch_norms(model).training
    assert model.training
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@torch.no_grad()
def test_a_folded_network_may_be_converted_and_folded_again():
    model = with_random_norms(conv_tasnet(norm="BN", causal=True))
    mix = torch.randn(1, 400, dtype=torch.double)
    expected = model.double()(mix)
    folded = fold_batch_norms(fold_batch_norms(model.float()))
    layer = folded.double().separator.blocks[0]
    x = torch.randn(1, 9, 8, dtype=torch.double)
    assert layer.step(x, layer.start(1, x))[0].dtype == torch.double
    torch.testing.assert_close(folded(mix), expected, atol=1e-5, rtol=1e-5)
