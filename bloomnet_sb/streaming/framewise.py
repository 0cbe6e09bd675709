"""A causal Conv-TasNet run frame by frame, with its norms folded into its convolutions."""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.carry import RunningMean
from bloomnet_sb.nn.norms import BatchNorm, ChannelLayerNorm, CumulativeLayerNorm
from bloomnet_sb.separators.conv_tasnet import ConvLayer, ConvTasNetSeparator
from bloomnet_sb.utils.errors import InputError, check_blocks

# The most frames in one call; memory is for this many.
MOST_FRAMES = 256

# In place of a norm's scale of 0, by which nothing can be divided
BLANK = 1e-12


class Past:
    """The last frames that a layer saw, and room for those to come.

    Arguments
    ---------
    before : torch.Tensor
        What stands for the frames before the first, [channels].
    batch_size : int
        Signals side by side.
    reach : int
        How many frames are kept.

    Example
    -------
    >>> past = Past(torch.zeros(1), batch_size=1, reach=2)
    >>> past.append(torch.ones(1, 1, 1)).flatten().tolist()
    [0.0, 0.0, 1.0]
    """

    def __init__(self, before: torch.Tensor, batch_size: int, reach: int):
        frames = reach + max(reach, MOST_FRAMES)
        self.frames = before.repeat(batch_size, frames, 1)
        self.reach = self.end = reach

    def append(self, x: torch.Tensor) -> torch.Tensor:
        """Add `x` [batch, frames, channels]; gives the frames kept before it and it, a view."""
        end = self.end + x.shape[1]
        if end > self.frames.shape[1]:
            self.frames[:, : self.reach] = self.frames[:, self.end - self.reach : self.end].clone()
            end = self.reach + x.shape[1]
        window = self.frames.narrow(1, end - x.shape[1] - self.reach, self.reach + x.shape[1])
        window.narrow(1, self.reach, x.shape[1]).copy_(x)
        self.end = end
        return window


class _Past(Protocol):
    """`Past`, or what stands for it in `bloomnet_sb.streaming.graphs`."""

    def append(self, x: torch.Tensor) -> torch.Tensor: ...


class _Mean(Protocol):
    """`RunningMean`, or what stands for it in `bloomnet_sb.streaming.graphs`."""

    def over(self, x: torch.Tensor) -> torch.Tensor: ...


@dataclass
class LayerMemory:
    """What a layer carries from one call to the next."""

    past: _Past
    # Mean and power of the cumulative norms before the depthwise convolution and after it.
    means: list[_Mean] = field(default_factory=lambda: [RunningMean() for _ in range(4)])


@dataclass
class NetMemory:
    """What a network carries from one call to the next, for one stream."""

    batch_size: int
    level: _Mean
    entry_means: list[_Mean]
    blocks: list[list[LayerMemory]]


class Layer(NamedTuple):
    """The weights of a `ConvLayer`, norms folded in where they can be.

    The state between layers is without the biases of the layers that added to it: they are in the
    bias of the next layer's first convolution, so that the residual sum is part of the product.
    """

    expand: torch.Tensor
    expand_bias: torch.Tensor
    slope: float
    norm: ChannelLayerNorm | None
    taps: tuple[torch.Tensor, ...]
    bias: torch.Tensor
    dilation: int
    before: torch.Tensor
    last_slope: float
    last_norm: ChannelLayerNorm | None
    reduce: torch.Tensor

    @property
    def reach(self) -> int:
        """How many frames the layer looks back."""
        return (len(self.taps) - 1) * self.dilation


class FramewiseNet:
    """The estimates of a causal Conv-TasNet `BloomNet`, a few frames at a time.

    Features are [batch, frames, channels], so that new frames follow the old in memory. BN is
    folded into the convolutions; cLN and the cumulative norm are computed. What the network
    carries is in a `NetMemory`, one for each stream.

    Arguments
    ---------
    model : BloomNet
        The network, in evaluation mode. Its weights are copied.

    Raises
    ------
    InputError
        If the network is not a causal Conv-TasNet without skip paths and with one source.

    Example
    -------
    >>> separator = ConvTasNetSeparator(num_filters=16, num_blocks=2, norm="BN", causal=True)
    >>> model = BloomNet(separator, num_filters=16, kernel_size=16).eval()
    >>> net, mix = FramewiseNet(model), torch.randn(1, 16000)
    >>> memory, outputs = net.new_memory(batch_size=1), []
    >>> for windows in mix.unfold(-1, 16, 8).split(100, dim=1):
    ...     features, state = net.enter(windows, memory)
    ...     outputs.append(net.decode(net.block(state, 1, memory), features, 1))
    >>> whole = model.estimate(mix, blocks=1)[..., 0]
    >>> torch.allclose(torch.cat(outputs, dim=1)[:, 0, :8], whole[:, :8], atol=1e-5)
    True
    """

    most_frames = MOST_FRAMES

    def __init__(self, model: BloomNet):
        separator = model.separator
        if not isinstance(separator, ConvTasNetSeparator) or not separator.carries:
            raise InputError("a stream needs a causal Conv-TasNet; this network is not one")
        if separator.skip_channels is not None or model.num_sources != 1:
            raise InputError(
                "a stream needs a network without skip paths and with one source; this one has "
                f"{separator.skip_channels or 0} skip channels and {model.num_sources} sources"
            )
        if model.training:
            raise InputError("a stream needs a network in evaluation mode; this one is training")
        self.encoder = model.encoder
        self.encoder_weight = model.encoder.weight.detach().clone()
        self.has_level_norm = model.level_norm is not None
        self.level_window = None if model.level_norm is None else model.level_norm.window
        scale, shift, self.entry_norm = _folded(separator.norm)
        self.bottleneck = _pointwise(separator.bottleneck, scale, shift)
        # Of what a ModuleList holds, its type says nothing.
        blocks: Any = separator.blocks
        heads: Any = separator.heads
        decoders: Any = model.decoders
        self.blocks, self.offsets = _blocks(blocks)
        self.heads = [
            (head.mask[0].weight.item(), _pointwise(head.mask[1]), head.activation)
            for head in heads
        ]
        self.decoders = [decoder.weight.detach().t().clone() for decoder in decoders]

    @property
    def num_blocks(self) -> int:
        """The number of blocks, L."""
        return len(self.blocks)

    def reach(self, depth: int) -> int:
        """How many frames block `depth`, counted from 1, looks back."""
        return sum(layer.reach for layer in self.blocks[check_blocks(depth, self.num_blocks) - 1])

    def new_memory(self, batch_size: int) -> NetMemory:
        """What the network carries at the start of a signal."""
        return NetMemory(
            batch_size=batch_size,
            level=RunningMean(self.level_window),
            entry_means=[RunningMean(), RunningMean()],
            blocks=[_block_memory(layers, batch_size) for layers in self.blocks],
        )

    def restart(self, depth: int, memory: NetMemory) -> None:
        """Let block `depth` forget what it saw."""
        memory.blocks[depth - 1] = _block_memory(self.blocks[depth - 1], memory.batch_size)

    def enter(self, windows: torch.Tensor, memory: NetMemory) -> tuple[torch.Tensor, torch.Tensor]:
        """Features, and what the first block takes, of windows of the signal.

        Arguments
        ---------
        windows : torch.Tensor
            [batch, frames, kernel_size], at most `MOST_FRAMES` frames.
        memory : NetMemory
            Of the stream.

        Returns
        -------
        (torch.Tensor, torch.Tensor)
            [batch, frames, filters] and [batch, frames, bottleneck channels].
        """
        features = self.encoder.activation(F.linear(windows, self.encoder_weight))
        normed = features
        if self.has_level_norm:
            power = torch.linalg.vector_norm(features, dim=2).square() / features.shape[2]
            level = memory.level.over(power).sqrt().float()
            normed = features / level.clamp_(min=torch.finfo(torch.float32).tiny).unsqueeze(2)
        normed = _normed(self.entry_norm, normed, *memory.entry_means)
        return features, F.linear(normed, *self.bottleneck)

    def block(self, state: torch.Tensor, depth: int, memory: NetMemory) -> torch.Tensor:
        """Run block `depth`, counted from 1, on `state` [batch, frames, bottleneck channels]."""
        rows = state.view(-1, state.shape[2])
        memories = memory.blocks[depth - 1]
        for layer, layer_memory in zip(self.blocks[depth - 1], memories, strict=True):
            rows = _run_layer(layer, rows, memory.batch_size, layer_memory)
        return rows.view(state.shape)

    def decode(self, state: torch.Tensor, features: torch.Tensor, depth: int) -> torch.Tensor:
        """The windows [batch, frames, kernel_size] of the estimate of `depth` blocks."""
        slope, mask, activation = self.heads[depth - 1]
        state = F.leaky_relu_(state + self.offsets[depth - 1], slope)
        masks = activation(F.linear(state, *mask))
        return F.linear(masks.mul_(features), self.decoders[depth - 1])


def _block_memory(layers: list[Layer], batch_size: int) -> list[LayerMemory]:
    return [LayerMemory(Past(layer.before, batch_size, layer.reach)) for layer in layers]


def _run_layer(
    layer: Layer, rows: torch.Tensor, batch_size: int, memory: LayerMemory
) -> torch.Tensor:
    """The state after a layer, of the state before it; both [batch * frames, channels]."""
    hidden = F.leaky_relu_(torch.addmm(layer.expand_bias, rows, layer.expand), layer.slope)
    hidden = hidden.view(batch_size, -1, hidden.shape[1])
    hidden = _normed(layer.norm, hidden, *memory.means[:2])
    window, frames = memory.past.append(hidden), hidden.shape[1]
    out = torch.addcmul(layer.bias, hidden, layer.taps[-1])
    for tap, weight in enumerate(layer.taps[:-1]):
        out.addcmul_(window.narrow(1, tap * layer.dilation, frames), weight)
    out = _normed(layer.last_norm, F.leaky_relu_(out, layer.last_slope), *memory.means[2:])
    return torch.addmm(rows, out.view(-1, out.shape[2]), layer.reduce)


def _normed(
    norm: ChannelLayerNorm | None, x: torch.Tensor, mean: _Mean, power: _Mean
) -> torch.Tensor:
    """What a norm that could not be folded makes of `x` [batch, frames, channels]."""
    if norm is None:
        return x
    if not isinstance(norm, CumulativeLayerNorm):
        return F.layer_norm(x, norm.weight.shape, norm.weight, norm.bias, norm.eps)
    means = mean.over(x.mean(2))
    powers = power.over(torch.linalg.vector_norm(x, dim=2).square() / x.shape[2])
    # The inverse root of the variance plus eps; the ONNX optimizer takes adding 1e-8 for adding 0.
    variance = (powers - means.square()).clamp_(min=0)
    scale = (variance / norm.eps + 1).rsqrt_() * norm.eps**-0.5
    x = (x - means.float().unsqueeze(2)) * scale.float().unsqueeze(2)
    return x * norm.weight + norm.bias


def _blocks(
    blocks: Iterable[Iterable[ConvLayer]],
) -> tuple[list[list[Layer]], list[torch.Tensor]]:
    """The layers of each block, and what the state after each is to be added to be true."""
    folded, offsets, offset = [], [], torch.zeros(())
    for block in blocks:
        layers = []
        for layer in block:
            folded_layer, bias = _layer(layer, offset)
            layers.append(folded_layer)
            offset = offset + bias
        folded.append(layers)
        offsets.append(offset)
    return folded, offsets


def _layer(layer: ConvLayer, offset: torch.Tensor) -> tuple[Layer, torch.Tensor]:
    """The weights of a layer whose input is to be added `offset`, and the bias of its output."""
    layers: list[Any] = list(layer.residual)
    expand, activation, norm, depthwise, last_activation, last_norm, reduce = layers
    scale, shift, norm = _folded(norm)
    last_scale, last_shift, last_norm = _folded(last_norm)
    taps = depthwise.weight.detach().squeeze(1)
    weight, bias = _pointwise(expand)
    last_weight, last_bias = _pointwise(reduce, last_scale, last_shift)
    # Frames before the first are zeros after the norm, also where it blanks a channel.
    scale = torch.where(scale == 0, BLANK, scale)
    before = -shift / scale
    folded = Layer(
        expand=weight.t().contiguous(),
        expand_bias=bias + weight @ offset.expand(weight.shape[1]),
        slope=activation.weight.item(),
        norm=norm,
        taps=(taps * scale[:, None]).t().contiguous().unbind(),
        bias=depthwise.bias.detach() + shift * taps.sum(1),
        dilation=depthwise.dilation[0],
        before=before,
        last_slope=last_activation.weight.item(),
        last_norm=last_norm,
        reduce=last_weight.t().contiguous(),
    )
    return folded, last_bias


def _folded(norm: nn.Module) -> tuple[torch.Tensor, torch.Tensor, ChannelLayerNorm | None]:
    """The scale and shift [channels] of a norm, and the norm that is left to compute."""
    if not isinstance(norm, BatchNorm):
        assert isinstance(norm, ChannelLayerNorm)  # causal networks have no other
        own = deepcopy(norm)
        return torch.ones_like(norm.weight).detach(), torch.zeros_like(norm.bias).detach(), own
    with torch.no_grad():
        scale, shift = norm.scale_and_shift(norm.weight[None, :, None])
    return scale[0, :, 0], shift[0, :, 0], None


def _pointwise(
    layer: nn.Conv1d, scale: torch.Tensor | None = None, shift: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weight and bias of a 1x1 convolution of `scale * x + shift`."""
    assert layer.bias is not None
    weight, bias = layer.weight.detach().squeeze(2).clone(), layer.bias.detach().clone()
    if scale is None or shift is None:
        return weight, bias
    return weight * scale, bias + weight @ shift
