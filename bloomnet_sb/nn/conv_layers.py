"""The layers of Conv-TasNet, causal and not, with and without skip paths."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import nn

from bloomnet_sb.nn.causal import Causal, State
from bloomnet_sb.nn.depthwise import (
    CausalDepthwiseConv,
    DepthwiseConv,
    filter_next,
    norm_then_filter,
)
from bloomnet_sb.nn.folding import filter_of_norm, linear_of_norm
from bloomnet_sb.nn.layers import PReLU
from bloomnet_sb.nn.norms import make_norm, norm_then_linear


class LayerSizes(NamedTuple):
    """What the layers of a network have in common.

    Arguments
    ---------
    channels : int
        Channels in and out <B>.
    hidden_channels : int
        Channels of the depthwise convolution <H>.
    kernel_size : int
        Its taps <P>.
    norm : str
        See `bloomnet_sb.nn.norms.make_norm`.
    norm_eps : float
        Added to the variance.
    causal : bool
        Whether no frame depends on a later one.
    skip_channels : int, optional
        Channels of the skip output <Sc>.
    """

    channels: int
    hidden_channels: int
    kernel_size: int
    norm: str = "gLN"
    norm_eps: float = 1e-8
    causal: bool = False
    skip_channels: int | None = None


def make_layer(sizes: LayerSizes, dilation: int, first: bool = False) -> nn.Module:
    """The layer of that kind.

    Arguments
    ---------
    sizes : LayerSizes
        Sizes and kind.
    dilation : int
        Frames between two taps.
    first : bool
        Whether there is no layer before.

    Example
    -------
    >>> make_layer(LayerSizes(8, 16, kernel_size=3), dilation=2)(torch.rand(2, 50, 8)).shape
    torch.Size([2, 50, 8])
    """
    if sizes.skip_channels is None:
        return (CausalConvLayer if sizes.causal else ConvLayer)(sizes, dilation)
    return (CausalSkipConvLayer if sizes.causal else SkipConvLayer)(sizes, dilation, first)


class HiddenLayers(nn.Module):
    """What a layer has before its last linear ones, from `channels` to `hidden_channels`.

    Arguments
    ---------
    sizes : LayerSizes
        Its sizes.
    dilation : int
        Frames between two taps.
    """

    def __init__(self, sizes: LayerSizes, dilation: int):
        super().__init__()
        hidden = sizes.hidden_channels
        convolution = CausalDepthwiseConv if sizes.causal else DepthwiseConv
        self.expand = nn.Linear(sizes.channels, hidden)
        self.activation = PReLU(inplace=True)
        self.norm = make_norm(sizes.norm, hidden, sizes.norm_eps, sizes.causal)
        self.taps = convolution(hidden, sizes.kernel_size, dilation)
        self.last_activation = PReLU(inplace=True)
        self.last_norm = make_norm(sizes.norm, hidden, sizes.norm_eps, sizes.causal)

    def hidden(self, x: torch.Tensor) -> torch.Tensor:
        """What the last norm gets, of `x` [batch, frames, channels]."""
        hidden = self.activation(self.expand(x))
        return self.last_activation(norm_then_filter(self.norm, self.taps, hidden))

    def fold(self) -> None:
        """Make a batch norm before the taps a part of them."""
        self.norm, self.taps = filter_of_norm(self.norm, self.taps)


class PlainWeights(NamedTuple):
    """The weights of a layer, in a form that takes no time to look up.

    Arguments
    ---------
    expand, expand_bias : torch.Tensor
        Of the first 1x1 convolution, [channels, hidden channels] and [hidden channels].
    activation, last_activation : callable
        The activations, which may overwrite what they are given.
    taps, bias : tuple of torch.Tensor, torch.Tensor
        Of the depthwise convolution.
    dilation : int
        Its frames between two taps.
    has_norm, has_last_norm : bool
        Whether there are norms to run.
    last : tuple of torch.Tensor
        Weight [hidden channels, channels] and bias [channels] of the last 1x1 convolution, if the
        layer has one.
    """

    expand: torch.Tensor
    expand_bias: torch.Tensor
    activation: Callable[[torch.Tensor], torch.Tensor]
    taps: tuple[torch.Tensor, ...]
    bias: torch.Tensor
    dilation: int
    last_activation: Callable[[torch.Tensor], torch.Tensor]
    has_norm: bool
    has_last_norm: bool
    last: tuple[torch.Tensor, ...] = ()


def _product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """`x` [batch, frames, channels] times `weight` [channels, outputs], plus `bias`.

    For a few frames `torch.nn.functional.linear` takes a third longer: it turns the weight first.
    """
    batch, frames, channels = x.shape
    return torch.addmm(bias, x.reshape(-1, channels), weight).view(batch, frames, -1)


class CausalHiddenLayers(HiddenLayers, Causal):
    """`HiddenLayers` that run on a signal piece by piece: a few frames, in few calls."""

    plain: PlainWeights | None = None

    def next_hidden(self, x: torch.Tensor, state: State) -> tuple[Any, State]:
        """What the last norm gives, of the next frames, and what to carry on."""
        use = self.plain or self.weights()
        after: State = {}
        hidden: Any = use.activation(_product(x, use.expand, use.expand_bias))
        if use.has_norm:
            hidden = self.run("norm", hidden, state, after)
        hidden, after["taps.past"] = filter_next(
            hidden, state["taps.past"], use.taps, use.bias, use.dilation
        )
        hidden = use.last_activation(hidden)
        return self.run("last_norm", hidden, state, after) if use.has_last_norm else hidden, after

    def fold(self) -> None:
        """Make batch norms a part of other layers, and keep the weights at hand."""
        super().fold()
        self.plain = self.kept_weights()

    def _apply(self, fn, recurse=True):
        """Move or convert the layer, and what is at hand."""
        super()._apply(fn, recurse)
        self.plain = self.plain and self.kept_weights()
        return self

    def kept_weights(self) -> PlainWeights:
        """The weights as they are now, those of products in the order that is read the fastest."""
        use = self.weights()
        last = tuple(tensor.contiguous() for tensor in use.last)
        return use._replace(expand=use.expand.contiguous(), last=last)

    def weights(self) -> PlainWeights:
        """The weights as they are now."""
        return PlainWeights(
            self.expand.weight.t(),
            self.expand.bias,
            self.activation.overwriting(),
            self.taps.weight.unbind(),
            self.taps.bias,
            self.taps.dilation,
            self.last_activation.overwriting(),
            not isinstance(self.norm, nn.Identity),
            not isinstance(self.last_norm, nn.Identity),
        )


class ConvLayer(HiddenLayers):
    """One layer: 1x1 convolution, depthwise convolution, 1x1 convolution, and the residual sum.

    Arguments
    ---------
    sizes : LayerSizes
        Its sizes.
    dilation : int
        Frames between two taps.

    Example
    -------
    >>> ConvLayer(LayerSizes(8, 16, kernel_size=3), dilation=2)(torch.rand(2, 50, 8)).shape
    torch.Size([2, 50, 8])
    """

    def __init__(self, sizes: LayerSizes, dilation: int):
        super().__init__(sizes, dilation)
        self.residual = nn.Linear(sizes.hidden_channels, sizes.channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Add the layer's residual to `x` [batch, frames, channels]."""
        return norm_then_linear(self.last_norm, self.residual, self.hidden(x)).add_(x)

    def fold(self) -> None:
        """Make batch norms a part of the taps and of the last layer."""
        self.last_norm, self.residual = linear_of_norm(self.last_norm, self.residual)
        super().fold()


class CausalConvLayer(ConvLayer, CausalHiddenLayers):  # type: ignore[misc]
    """A `ConvLayer` that carries the frames that its taps look back at, and causal norms."""

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:  # type: ignore[override]
        """Add the layer's residual to `x` [batch, frames, channels]."""
        use = self.plain or self.weights()
        hidden, after = self.next_hidden(x, state)
        return _product(hidden, *use.last).add_(x), after

    def weights(self) -> PlainWeights:
        """The weights as they are now."""
        return super().weights()._replace(last=(self.residual.weight.t(), self.residual.bias))


# With skip paths: the bottleneck feature [batch, frames, channels] without the residual of the last
# layer, what that is made from [.., hidden channels], and the sum of the skip outputs so far [..,
# skip channels]. The first layer gets the feature alone.
SkipFeature = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


class SkipConvLayer(HiddenLayers):
    """One layer with a skip path.

    No mask depends on the residual of the last layer that runs. So a residual's 1x1 convolution
    belongs to the layer that takes it in, not to the one before: each block then trains all of
    its parameters in its own stage, and l blocks have those of a network of l blocks.

    Arguments
    ---------
    sizes : LayerSizes
        Its sizes.
    dilation : int
        Frames between two taps.
    first : bool
        Whether there is no layer before.

    Example
    -------
    >>> sizes = LayerSizes(8, 16, kernel_size=3, skip_channels=4)
    >>> [part.shape[-1] for part in SkipConvLayer(sizes, 1, first=True)(torch.rand(2, 50, 8))]
    [8, 16, 4]
    """

    def __init__(self, sizes: LayerSizes, dilation: int, first: bool):
        super().__init__(sizes, dilation)
        hidden = sizes.hidden_channels
        self.residual = None if first else nn.Linear(hidden, sizes.channels)
        self.skip = nn.Linear(hidden, sizes.skip_channels or 1)

    def forward(self, x: torch.Tensor | SkipFeature) -> SkipFeature:
        """Add the residual of the layer before to the feature, and a skip output to the sum."""
        feature = self.feature(x)
        return self.handed_on(x, feature, self.last_norm(self.hidden(feature)))

    def feature(self, x: Any) -> torch.Tensor:
        """The bottleneck feature that this layer gets, the residual of the one before included."""
        if self.residual is None:
            return x
        return self.residual(x[1]).add_(x[0])

    def handed_on(self, x, feature: torch.Tensor, hidden: torch.Tensor) -> SkipFeature:
        """What the next layer gets."""
        skip = self.skip(hidden)
        return feature, hidden, skip if self.residual is None else skip.add_(x[2])


class CausalSkipConvLayer(SkipConvLayer, CausalHiddenLayers):  # type: ignore[misc]
    """A `SkipConvLayer` that carries what a `CausalConvLayer` does."""

    def step(self, x, state: State) -> tuple[SkipFeature, State]:
        """Add the residual of the layer before to the feature, and a skip output to the sum."""
        feature = self.feature(x)
        hidden, after = self.next_hidden(feature, state)
        return self.handed_on(x, feature, hidden), after
