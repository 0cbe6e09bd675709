"""What dual-path backbones share: chunks, blocks that run along and across them, and heads."""

from collections.abc import Callable

import torch
from speechbrain.lobes.models.dual_path import Dual_Computation_Block
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.layers import PReLU
from bloomnet_sb.nn.norms import make_norm, norm_then_linear
from bloomnet_sb.separators.base import Separator, mask_activation_named
from bloomnet_sb.utils.errors import InputError, check_positive

# SpeechBrain's names; its "ln" is torch's group norm with one group, which is gLN.
NORMS = {"gLN": "ln", "cLN": "cln"}


def cut_into_chunks(features: torch.Tensor, chunk_size: int) -> torch.Tensor:
    """Cut features into chunks that overlap by half (Luo, Chen and Yoshioka, 2020, section 2.1).

    Padded as SpeechBrain pads: half a chunk before and after, so that each frame is in two.

    Arguments
    ---------
    features : torch.Tensor
        [batch, channels, frames].
    chunk_size : int
        Frames in a chunk, an even number.

    Returns
    -------
    torch.Tensor
        [batch, channels, frames of a chunk, chunks].

    Example
    -------
    >>> cut_into_chunks(torch.rand(2, 8, 50), chunk_size=20).shape
    torch.Size([2, 8, 20, 8])
    """
    frames, hop = features.shape[-1], chunk_size // 2
    gap = chunk_size - (hop + frames) % chunk_size
    chunks = F.pad(features, (hop, hop + gap)).unfold(-1, chunk_size, hop)
    return chunks.transpose(2, 3).contiguous()


def overlap_add(chunks: torch.Tensor, frames: int) -> torch.Tensor:
    """Add what overlaps, the counterpart of `cut_into_chunks`.

    Arguments
    ---------
    chunks : torch.Tensor
        [batch, channels, frames of a chunk, chunks].
    frames : int
        How many frames were cut.

    Returns
    -------
    torch.Tensor
        [batch, channels, frames], each the sum of the two chunks that it is in.

    Example
    -------
    >>> features = torch.rand(2, 8, 50)
    >>> chunks = cut_into_chunks(features, chunk_size=20)
    >>> torch.allclose(overlap_add(chunks, frames=50), 2 * features)
    True
    """
    first, second = chunks.chunk(2, dim=2)
    hops = first[..., 1:] + second[..., :-1]
    return hops.transpose(2, 3).flatten(2)[..., :frames]


class DualPathSeparator(Separator):
    """A trunk of blocks that run along each chunk, then across the chunks.

    The trunk of SpeechBrain's `Dual_Path_Model`, whose layer l is block l here. Each block has a
    mask head of its own. A subclass says what runs along and across.

    Arguments
    ---------
    num_filters : int
        Features of the encoder <N>.
    bottleneck_channels : int
        Channels of the trunk.
    chunk_size : int
        Frames in a chunk <K>, an even number.
    num_blocks : int
        Blocks, each with a mask head.
    num_sources : int
        Sources to estimate <C>.
    norm : str
        "gLN" or "cLN", at the entry and after each path.
    mask_activation : str
        "relu" or "sigmoid".
    make_path : callable
        Gives a new module from [sequences, steps, channels] to the same, or to the features of a
        recurrent network; it runs along or across the chunks.
    linear_after_path : bool
        Whether a linear layer follows each path.

    Raises
    ------
    InputError
        For a size below 1, an odd chunk size, or an unknown norm or activation.

    Example
    -------
    See `bloomnet_sb.separators.dprnn.DPRNNSeparator`.
    """

    def __init__(
        self,
        num_filters: int,
        bottleneck_channels: int,
        chunk_size: int,
        num_blocks: int,
        num_sources: int,
        norm: str,
        mask_activation: str,
        make_path: Callable[[], nn.Module],
        linear_after_path: bool,
    ):
        super().__init__(num_filters, num_sources)
        check_positive(
            num_filters=num_filters,
            bottleneck_channels=bottleneck_channels,
            chunk_size=chunk_size,
            num_blocks=num_blocks,
            num_sources=num_sources,
        )
        if chunk_size % 2:
            raise InputError(f"chunk_size is {chunk_size}, but must be an even number")
        if norm not in NORMS:
            raise InputError(f"norm is {norm!r}, but must be one of {', '.join(NORMS)}")
        self.set_parts(
            entry=DualPathEntry(
                make_norm(norm, num_filters),
                nn.Linear(num_filters, bottleneck_channels, bias=False),
                chunk_size,
            ),
            blocks=[
                Dual_Computation_Block(
                    make_path(),
                    make_path(),
                    bottleneck_channels,
                    norm=NORMS[norm],
                    linear_layer_after_inter_intra=linear_after_path,
                )
                for _ in range(num_blocks)
            ],
            heads=[
                DualPathHead(bottleneck_channels, num_filters, num_sources, mask_activation)
                for _ in range(num_blocks)
            ],
        )


class DualPathEntry(nn.Module):
    """Norm, bottleneck and chunks.

    Arguments
    ---------
    norm : torch.nn.Module
        A norm of the features.
    bottleneck : torch.nn.Linear
        To the channels of the trunk.
    chunk_size : int
        Frames in a chunk.

    Example
    -------
    >>> entry = DualPathEntry(nn.LayerNorm(16), nn.Linear(16, 8), chunk_size=20)
    >>> entry(torch.rand(2, 16, 50)).shape
    torch.Size([2, 8, 20, 8])
    """

    def __init__(self, norm: nn.Module, bottleneck: nn.Linear, chunk_size: int):
        super().__init__()
        self.norm, self.bottleneck, self.chunk_size = norm, bottleneck, chunk_size

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Chunks [batch, channels, frames of a chunk, chunks] of [batch, filters, frames]."""
        feature = norm_then_linear(self.norm, self.bottleneck, features.transpose(1, 2))
        return cut_into_chunks(feature.transpose(1, 2), self.chunk_size)


class DualPathHead(nn.Module):
    """From chunks to masked features: PReLU, overlap-add, and a gated output layer.

    The function of the end of SpeechBrain's `Dual_Path_Model`. Its first convolution is run on the
    chunks there and after the overlap-add here, at half the cost: it is linear, and each frame is
    the sum of two chunks, so `spread.bias` is twice the bias of `conv2d`.

    Arguments
    ---------
    channels : int
        Channels of the chunks.
    num_filters : int
        Features that a mask covers <N>.
    num_sources : int
        Masks <C>.
    mask_activation : str
        "relu" or "sigmoid".

    Example
    -------
    >>> chunks = cut_into_chunks(torch.rand(2, 8, 50), chunk_size=20)
    >>> DualPathHead(8, num_filters=16, num_sources=2)(chunks, torch.rand(2, 16, 50)).shape
    torch.Size([2, 2, 16, 50])
    """

    def __init__(
        self, channels: int, num_filters: int, num_sources: int, mask_activation: str = "relu"
    ):
        super().__init__()
        self.num_sources = num_sources
        self.prelu = PReLU()
        self.spread = nn.Conv1d(channels, num_sources * channels, 1)
        self.output = nn.Sequential(nn.Conv1d(channels, channels, 1), nn.Tanh())
        self.output_gate = nn.Sequential(nn.Conv1d(channels, channels, 1), nn.Sigmoid())
        self.mask = nn.Conv1d(channels, num_filters, 1, bias=False)
        self.activation = mask_activation_named(mask_activation)

    def forward(self, chunks: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Masked features [batch, sources, filters, frames] of `features` [.., filters, frames]."""
        feature = self.spread(overlap_add(self.prelu(chunks), features.shape[-1]))
        sources = feature.unflatten(1, (self.num_sources, -1)).flatten(0, 1)
        masks = self.activation(self.mask(self.output(sources) * self.output_gate(sources)))
        return masks.unflatten(0, (-1, self.num_sources)) * features.unsqueeze(1)
