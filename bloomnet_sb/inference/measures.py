"""What is measured of a file beside enhancing it: level, loudness, clipping, what was removed."""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import scipy  # whose parts are imported when they are used
import torch

# The greatest sample of a file: of 16 bits, and of the sample types whose own is less
FULL_SCALE = 1 - 2**-15
FULL_SCALES = {"PCM_S8": 127 / 128, "PCM_U8": 127 / 128, "ULAW": 32124 / 2**15}
FULL_SCALES |= {"ALAW": 32256 / 2**15}
# Of ITU-R BS.1770-4: steps of blocks of 400 ms, which overlap by three quarters, and their gates
STEP_SECONDS, STEPS_OF_A_BLOCK = 0.1, 4
ABSOLUTE_GATE, RELATIVE_GATE, OFFSET = -70.0, -10.0, -0.691
SURROUND_GAIN = 1.41
# Of pyloudnorm's K-weighting: gain in dB, Q, frequency in Hz
K_WEIGHTING = {"high_shelf": (4.0, 1 / math.sqrt(2), 1500.0), "high_pass": (0.0, 0.5, 38.0)}


class LoudnessMeter:
    """The integrated loudness of a signal that comes in pieces, by ITU-R BS.1770-4.

    As pyloudnorm's `Meter`, which takes a whole signal, with its filters.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    channels : int
        How many, in the order of WAV files: left, right, centre, left and right surround, as far as
        there are any; from six on, the fourth is that of low frequencies, which does not count.

    Example
    -------
    >>> meter = LoudnessMeter(48000, 1)
    >>> meter.add(np.sin(2 * np.pi * 997 / 48000 * np.arange(48000))[None])
    >>> round(meter.loudness())
    -3
    """

    def __init__(self, sample_rate: int, channels: int):
        from pyloudnorm.iirfilter import IIRfilter  # imports scipy.signal

        stages = [IIRfilter(*numbers, sample_rate, kind) for kind, numbers in K_WEIGHTING.items()]
        self._sos = np.stack([np.concatenate([stage.b, stage.a]) for stage in stages])
        self._past = np.zeros((len(stages), channels, 2))
        self._step = max(round(STEP_SECONDS * sample_rate), 1)
        self._waiting = np.zeros((channels, 0))
        self._powers: list[float] = []
        self._gains = _gains(channels)

    def add(self, piece: np.ndarray) -> None:
        """Take the next piece [channels, time]; it may be empty."""
        if not piece.size:
            return
        weighted, self._past = scipy.signal.sosfilt(self._sos, piece, zi=self._past)
        waiting = np.concatenate([self._waiting, weighted], axis=1)
        steps = waiting.shape[1] // self._step
        whole = waiting[:, : steps * self._step].reshape(len(waiting), steps, self._step)
        self._powers += (self._gains @ np.square(whole).mean(2)).tolist()
        self._waiting = waiting[:, steps * self._step :]

    def loudness(self) -> float | None:
        """The loudness in LUFS; None for what is shorter than a block, or too quiet to have one."""
        if len(self._powers) < STEPS_OF_A_BLOCK:
            return None
        blocks = np.convolve(self._powers, np.ones(STEPS_OF_A_BLOCK) / STEPS_OF_A_BLOCK, "valid")
        gated = blocks[blocks >= _power(ABSOLUTE_GATE)]
        if not len(gated):
            return None
        gated = gated[gated > gated.mean() * 10 ** (RELATIVE_GATE / 10)]
        return OFFSET + _db(gated.mean())


class FileMeasures:
    """What is measured of one file while its pieces pass.

    Arguments
    ---------
    sample_rate : int
        The file's, in Hz.
    channels : int
        How many it has.
    subtype : str
        Its sample type, as soundfile names it, which says what full scale is. Default: of 16 bits.

    Example
    -------
    >>> measures = FileMeasures(16000, 1)
    >>> measures.hear(torch.ones(1, 16000))
    >>> measures.keep(torch.full((1, 16000), 0.5))
    >>> measures.as_dict()["clipped"], measures.as_dict()["removed_over_kept_db"]
    (16000, 0.0)
    """

    def __init__(self, sample_rate: int, channels: int, subtype: str = "PCM_16"):
        self._full_scale = FULL_SCALES.get(subtype, FULL_SCALE)
        self._rate, self._loudness = sample_rate, LoudnessMeter(sample_rate, channels)
        self._waiting = torch.zeros(channels, 0)
        self._samples = self._clipped = self._clipped_result = 0
        self._noisy = self._kept = self._removed = 0.0

    def hear(self, piece: torch.Tensor) -> None:
        """Take the next piece [channels, time] of the recording."""
        self._waiting = torch.cat([self._waiting, piece], dim=1)
        self._clipped += int((piece.abs() >= self._full_scale).sum())
        self._noisy += _energy(piece)

    def keep(self, piece: torch.Tensor) -> None:
        """Take the next piece [channels, time] of the result, never before the recording's."""
        samples = piece.shape[1]
        self._removed += _energy(self._waiting[:, :samples] - piece)
        self._waiting = self._waiting[:, samples:]
        self._clipped_result += int((piece.abs() > 1).sum())
        self._kept += _energy(piece)
        self._samples += samples
        self._loudness.add(piece.numpy())

    def as_dict(self) -> dict[str, float | int | None]:
        """What was measured, under the names that the report has; None for what cannot be said.

        Returns
        -------
        dict
            Seconds; the level (dB of full scale) of the recording and of its result, over all
            channels; the result's loudness (LUFS); how many samples were at full scale in the
            recording, and how many are beyond it in the result; the energy of what was taken away
            over that of what was kept, in dB.
        """
        values = max(self._samples * len(self._waiting), 1)
        loudness = self._loudness.loudness()
        return {
            "seconds": round(self._samples / self._rate, 3),
            "noisy_level_db": _ratio_db(self._noisy, values),
            "level_db": _ratio_db(self._kept, values),
            "loudness_lufs": None if loudness is None else round(loudness, 2),
            "clipped": self._clipped,
            "clipped_result": self._clipped_result,
            "removed_over_kept_db": _ratio_db(self._removed, self._kept),
        }


class Measuring:
    """Measures files whose pieces pass side by side.

    Arguments
    ---------
    files : sequence of FileMeasures
        One for all channels, or one for each.

    Example
    -------
    >>> measuring = Measuring([FileMeasures(16000, 1), FileMeasures(16000, 1)])
    >>> pieces = measuring.hearing(iter([torch.zeros(2, 16000)]))
    >>> pieces = measuring.keeping(pieces)
    >>> [piece.shape for piece in pieces], measuring.files[1].as_dict()["seconds"]
    ([torch.Size([2, 16000])], 1.0)
    """

    def __init__(self, files: Sequence[FileMeasures]):
        self.files = files

    def hearing(self, pieces: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The pieces [channels, time] of recordings, as they are."""
        for piece in pieces:
            for file, part in self._parts(piece):
                file.hear(part)
            yield piece

    def keeping(self, pieces: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The pieces [channels, time] of their results, as they are."""
        for piece in pieces:
            for file, part in self._parts(piece):
                file.keep(part)
            yield piece

    def _parts(self, piece: torch.Tensor) -> Iterator[tuple[FileMeasures, torch.Tensor]]:
        return zip(self.files, piece.chunk(len(self.files)), strict=True)


def _gains(channels: int) -> np.ndarray:
    gains = np.ones(channels)
    surround = 4 if channels >= 6 else 3
    gains[3:surround] = 0
    gains[surround : surround + 2] = SURROUND_GAIN
    return gains


def _energy(piece: torch.Tensor) -> float:
    return torch.linalg.vector_norm(piece, dtype=torch.double).item() ** 2


def _power(loudness: float) -> float:
    return 10 ** ((loudness - OFFSET) / 10)


def _db(power: float) -> float:
    return 10 * math.log10(power)


def _ratio_db(one: float, other: float) -> float | None:
    """In dB; None for what JSON has no number for."""
    return round(_db(one / other), 2) if one > 0 and other > 0 else None
