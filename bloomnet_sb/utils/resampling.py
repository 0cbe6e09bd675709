"""Audio at another sample rate: pieces of a signal or a file, resampled as the whole would be."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch

from bloomnet_sb.utils.audio_files import read_pieces
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.polyphase import REACH, PolyphaseResampler

# In Hz
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
# Of a resampling filter: 64 MB. 44.1 kHz to 16 kHz has 28,225.
MOST_FILTER_TAPS = 2**24


def check_rate(filename: str | Path, rate: int, to_rate: int) -> None:
    """Refuse rates that are no audio's, and those whose resampling filter would not fit memory.

    Arguments
    ---------
    filename : str or Path
        The file, or what else has the rate, for the message.
    rate, to_rate : int
        The file's and the network's, in Hz.

    Raises
    ------
    InputError
        Naming the file, its rate and what is accepted.

    Example
    -------
    >>> check_rate("noisy.wav", 44100, to_rate=16000)
    """
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise InputError(
            f"{filename}: its rate is {rate} Hz, but must be within {LOWEST_RATE} and "
            f"{HIGHEST_RATE} Hz"
        )
    divisor = math.gcd(rate, to_rate)
    if 2 * REACH * (max(rate, to_rate) // divisor) > MOST_FILTER_TAPS:
        raise InputError(
            f"{filename}: its rate, {rate} Hz, has too little in common with the network's "
            f"{to_rate} Hz to be resampled here; choose a usual rate, such as 48000 Hz"
        )


def read_resampled(
    filename: str | Path,
    rate: int,
    to_rate: int,
    mono: bool = False,
    device: str | torch.device = "cpu",
) -> Iterator[torch.Tensor]:
    """Read an audio file piece by piece at another rate.

    Arguments
    ---------
    filename : str or Path
        The file.
    rate, to_rate : int
        The file's, see `bloomnet_sb.utils.audio_files.audio_info`, and that of the pieces, in Hz.
    mono : bool
        Whether the channels are averaged to one.
    device : str or torch.device
        Where the pieces are made.

    Yields
    ------
    torch.Tensor
        Successive pieces [channels, time].

    Raises
    ------
    InputError
        If the rate is no audio's, or as `bloomnet_sb.utils.audio_files.read_audio`.

    Example
    -------
    >>> noisy = "tests/samples/demo/noisy_0dB.flac"
    >>> sum(piece.shape[1] for piece in read_resampled(noisy, 16000, to_rate=8000))
    49794
    """
    check_rate(filename, rate, to_rate)
    pieces = (torch.from_numpy(piece).t().to(device) for piece in read_pieces(filename))
    if mono:
        pieces = (piece.mean(0, keepdim=True) for piece in pieces)
    return resampled(pieces, rate, to_rate)


def resampled(
    pieces: Iterable[torch.Tensor], from_rate: int, to_rate: int
) -> Iterator[torch.Tensor]:
    """Resample a signal that comes in pieces, to the last bit as the whole.

    Arguments
    ---------
    pieces : iterable of torch.Tensor
        Successive pieces [.., time], of any lengths.
    from_rate, to_rate : int
        In Hz.

    Yields
    ------
    torch.Tensor
        Successive pieces [.., time] at the new rate.

    Example
    -------
    >>> signal = torch.randn(2, 10000)
    >>> pieces = list(resampled(signal.split(3000, dim=-1), 44100, 16000))
    >>> torch.equal(torch.cat(pieces, -1), torch.cat(list(resampled([signal], 44100, 16000)), -1))
    True
    """
    resampler = None
    for piece in pieces:
        if resampler is None:
            resampler = PolyphaseResampler(from_rate, to_rate, tuple(piece.shape[:-1]))
        yield torch.from_numpy(resampler.process(piece.cpu().numpy())).to(piece.device)
    if resampler is not None:
        yield torch.from_numpy(resampler.flush()).to(piece.device)
