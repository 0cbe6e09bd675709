"""The temporal convolutional network of Conv-TasNet, cut into blocks."""

import torch
from torch import nn

from bloomnet_sb.errors import check_positive
from bloomnet_sb.layers import DepthwiseConv1d, PReLU
from bloomnet_sb.norms import NORMS_OVER_TIME, can_fold, make_norm, norm_then_pointwise
from bloomnet_sb.separators.base import Separator, mask_activation_named


class ConvTasNetSeparator(Separator):
    """Conv-TasNet's separator (Luo and Mesgarani, 2019, arXiv 1809.07454) in R blocks.

    A block is X convolutional layers without skip paths, as in BLOOM-Net (Kim and Kim, 2022,
    arXiv 2111.09372): each layer adds its residual to the bottleneck feature.

    Arguments
    ---------
    num_filters : int
        Features of the encoder <N>.
    bottleneck_channels : int
        Channels between the layers <B>.
    hidden_channels : int
        Channels inside a layer <H>.
    kernel_size : int
        Taps of the depthwise convolution <P>.
    layers_per_block : int
        Convolutional layers in a block <X>.
    num_blocks : int
        Blocks, each with a mask head <R>.
    num_sources : int
        Sources to estimate <C>.
    dilation_cycle : int, optional
        Number of layers after which the dilation, doubled from layer to layer, starts again
        at 1; it may be longer than a block. Default: `layers_per_block`.
    norm : str
        "gLN", "cLN", "cgLN" or "BN", see `bloomnet_sb.norms.make_norm`.
    causal : bool
        Whether no frame depends on a later one; "gLN" is refused then.
    mask_activation : str
        "sigmoid" or "relu".
    norm_eps : float
        Added to the variance in each norm.

    Raises
    ------
    InputError
        For a size below 1 or an unknown norm or activation.

    Example
    -------
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=2, bottleneck_channels=8)
    >>> state = separator.enter(torch.rand(1, 16, 30))
    >>> separator.heads[1](separator.blocks[1](separator.blocks[0](state))).shape
    torch.Size([1, 1, 16, 30])
    """

    def __init__(
        self,
        num_filters: int = 512,
        bottleneck_channels: int = 128,
        hidden_channels: int = 512,
        kernel_size: int = 3,
        layers_per_block: int = 1,
        num_blocks: int = 6,
        num_sources: int = 1,
        dilation_cycle: int | None = None,
        norm: str = "gLN",
        causal: bool = False,
        mask_activation: str = "sigmoid",
        norm_eps: float = 1e-8,
    ):
        super().__init__(num_filters, num_sources, causal)
        dilation_cycle = dilation_cycle or layers_per_block
        check_positive(
            num_filters=num_filters,
            bottleneck_channels=bottleneck_channels,
            hidden_channels=hidden_channels,
            kernel_size=kernel_size,
            layers_per_block=layers_per_block,
            num_blocks=num_blocks,
            num_sources=num_sources,
            dilation_cycle=dilation_cycle,
        )
        self.carries = causal
        dilations = [2 ** (n % dilation_cycle) for n in range(num_blocks * layers_per_block)]
        if norm not in NORMS_OVER_TIME:
            self.reach = sum((kernel_size - 1) * dilation for dilation in dilations)
        self.norm = make_norm(norm, num_filters, norm_eps, causal)
        self.bottleneck = nn.Conv1d(num_filters, bottleneck_channels, 1)

        def make_layer(dilation: int) -> ConvLayer:
            return ConvLayer(
                bottleneck_channels,
                hidden_channels,
                kernel_size,
                dilation=dilation,
                norm=norm,
                causal=causal,
                norm_eps=norm_eps,
            )

        layers = [make_layer(dilation) for dilation in dilations]
        self.set_blocks(
            blocks=[
                nn.Sequential(*layers[start : start + layers_per_block])
                for start in range(0, len(layers), layers_per_block)
            ],
            heads=[
                MaskHead(bottleneck_channels, num_filters, num_sources, mask_activation)
                for _ in range(num_blocks)
            ],
        )

    def enter(self, features: torch.Tensor) -> torch.Tensor:
        """Norm and bottleneck: [batch, filters, frames] to [batch, bottleneck, frames]."""
        return norm_then_pointwise(self.norm, self.bottleneck, features)


class ConvLayer(nn.Module):
    """One layer: 1x1 convolution, depthwise convolution, 1x1 convolution, and the residual sum.

    Arguments
    ---------
    channels : int
        Channels in and out <B>.
    hidden_channels : int
        Channels of the depthwise convolution <H>.
    kernel_size : int
        Its taps <P>.
    dilation : int
        Frames between two taps.
    norm : str
        See `bloomnet_sb.norms.make_norm`.
    causal : bool
        Whether no frame depends on a later one.
    norm_eps : float
        Added to the variance.

    Example
    -------
    >>> ConvLayer(8, 16, kernel_size=3, dilation=2)(torch.rand(2, 8, 50)).shape
    torch.Size([2, 8, 50])
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        kernel_size: int,
        dilation: int = 1,
        norm: str = "gLN",
        causal: bool = False,
        norm_eps: float = 1e-8,
    ):
        super().__init__()
        self.residual = nn.Sequential(
            nn.Conv1d(channels, hidden_channels, 1),
            PReLU(),
            make_norm(norm, hidden_channels, norm_eps, causal),
            DepthwiseConv1d(hidden_channels, kernel_size, dilation, causal),
            PReLU(),
            make_norm(norm, hidden_channels, norm_eps, causal),
            nn.Conv1d(hidden_channels, channels, 1),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the layer's residual to `x` [batch, channels, frames]."""
        pointwise, activation, norm, depthwise, last_activation, last_norm, last = self.residual
        if not can_fold(norm, x):
            return x + self.residual(x)
        # The same, with the norms folded into what follows them and the activations in place.
        hidden = activation.overwrite(pointwise(x))
        hidden = depthwise.forward_scaled(hidden, *norm.scale_and_shift(hidden))
        hidden = last_activation.overwrite(hidden)
        return x + norm_then_pointwise(last_norm, last, hidden)


class MaskHead(nn.Module):
    """PReLU and a 1x1 convolution to one mask a source.

    Arguments
    ---------
    channels : int
        Channels in <B>.
    num_filters : int
        Features that a mask covers <N>.
    num_sources : int
        Masks <C>.
    mask_activation : str
        "sigmoid" or "relu".

    Example
    -------
    >>> MaskHead(8, num_filters=16, num_sources=2)(torch.rand(2, 8, 50)).shape
    torch.Size([2, 2, 16, 50])
    """

    def __init__(
        self, channels: int, num_filters: int, num_sources: int, mask_activation: str = "sigmoid"
    ):
        super().__init__()
        self.num_sources = num_sources
        self.mask = nn.Sequential(PReLU(), nn.Conv1d(channels, num_sources * num_filters, 1))
        self.activation = mask_activation_named(mask_activation)

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        """Masks [batch, sources, filters, frames] from `state` [batch, channels, frames]."""
        return self.activation(self.mask(state)).unflatten(1, (self.num_sources, -1))
