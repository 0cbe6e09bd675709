"""The temporal convolutional network of Conv-TasNet, cut into blocks."""

from collections.abc import Iterator

import torch
from torch import nn

from bloomnet_sb.nn.causal import Causal, CausalSequential, FrameWise, State
from bloomnet_sb.nn.conv_layers import LayerSizes, SkipFeature, make_layer
from bloomnet_sb.nn.folding import linear_of_norm
from bloomnet_sb.nn.layers import PReLU
from bloomnet_sb.nn.norms import NORMS_OVER_TIME, make_norm, norm_then_linear
from bloomnet_sb.separators.base import Separator, mask_activation_named
from bloomnet_sb.utils.errors import check_positive


class ConvTasNetSeparator(Separator):
    """Conv-TasNet's separator (Luo and Mesgarani, 2019, arXiv 1809.07454) in R blocks.

    A block is X convolutional layers, each of which adds its residual to the bottleneck feature.
    Without skip paths, as in BLOOM-Net (Kim and Kim, 2022, arXiv 2111.09372), a mask head works on
    that feature; with them, on the sum of the skip outputs of all layers so far. Inside, features
    are [batch, frames, channels].

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
    >>> features = torch.rand(1, 16, 30)
    >>> feature = separator.blocks[0](separator.entry(features))
    >>> feature.shape, separator.heads[0](feature, features).shape
    (torch.Size([1, 30, 8]), torch.Size([1, 1, 16, 30]))
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
        num_layers = num_blocks * layers_per_block

        def dilations() -> Iterator[int]:
            # One by one: a network may be refused for its size after some thousand layers.
            return (2 ** (index % dilation_cycle) for index in range(num_layers))

        sizes = LayerSizes(
            bottleneck_channels, hidden_channels, kernel_size, norm, norm_eps, causal, skip_channels
        )
        layers = [
            make_layer(sizes, dilation, first=index == 0)
            for index, dilation in enumerate(dilations())
        ]
        make_block = CausalBlock if causal else nn.Sequential
        make_head = MaskHead if skip_channels is None else SkipMaskHead
        channels = bottleneck_channels if skip_channels is None else skip_channels
        self.set_parts(
            entry=(CausalEntry if causal else Entry)(
                make_norm(norm, num_filters, norm_eps, causal),
                nn.Linear(num_filters, bottleneck_channels),
            ),
            blocks=[
                make_block(*layers[start : start + layers_per_block])
                for start in range(0, num_layers, layers_per_block)
            ],
            heads=[
                make_head(channels, num_filters, num_sources, mask_activation)
                for _ in range(num_blocks)
            ],
        )
        if norm not in NORMS_OVER_TIME:
            self.reach = sum((kernel_size - 1) * dilation for dilation in dilations())


class Entry(nn.Module):
    """Norm and bottleneck, from [batch, filters, frames] to [batch, frames, channels].

    Arguments
    ---------
    norm : torch.nn.Module
        A norm of the features.
    bottleneck : torch.nn.Linear
        To the channels of the trunk.

    Example
    -------
    >>> Entry(nn.LayerNorm(16), nn.Linear(16, 8))(torch.rand(2, 16, 50)).shape
    torch.Size([2, 50, 8])
    """

    def __init__(self, norm: nn.Module, bottleneck: nn.Linear):
        super().__init__()
        self.norm, self.bottleneck = norm, bottleneck

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Enter with `features` [batch, filters, frames]."""
        return norm_then_linear(self.norm, self.bottleneck, features.transpose(1, 2))

    def fold(self) -> None:
        """Make a batch norm a part of the bottleneck."""
        self.norm, self.bottleneck = linear_of_norm(self.norm, self.bottleneck)


class CausalEntry(Entry, Causal):  # type: ignore[misc]
    """An `Entry` whose norm may be causal."""

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:  # type: ignore[override]
        """Enter with features [batch, filters, frames]."""
        after: State = {}
        return self.bottleneck(self.run("norm", x.transpose(1, 2), state, after)), after


class CausalBlock(CausalSequential):
    """Causal layers one after the other."""

    def forward(self, x):
        """Run all layers on a whole signal, each in its own way."""
        for layer in self:
            x = layer(x)
        return x


class MaskHead(FrameWise):
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
    >>> head = MaskHead(8, num_filters=16, num_sources=2)
    >>> head(torch.rand(2, 50, 8), torch.rand(2, 16, 50)).shape
    torch.Size([2, 2, 16, 50])
    """

    def __init__(
        self, channels: int, num_filters: int, num_sources: int, mask_activation: str = "sigmoid"
    ):
        super().__init__()
        self.num_sources = num_sources
        self.activation = PReLU()
        self.mask = nn.Linear(channels, num_sources * num_filters)
        self.mask_activation = mask_activation_named(mask_activation)

    def forward(self, feature: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Masked `features` [batch, filters, frames] by `feature` [batch, frames, channels].

        Returns
        -------
        torch.Tensor
            [batch, sources, filters, frames].
        """
        masks = self.mask_activation(self.mask(self.activation(feature)))
        masks = masks.unflatten(-1, (self.num_sources, -1))
        # A new tensor where autograd has to keep the masks.
        multiply = torch.mul if torch.is_grad_enabled() else torch.Tensor.mul_
        return multiply(masks, features.transpose(1, 2).unsqueeze(2)).permute(0, 2, 3, 1)


class SkipMaskHead(MaskHead):
    """`MaskHead` on the sum of the skip outputs."""

    def forward(self, feature: SkipFeature, features: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Masked features [batch, sources, filters, frames]."""
        return super().forward(feature[2], features)
