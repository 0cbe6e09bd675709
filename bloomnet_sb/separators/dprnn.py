"""The dual-path recurrent network, cut into blocks."""

from speechbrain.lobes.models.dual_path import SBRNNBlock

from bloomnet_sb.separators.dual_path import DualPathSeparator
from bloomnet_sb.utils.errors import InputError, check_positive

RNN_TYPES = ("LSTM", "GRU")


class DPRNNSeparator(DualPathSeparator):
    """DPRNN's separator (Luo, Chen and Yoshioka, 2020, arXiv 1910.06379) in blocks.

    A block is one dual-path block of SpeechBrain: a bidirectional recurrent network along each
    chunk, another across the chunks, each with a linear layer, a norm and its residual.

    Arguments
    ---------
    num_filters : int
        Features of the encoder <N>.
    bottleneck_channels : int
        Channels of the trunk.
    hidden_channels : int
        Units of a recurrent network in each direction <H>.
    chunk_size : int
        Frames in a chunk <K>, an even number; the paper takes about the square root of twice the
        number of frames.
    num_blocks : int
        Blocks, each with a mask head <B>.
    num_sources : int
        Sources to estimate <C>.
    rnn_type : str
        "LSTM" or "GRU".
    norm : str
        "gLN" or "cLN".
    mask_activation : str
        "relu" or "sigmoid".

    Raises
    ------
    InputError
        For a size that cannot be, or an unknown type, norm or activation.

    Example
    -------
    >>> import torch
    >>> separator = DPRNNSeparator(num_filters=16, hidden_channels=8, num_blocks=2, chunk_size=20)
    >>> features = torch.rand(1, 16, 90)
    >>> feature = separator.blocks[0](separator.entry(features))
    >>> separator.heads[0](feature, features).shape
    torch.Size([1, 1, 16, 90])
    """

    def __init__(
        self,
        num_filters: int = 64,
        bottleneck_channels: int = 64,
        hidden_channels: int = 128,
        chunk_size: int = 100,
        num_blocks: int = 6,
        num_sources: int = 1,
        rnn_type: str = "LSTM",
        norm: str = "gLN",
        mask_activation: str = "relu",
    ):
        check_positive(hidden_channels=hidden_channels)
        if rnn_type not in RNN_TYPES:
            raise InputError(f"rnn_type is {rnn_type!r}, but must be one of {', '.join(RNN_TYPES)}")

        def make_path() -> SBRNNBlock:
            return SBRNNBlock(bottleneck_channels, hidden_channels, 1, rnn_type)

        super().__init__(
            num_filters,
            bottleneck_channels,
            chunk_size,
            num_blocks,
            num_sources,
            norm,
            mask_activation,
            make_path,
            linear_after_path=True,
        )
