"""Separators: one file a backbone, all under the contract of `separators.base.Separator`."""

from bloomnet_sb.separators.band_rnn import BandRNNSeparator
from bloomnet_sb.separators.base import Separator
from bloomnet_sb.separators.conv_tasnet import ConvTasNetSeparator
from bloomnet_sb.separators.dprnn import DPRNNSeparator
from bloomnet_sb.separators.sepformer import SepFormerSeparator

__all__ = [
    "BandRNNSeparator",
    "ConvTasNetSeparator",
    "DPRNNSeparator",
    "SepFormerSeparator",
    "Separator",
]
