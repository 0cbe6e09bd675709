"""The temporal convolutional network of Conv-TasNet, cut into blocks."""

from typing import Any, NamedTuple, cast

import torch
from torch import nn

from bloomnet_sb.nn.layers import DepthwiseConv1d, PReLU
from bloomnet_sb.nn.norms import NORMS_OVER_TIME, can_fold, make_norm, norm_then_pointwise
from bloomnet_sb.separators.base import Separator, mask_activation_named
from bloomnet_sb.utils.errors import check_positive


class ConvTasNetSeparator(Separator):
    """Conv-TasNet's separator (Luo and Mesgarani, 2019, arXiv 1809.07454) in R blocks.

    A block is X convolutional layers, each of which adds its residual to the bottleneck feature.
    Without skip paths, as in BLOOM-Net (Kim and Kim, 2022, arXiv 2111.09372), a mask head works on
    that feature; with them, on the sum of the skip outputs of all layers so far.

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
        "gLN", "cLN", "cgLN" or "BN", see `bloomnet_sb.nn.norms.make_norm`.
    causal : bool
        Whether no frame depends on a later one; "gLN" is refused then.
    mask_activation : str
        "sigmoid" or "relu".
    norm_eps : float
        Added to the variance in each norm.
    skip_channels : int, optional
        Channels of the skip paths <Sc>. Default: no skip paths.

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
        skip_channels: int | None = None,
    ):
        super().__init__(num_filters, num_sources, causal)
        dilation_cycle = layers_per_block if dilation_cycle is None else dilation_cycle
        check_positive(
            num_filters=num_filters,
            bottleneck_channels=bottleneck_channels,
            hidden_channels=hidden_channels,
            kernel_size=kernel_size,
            layers_per_block=layers_per_block,
            num_blocks=num_blocks,
            num_sources=num_sources,
            dilation_cycle=dilation_cycle,
            skip_channels=1 if skip_channels is None else skip_channels,
        )
        self.carries = causal
        self.norm = make_norm(norm, num_filters, norm_eps, causal)
        self.bottleneck = nn.Conv1d(num_filters, bottleneck_channels, 1)

        self.skip_channels = skip_channels

        def make_layer(index: int) -> nn.Module:
            dilation = 2 ** (index % dilation_cycle)
            sizes = (bottleneck_channels, hidden_channels, kernel_size, dilation)
            if skip_channels is None:
                return ConvLayer(*sizes, norm, causal, norm_eps)
            return SkipConvLayer(*sizes, norm, causal, norm_eps, skip_channels, first=index == 0)

        num_layers = num_blocks * layers_per_block
        layers = [make_layer(index) for index in range(num_layers)]
        if norm not in NORMS_OVER_TIME:
            dilations = (2 ** (index % dilation_cycle) for index in range(num_layers))
            self.reach = sum((kernel_size - 1) * dilation for dilation in dilations)
        head = MaskHead if skip_channels is None else SkipMaskHead
        self.set_blocks(
            blocks=[
                nn.Sequential(*layers[start : start + layers_per_block])
                for start in range(0, len(layers), layers_per_block)
            ],
            heads=[
                head(
                    skip_channels or bottleneck_channels, num_filters, num_sources, mask_activation
                )
                for _ in range(num_blocks)
            ],
        )

    def enter(self, features: torch.Tensor) -> "torch.Tensor | SkipState":
        """Norm and bottleneck: [batch, filters, frames] to [batch, bottleneck, frames]."""
        bottleneck = norm_then_pointwise(self.norm, self.bottleneck, features)
        return bottleneck if self.skip_channels is None else SkipState(bottleneck, None, 0.0)


def hidden_layers(
    channels: int,
    hidden_channels: int,
    kernel_size: int,
    dilation: int,
    norm: str,
    causal: bool,
    norm_eps: float,
) -> list[nn.Module]:
    """What a layer has before its last 1x1 convolutions, from `channels` to `hidden_channels`.

    The arguments are those of `ConvLayer`.

    Example
    -------
    >>> nn.Sequential(*hidden_layers(8, 16, 3, 2, "gLN", False, 1e-8))(torch.rand(2, 8, 50)).shape
    torch.Size([2, 16, 50])
    """
    return [
        nn.Conv1d(channels, hidden_channels, 1),
        PReLU(),
        make_norm(norm, hidden_channels, norm_eps, causal),
        DepthwiseConv1d(hidden_channels, kernel_size, dilation, causal),
        PReLU(),
        make_norm(norm, hidden_channels, norm_eps, causal),
    ]


def folded_hidden(layers: list[Any], x: torch.Tensor) -> torch.Tensor:
    """The `hidden_layers` before the last norm, in as few passes as can be.

    The first norm is folded into the depthwise convolution, and the activations are in place:
    for where `bloomnet_sb.nn.norms.can_fold` says so.

    Example
    -------
    >>> *layers, _ = hidden_layers(8, 16, 3, 2, "gLN", False, 1e-8)
    >>> x = torch.rand(2, 8, 50)
    >>> with torch.no_grad():
    ...     torch.allclose(folded_hidden(layers, x), nn.Sequential(*layers)(x), atol=1e-5)
    True
    """
    pointwise, activation, norm, depthwise, last_activation = layers
    hidden = activation.overwrite(pointwise(x))
    hidden = depthwise.forward_scaled(hidden, *norm.scale_and_shift(hidden))
    return last_activation.overwrite(hidden)


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
        See `bloomnet_sb.nn.norms.make_norm`.
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
        hidden = hidden_layers(
            channels, hidden_channels, kernel_size, dilation, norm, causal, norm_eps
        )
        self.residual = nn.Sequential(*hidden, nn.Conv1d(hidden_channels, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the layer's residual to `x` [batch, channels, frames]."""
        *hidden, norm, last = self.residual
        if not can_fold(norm, x):
            return x + self.residual(x)
        return x + norm_then_pointwise(norm, cast(nn.Conv1d, last), folded_hidden(hidden, x))


class SkipState(NamedTuple):
    """The state of a separator with skip paths.

    Arguments
    ---------
    features : torch.Tensor
        The bottleneck feature, without the residual of the last layer, [batch, channels, frames].
    hidden : torch.Tensor or None
        What that residual is made from, [batch, hidden channels, frames]; None before any layer.
    skips : torch.Tensor or float
        The sum of the skip outputs so far, [batch, skip channels, frames].
    """

    features: torch.Tensor
    hidden: torch.Tensor | None
    skips: torch.Tensor | float


class SkipConvLayer(nn.Module):
    """One layer with a skip path.

    No mask depends on the residual of the last layer that runs. So a residual's 1x1 convolution
    belongs to the layer that takes it in, not to the one before: each block then trains all of
    its parameters in its own stage, and l blocks have those of a network of l blocks.

    Arguments
    ---------
    channels, hidden_channels, kernel_size, dilation, norm, causal, norm_eps
        As `ConvLayer`.
    skip_channels : int
        Channels of the skip output <Sc>.
    first : bool
        Whether there is no layer before.

    Example
    -------
    >>> layer = SkipConvLayer(8, 16, 3, 1, "gLN", False, 1e-8, skip_channels=4, first=True)
    >>> layer(SkipState(torch.rand(2, 8, 50), None, 0.0)).skips.shape
    torch.Size([2, 4, 50])
    """

    def __init__(
        self,
        channels: int,
        hidden_channels: int,
        kernel_size: int,
        dilation: int,
        norm: str,
        causal: bool,
        norm_eps: float,
        skip_channels: int,
        first: bool,
    ):
        super().__init__()
        self.residual = None if first else nn.Conv1d(hidden_channels, channels, 1)
        self.hidden = nn.Sequential(
            *hidden_layers(channels, hidden_channels, kernel_size, dilation, norm, causal, norm_eps)
        )
        self.skip = nn.Conv1d(hidden_channels, skip_channels, 1)

    def forward(self, state: SkipState) -> SkipState:
        """Add the residual of the layer before to the features, and a skip output to the sum."""
        features = state.features
        if self.residual is not None:
            features = features + self.residual(state.hidden)
        *layers, last_norm = self.hidden
        if can_fold(last_norm, features):
            hidden = last_norm(folded_hidden(layers, features))
        else:
            hidden = self.hidden(features)
        return SkipState(features, hidden, state.skips + self.skip(hidden))


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


class SkipMaskHead(MaskHead):
    """`MaskHead` on the sum of the skip outputs."""

    def forward(self, state: SkipState) -> torch.Tensor:  # type: ignore[override]
        """Masks [batch, sources, filters, frames]."""
        return super().forward(cast(torch.Tensor, state.skips))
