"""The dual-path transformer SepFormer, cut into blocks."""

import torch
from speechbrain.lobes.models.dual_path import SBTransformerBlock
from speechbrain.lobes.models.transformer.Transformer import PositionalEncoding
from speechbrain.nnet.attention import MultiheadAttention

from bloomnet_sb.separators.dual_path import DualPathSeparator
from bloomnet_sb.utils.errors import InputError, check_positive


class SepFormerSeparator(DualPathSeparator):
    """SepFormer's separator (Subakan et al., 2021, arXiv 2010.13154) in blocks.

    A block is one dual-path block of SpeechBrain: a transformer along each chunk, another across
    the chunks, each with a norm and its residual.

    Arguments
    ---------
    num_filters : int
        Features of the encoder <F>.
    bottleneck_channels : int
        Channels of the trunk, an even number and a multiple of `num_heads`.
    feedforward_channels : int
        Channels between the two feed-forward layers of a transformer layer.
    num_heads : int
        Attention heads.
    layers_per_path : int
        Transformer layers along, and as many across the chunks <K>.
    chunk_size : int
        Frames in a chunk <C>, an even number.
    num_blocks : int
        Blocks, each with a mask head <N>.
    num_sources : int
        Sources to estimate <Ns>.
    norm : str
        "gLN" or "cLN".
    mask_activation : str
        "relu" or "sigmoid".
    dropout : float
        Share of features that training drops.

    Raises
    ------
    InputError
        For a size that cannot be, or an unknown norm or activation.

    Example
    -------
    >>> separator = SepFormerSeparator(
    ...     16, 16, feedforward_channels=32, layers_per_path=1, chunk_size=20, num_blocks=2
    ... )
    >>> features = torch.rand(1, 16, 90)
    >>> feature = separator.blocks[0](separator.entry(features))
    >>> separator.heads[0](feature, features).shape
    torch.Size([1, 1, 16, 90])
    """

    def __init__(
        self,
        num_filters: int = 256,
        bottleneck_channels: int = 256,
        feedforward_channels: int = 1024,
        num_heads: int = 8,
        layers_per_path: int = 8,
        chunk_size: int = 250,
        num_blocks: int = 2,
        num_sources: int = 1,
        norm: str = "gLN",
        mask_activation: str = "relu",
        dropout: float = 0.0,
    ):
        check_positive(
            feedforward_channels=feedforward_channels,
            num_heads=num_heads,
            layers_per_path=layers_per_path,
        )
        if bottleneck_channels % num_heads or bottleneck_channels % 2:
            raise InputError(
                f"bottleneck_channels is {bottleneck_channels}, but must be an even number and a "
                f"multiple of num_heads, {num_heads}"
            )

        def make_path() -> TransformerPath:
            return TransformerPath(
                layers_per_path,
                bottleneck_channels,
                num_heads,
                feedforward_channels,
                dropout=dropout,
                use_positional_encoding=True,
                norm_before=True,
            )

        super().__init__(
            num_filters,
            bottleneck_channels,
            chunk_size,
            num_blocks,
            num_sources,
            norm,
            mask_activation,
            make_path,
            linear_after_path=False,
        )


class TransformerPath(SBTransformerBlock):
    """SpeechBrain's transformer block for sequences of any length, with fused attention.

    SpeechBrain's own adds positional encodings from a table of 2,500 steps and fails beyond, and
    its attention keeps the weights of every pair of steps, which nobody reads here. Both give the
    same numbers. The arguments are those of `SBTransformerBlock`.

    Example
    -------
    >>> TransformerPath(1, 16, 4, 32, use_positional_encoding=True)(torch.rand(1, 3000, 16)).shape
    torch.Size([1, 3000, 16])
    """

    def __init__(self, num_layers: int, d_model: int, nhead: int, *args, **kwargs):
        super().__init__(num_layers, d_model, nhead, *args, **kwargs)
        self.pos_enc = GrowingPositionalEncoding(d_model)
        for layer in self.mdl.layers:
            layer.self_att = FusedAttention(nhead, d_model, layer.self_att.att.dropout)


class GrowingPositionalEncoding(PositionalEncoding):
    """SpeechBrain's sinusoidal encoding, whose table grows to the longest sequence seen.

    Arguments
    ---------
    channels : int
        Channels of a step, an even number.

    Example
    -------
    >>> GrowingPositionalEncoding(16)(torch.rand(1, 3000, 16)).shape
    torch.Size([1, 3000, 16])
    """

    pe: torch.Tensor

    def __init__(self, channels: int, steps: int = 500):
        super().__init__(channels, steps)
        # No weight: it is left out of checkpoints.
        self.register_buffer("pe", self.pe, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The encoding [1, steps, channels] of `x` [sequences, steps, channels]."""
        if x.shape[1] > self.pe.shape[1]:
            longer = GrowingPositionalEncoding(x.shape[2], 2 * x.shape[1])
            self.pe = longer.pe.to(self.pe)
        return self.pe[:, : x.shape[1]]


class FusedAttention(MultiheadAttention):
    """SpeechBrain's multi-head attention without the attention weights."""

    def forward(self, *args, **kwargs) -> tuple[torch.Tensor, None]:
        """The attended steps, and None in place of the weights."""
        return super().forward(*args, return_attn_weights=False, **kwargs), None
