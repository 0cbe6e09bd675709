"""Batch norms as parts of the layers beside them, for networks that learn no more."""

import copy
from typing import TypeVar

import torch
from torch import nn

from bloomnet_sb.nn.depthwise import DepthwiseConv
from bloomnet_sb.nn.norms import ChannelsLastBatchNorm

# In place of a norm's scale of 0, by which nothing can be divided
BLANK = 1e-12

Network = TypeVar("Network", bound=nn.Module)


def fold_batch_norms(module: Network) -> Network:
    """A copy in evaluation mode whose batch norms are parts of the layers beside them.

    Every part gives what it gave, at any place of the network; only what causal layers carry may
    be of another scale. A class that has batch norms beside linear layers says how they fold by a
    method `fold`, which changes the module.

    Arguments
    ---------
    module : torch.nn.Module
        A network, or a part of one. It stays as it is.

    Returns
    -------
    torch.nn.Module
        The copy.

    Example
    -------
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> separator = ConvTasNetSeparator(16, 8, 12, norm="BN").eval()
    >>> features = torch.rand(2, 16, 50)
    >>> folded = fold_batch_norms(separator)
    >>> any(isinstance(layer, ChannelsLastBatchNorm) for layer in folded.modules())
    False
    >>> torch.allclose(folded.entry(features), separator.entry(features), atol=1e-5)
    True
    """
    folded = copy.deepcopy(module).eval()
    with torch.no_grad():
        for part in reversed(list(folded.modules())):  # a layer after the layers in it
            fold = getattr(part, "fold", None)
            if callable(fold):
                fold()
    return folded


def linear_of_norm(norm: nn.Module, linear: nn.Linear) -> tuple[nn.Module, nn.Linear]:
    """What stands for a norm and the linear layer that follows: the norm is gone if it is a BN.

    Example
    -------
    >>> norm, linear = ChannelsLastBatchNorm(8).eval(), nn.Linear(8, 4)
    >>> linear_of_norm(norm, linear)[0]
    Identity()
    """
    if not isinstance(norm, ChannelsLastBatchNorm):
        return norm, linear
    scale, shift = norm.scale_and_shift()
    bias = linear.weight @ shift
    return nn.Identity(), _linear(linear.weight * scale, _plus(bias, linear.bias))


def norm_of_linear(linear: nn.Linear, norm: nn.Module) -> tuple[nn.Linear, nn.Module]:
    """What stands for a linear layer and the norm that follows: the norm is gone if it is a BN.

    Example
    -------
    >>> linear, norm = nn.Linear(8, 4, bias=False), ChannelsLastBatchNorm(4).eval()
    >>> norm_of_linear(linear, norm)
    (Linear(in_features=8, out_features=4, bias=True), Identity())
    """
    if not isinstance(norm, ChannelsLastBatchNorm):
        return linear, norm
    scale, shift = norm.scale_and_shift()
    bias = shift if linear.bias is None else shift + scale * linear.bias
    return _linear(linear.weight * scale[:, None], bias), nn.Identity()


def filter_of_norm(norm: nn.Module, layer: DepthwiseConv) -> tuple[nn.Module, DepthwiseConv]:
    """What stands for a norm and the depthwise convolution that follows: a BN is gone.

    The convolution is changed, and pads with what the norm made zero.

    Example
    -------
    >>> norm, layer = ChannelsLastBatchNorm(8).eval(), DepthwiseConv(8, kernel_size=3)
    >>> with torch.no_grad():
    ...     filter_of_norm(norm, layer)[1].padding.shape
    torch.Size([8])
    """
    if not isinstance(norm, ChannelsLastBatchNorm):
        return norm, layer
    scale, shift = norm.scale_and_shift()
    scale = torch.where(scale == 0, BLANK, scale)
    layer.bias.add_(shift * layer.weight.sum(0))
    layer.weight.mul_(scale)
    layer.padding = -shift / scale
    return nn.Identity(), layer


def _linear(weight: torch.Tensor, bias: torch.Tensor) -> nn.Linear:
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight, linear.bias = nn.Parameter(weight), nn.Parameter(bias)
    return linear.eval()


def _plus(bias: torch.Tensor, more: torch.Tensor | None) -> torch.Tensor:
    return bias if more is None else bias + more
