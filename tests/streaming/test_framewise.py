import pytest
import torch
from torch import nn

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.nn.norms import BatchNorm
from bloomnet_sb.streaming.framewise import MOST_FRAMES, FramewiseNet, Past
from bloomnet_sb.utils.errors import InputError
from tests.conftest import make_model
from tests.inference.test_enhancer import SMALL_MODELS


def test_the_past_is_the_last_frames_whatever_came():
    past, frames = Past(torch.zeros(1), batch_size=1, reach=7), torch.arange(1.0, 2000.0)
    before = torch.zeros(7)
    for piece in frames.split(13):
        window = past.append(piece[None, :, None])[0, :, 0]
        assert torch.equal(window, torch.cat([before, piece]))
        before = window[-7:].clone()
    assert past.frames.shape[1] <= 7 + MOST_FRAMES


@pytest.mark.parametrize("norm", ["BN", "cLN", "cgLN"])
def test_its_weights_are_its_own(norm):
    model = make_model(norm=norm, causal=True)
    net = FramewiseNet(model)
    windows = torch.randn(1, 5, 16)
    before = net.enter(windows, net.new_memory(1))[1]
    with torch.no_grad():
        model.separator.norm.weight.zero_()
        model.separator.bottleneck.weight.zero_()
    assert torch.equal(net.enter(windows, net.new_memory(1))[1], before)


@pytest.mark.parametrize("name", ["gLN", "BN", "DPRNN"])
def test_a_network_that_is_not_causal(name):
    with pytest.raises(InputError, match="a causal Conv-TasNet; this network is not one"):
        FramewiseNet(SMALL_MODELS[name])


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"skip_channels": 8}, "this one has 8 skip channels and 1 sources"),
        ({"num_sources": 2}, "this one has 0 skip channels and 2 sources"),
    ],
)
def test_networks_that_cannot_stream(overrides, message):
    with pytest.raises(InputError, match=message):
        FramewiseNet(make_model(norm="BN", causal=True, **overrides))


def test_a_network_in_training():
    with pytest.raises(InputError, match="in evaluation mode"):
        FramewiseNet(make_model(norm="BN", causal=True).train())


def test_a_channel_that_a_norm_blanks():
    model = make_model(norm="BN", causal=True)
    norms = [part for part in model.separator.blocks[0].modules() if isinstance(part, BatchNorm)]
    for norm in norms:
        nn.init.zeros_(norm.weight[:1])
        nn.init.constant_(norm.bias[:1], 10.0)
    enhancer = BloomEnhancer({"model": model}, {"sample_rate": 16000})
    mix = 0.1 * torch.randn(800)
    stream = enhancer.stream()
    streamed = torch.cat([stream.process(mix), stream.flush()])
    torch.testing.assert_close(streamed, enhancer.enhance_batch(mix[None])[0], atol=1e-4, rtol=0)
