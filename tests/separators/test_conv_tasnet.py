"""Conv-TasNet beside torchaudio's, and its skip paths in blockwise training."""

import pytest
import torch
from torch.nn import functional as F
from torchaudio.models import ConvTasNet

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.depthwise import DepthwiseConv
from bloomnet_sb.nn.filterbanks import LearnedFilterbank
from bloomnet_sb.nn.levels import NoLevel
from bloomnet_sb.nn.losses import training_loss
from bloomnet_sb.separators import ConvTasNetSeparator
from bloomnet_sb.training.schedule import BlockwiseSchedule
from bloomnet_sb.utils.errors import InputError

KERNEL, STRIDE = 16, 8
BLOCKS, LAYERS = 3, 2


def ours_with_skips(num_sources: int, mask_activation: str, **layers) -> BloomNet:
    """BloomNet as torchaudio's Conv-TasNet, with random weights."""
    torch.manual_seed(0)
    separator = ConvTasNetSeparator(
        num_filters=12,
        bottleneck_channels=8,
        hidden_channels=10,
        num_blocks=BLOCKS,
        num_sources=num_sources,
        mask_activation=mask_activation,
        skip_channels=8,
        **layers,
    )
    model = BloomNet(LearnedFilterbank(12, KERNEL, activation="linear"), separator, NoLevel())
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def load_ours(theirs: ConvTasNet, ours: BloomNet, blocks: int) -> None:
    """Give torchaudio's network the weights that our estimate of `blocks` blocks uses."""
    entry, head = ours.separator.entry, ours.separator.heads[blocks - 1]
    mask = theirs.mask_generator
    pairs = [
        (mask.input_norm, entry.norm),
        (mask.input_conv, entry.bottleneck),
        (mask.output_prelu, head.activation),
        (mask.output_conv, head.mask),
    ]
    layers = [layer for block in ours.separator.blocks[:blocks] for layer in block]
    for index, (layer, other) in enumerate(zip(layers, mask.conv_layers, strict=True)):
        hidden = (layer.expand, layer.activation, layer.norm)
        hidden += (layer.taps, layer.last_activation, layer.last_norm)
        pairs += list(zip(other.conv_layers, hidden, strict=True))
        pairs.append((other.skip_out, layer.skip))
        if index > 0:
            pairs.append((mask.conv_layers[index - 1].res_out, layer.residual))
    for module, source in pairs:
        for name, weight in source.state_dict().items():
            value = weight.t() if isinstance(source, DepthwiseConv) else weight
            parameter = module.get_parameter(name)
            parameter.data = value.reshape(parameter.shape).clone()
    with torch.no_grad():
        theirs.encoder.weight.copy_(ours.encoder.weight[:, None])
        theirs.decoder.weight.copy_(ours.decoders[blocks - 1].weight[:, None])


# torchaudio's layers and stacks for a number of blocks: a stack for each, or a layer for each.
DIVISIONS = {
    "stacks": ({"layers_per_block": LAYERS}, lambda blocks: (LAYERS, blocks)),
    "layers": ({"layers_per_block": 1, "dilation_cycle": BLOCKS}, lambda blocks: (blocks, 1)),
}


@pytest.mark.parametrize(
    ("division", "num_sources", "mask_activation"),
    [
        ("stacks", 1, "sigmoid"),
        ("stacks", 2, "relu"),
        ("layers", 1, "relu"),
        ("layers", 2, "sigmoid"),
    ],
)
@pytest.mark.parametrize("samples", [1, 8, 1003])
def test_estimates_are_torchaudios(division, num_sources, mask_activation, samples):
    layers, layers_and_stacks = DIVISIONS[division]
    ours = ours_with_skips(num_sources, mask_activation, **layers)
    mix = torch.randn(2, samples)
    for blocks in range(1, BLOCKS + 1):
        theirs = ConvTasNet(
            num_sources, KERNEL, 12, 3, 8, 10, *layers_and_stacks(blocks), mask_activation
        ).eval()
        load_ours(theirs, ours, blocks)
        assert ours.num_parameters(blocks) == sum(p.numel() for p in theirs.parameters())
        for with_autograd in (True, False):
            with torch.set_grad_enabled(with_autograd):
                # torchaudio's filters begin one stride before the signal and end one after it.
                estimate = ours.estimate(F.pad(mix, (STRIDE, STRIDE)), blocks)[:, STRIDE:-STRIDE]
                expected = theirs(mix[:, None]).transpose(1, 2)
            torch.testing.assert_close(estimate, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("skip_channels", [None, 6])
def test_every_parameter_of_a_stage_gets_a_gradient(skip_channels):
    torch.manual_seed(0)
    settings = {"epochs": 1, "lr": 1e-3, "segment_seconds": 1.0}
    separator = ConvTasNetSeparator(
        12, 8, 10, num_blocks=BLOCKS, layers_per_block=LAYERS, skip_channels=skip_channels
    )
    model = BloomNet(LearnedFilterbank(12, KERNEL), separator)
    for stage in BlockwiseSchedule("blockwise", BLOCKS, settings, settings, settings).stages:
        trained = {p for name in stage.parts for p in model.part(name).parameters()}
        for parameter in model.parameters():
            parameter.requires_grad_(parameter in trained)
            parameter.grad = None
        estimates = model(torch.randn(2, 800), depths=stage.depths)
        training_loss(estimates, torch.randn(2, 800, 1), 0.01).backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in trained)


@pytest.mark.parametrize("skip_channels", [0, 1.5])
def test_wrong_skip_channels(skip_channels):
    with pytest.raises(InputError, match="skip_channels is"):
        ConvTasNetSeparator(skip_channels=skip_channels)
