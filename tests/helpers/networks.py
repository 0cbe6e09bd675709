"""Small networks with random weights, one for each kind that there is."""

from functools import cache

import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.separator import BloomSeparator
from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import LearnedFilterbank, STFTFilterbank
from bloomnet_sb.nn.levels import NoLevel, RmsLevel
from bloomnet_sb.separators import (
    BandRNNSeparator,
    ConvTasNetSeparator,
    DPRNNSeparator,
    SepFormerSeparator,
)
from tests.helpers.readme import backbone_of_the_readme


def conv_tasnet(level=None, window=16, hop=None, pad_input=True, seed=0, **sizes) -> BloomNet:
    """A small Conv-TasNet of three blocks with random weights, the same for the same arguments."""
    torch.manual_seed(seed)
    few = {"num_filters": 16, "bottleneck_channels": 8, "hidden_channels": 12, "num_blocks": 3}
    separator = ConvTasNetSeparator(**{**few, "layers_per_block": 2, **sizes})
    filterbank = LearnedFilterbank(separator.num_filters, window, hop, pad_input=pad_input)
    return BloomNet(filterbank, separator, level).eval()


def band_rnn(**sizes) -> BloomNet:
    """A small BandRNN of three blocks, with windows of 64 samples."""
    torch.manual_seed(0)
    few = {"channels": 8, "entry_channels": 6, "head_channels": (5, 7), "num_blocks": 3}
    separator = BandRNNSeparator(66, 16000, num_bands=21, **{**few, "groups": 2, **sizes})
    return BloomNet(STFTFilterbank(window=64, hop=32), separator).eval()


def readmes_gru(num_blocks: int = 2) -> BloomNet:
    """The backbone that recipes/README.md adds."""
    torch.manual_seed(0)
    separator = backbone_of_the_readme().GRUSeparator(16, 8, num_blocks=num_blocks)
    return BloomNet(LearnedFilterbank(16, 32), separator).eval()


NETWORKS = {
    "gLN": lambda: conv_tasnet(norm="gLN"),
    "cLN": lambda: conv_tasnet(norm="cLN"),
    "cgLN": lambda: conv_tasnet(norm="cgLN"),
    "BN": lambda: conv_tasnet(norm="BN"),
    "DPRNN": lambda: BloomNet(LearnedFilterbank(16, 32), DPRNNSeparator(16, 8, 8, 20, 2)),
    "SepFormer": lambda: BloomNet(
        LearnedFilterbank(16, 32), SepFormerSeparator(16, 8, 16, 2, 1, 50, 2)
    ),
    "causal BN": lambda: conv_tasnet(RmsLevel(), norm="BN", causal=True),
    "causal cLN": lambda: conv_tasnet(norm="cLN", causal=True),
    "causal cgLN": lambda: conv_tasnet(RmsLevel(50), norm="cgLN", causal=True),
    # Windows that overlap by more and by less than a hop
    "odd windows": lambda: conv_tasnet(window=20, hop=7, kernel_size=2, norm="cLN", causal=True),
    "no padding": lambda: conv_tasnet(
        NoLevel(), 20, 7, pad_input=False, kernel_size=2, norm="BN", causal=True
    ),
    "causal skip": lambda: conv_tasnet(norm="BN", causal=True, skip_channels=6),
    "causal sources": lambda: conv_tasnet(norm="BN", causal=True, num_sources=2),
    "BandRNN": band_rnn,
    "complex BandRNN": lambda: band_rnn(mask="complex", layers_per_block=2),
    "README's GRU": readmes_gru,
}
CAUSAL = tuple(list(NETWORKS)[6:])


@cache
def network(name: str) -> BloomNet:
    """One of `NETWORKS` in evaluation mode, the same in every run, with norms in use."""
    torch.manual_seed(0)
    model = NETWORKS[name]()
    for module in model.modules():
        if getattr(module, "running_mean", None) is not None:
            torch.nn.init.normal_(module.running_mean, std=0.3)
            torch.nn.init.uniform_(module.running_var, 0.5, 2)
    return model.eval()


def interface(model: BloomNet) -> BloomEnhancer | BloomSeparator:
    """The pretrained interface that a network is for, at 16 kHz."""
    kind = BloomEnhancer if model.num_sources == 1 else BloomSeparator
    return kind({"model": model}, {"sample_rate": 16000})
