"""Audio at another sample rate: pieces of a signal or a file, resampled as the whole would be."""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import torch
from torch.nn import functional as F
from torchaudio.transforms import Resample

from bloomnet_sb.utils.audio_files import read_pieces
from bloomnet_sb.utils.errors import InputError

# In Hz
LOWEST_RATE, HIGHEST_RATE = 1000, 768_000
# Of a resampling filter, for all phases: 64 MB. 44.1 kHz to 16 kHz has 70,560.
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
    if (rate // divisor) * (to_rate // divisor) > MOST_FILTER_TAPS:
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
    """Resample a signal that comes in pieces, as torchaudio's `Resample` does the whole.

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
    >>> torch.allclose(torch.cat(pieces, dim=-1), Resample(44100, 16000)(signal), atol=1e-5)
    True
    """
    if from_rate == to_rate:
        yield from pieces
        return
    divisor = math.gcd(from_rate, to_rate)
    step_in, step_out = from_rate // divisor, to_rate // divisor
    filters = Resample(step_in, step_out)
    # The filters reach `width` samples to both sides; pieces start at whole steps.
    margin_steps = math.ceil(filters.width / step_in) + 1
    margin_in, margin_out = margin_steps * step_in, margin_steps * step_out
    waiting = None
    for piece in pieces:
        before = piece.new_zeros(*piece.shape[:-1], margin_in) if waiting is None else waiting
        waiting = torch.cat([before, piece], dim=-1)
        steps = (waiting.shape[-1] - 2 * margin_in) // step_in
        if steps > 0:
            ready = waiting[..., : steps * step_in + 2 * margin_in]
            yield filters.to(ready.device)(ready)[..., margin_out : margin_out + steps * step_out]
            waiting = waiting[..., steps * step_in :]
    if waiting is not None:
        left = math.ceil((waiting.shape[-1] - margin_in) * step_out / step_in)
        rest = filters.to(waiting.device)(F.pad(waiting, (0, margin_in)))
        yield rest[..., margin_out : margin_out + left]
