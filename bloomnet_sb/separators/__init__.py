"""Separators: one file a backbone, all under the contract of `separators.base.Separator`."""

from bloomnet_sb.separators.base import Separator
from bloomnet_sb.separators.conv_tasnet import ConvTasNetSeparator

__all__ = ["ConvTasNetSeparator", "Separator"]
