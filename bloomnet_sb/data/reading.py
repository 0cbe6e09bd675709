"""Reading parts of files at a network's sample rate, whatever their own."""

import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
import soxr

from bloomnet_sb.utils.audio_files import Clip, read_audio

# What is read before and after a segment, at the lower of both rates: soxr's filters reach less.
MARGIN = 128


class File(NamedTuple):
    """An audio file as it is read.

    Arguments
    ---------
    path : str or Clip
        What is read; of several channels, the mean.
    frames : int
        Its length at the rate that it is read at.
    rates : (int, int)
        Its own rate, and that which it is read at, in Hz. Default: two that are equal.
    name : str
        What tables call it. Default: the path's last part without suffix.

    Example
    -------
    >>> read_segment(File("tests/samples/demo/clean_0dB.flac", 49794, (16000, 8000)), 0, 8000).shape
    (8000,)
    """

    path: str | Clip
    frames: int
    rates: tuple[int, int] = (1, 1)
    name: str = ""

    @property
    def label(self) -> str:
        """What tables call it."""
        return self.name or PurePath(str(self.path)).stem


def frames_at(frames: int, rate: int, sample_rate: int) -> int:
    """How many frames a signal has at another rate.

    Example
    -------
    >>> frames_at(44101, 44100, 16000)
    16001
    """
    return -(-frames * sample_rate // rate)


def file_of(entry: Mapping[str, Any], sample_rate: int, name: str = "") -> File:
    """The file that an entry of a manifest names, to be read at a rate.

    Arguments
    ---------
    entry : mapping
        See `bloomnet_sb.data.manifests.write_manifest`. One without "sample_rate" has that which
        is asked for.
    sample_rate : int
        What it is to be read at, in Hz.
    name : str
        See `File`.

    Returns
    -------
    File
        The file.

    Example
    -------
    >>> file_of({"wav": "a.wav", "frames": 96000, "sample_rate": 48000}, 16000)
    File(path='a.wav', frames=32000, rates=(48000, 16000), name='')
    """
    rate = entry.get("sample_rate", sample_rate)
    frames = frames_at(entry["frames"], rate, sample_rate)
    return File(entry["wav"], frames, (rate, sample_rate), name)


def read_segment(file: File, start: int, frames: int) -> np.ndarray:
    """Read a segment of a file, without its mean, padded with zeros where the file ends.

    Only the segment is read and, where it is resampled, a margin around it.

    Arguments
    ---------
    file : File
        The file.
    start, frames : int
        Where the segment begins and its length, at the rate that the file is read at.

    Returns
    -------
    numpy.ndarray
        The segment [frames].

    Raises
    ------
    InputError
        If the file cannot be read.

    Example
    -------
    >>> file = File("tests/samples/demo/clean_0dB.flac", 99587)
    >>> read_segment(file, start=90000, frames=16000).shape
    (16000,)
    """
    segment = _without_offset(_read(file, start, frames))
    return np.pad(segment, (0, frames - len(segment)))


def read_looped(file: File, start: int, frames: int) -> np.ndarray:
    """Read a stretch of a file that is played in a loop, without its mean.

    Arguments
    ---------
    file, start, frames
        As `read_segment`.

    Returns
    -------
    numpy.ndarray
        The stretch [frames].

    Raises
    ------
    InputError
        If the file cannot be read.

    Example
    -------
    >>> file = File("tests/samples/demo/clean_0dB.flac", 99587)
    >>> read_looped(file, start=90000, frames=200000).shape
    (200000,)
    """
    pieces = [_read(file, start, frames)]
    missing = frames - len(pieces[0])
    if missing > 0:
        # From the file's beginning on, as often as it takes.
        pieces.append(np.resize(_read(file, 0, min(file.frames, missing)), missing))
    return _without_offset(np.concatenate(pieces))


def _without_offset(signal: np.ndarray) -> np.ndarray:
    # A constant offset is no sound, but would count as power: a recorder's offset then makes a
    # noise inaudible at any SNR, and SI-SDR, which ignores offsets, high.
    return signal - signal.mean()


def _read(file: File, start: int, frames: int) -> np.ndarray:
    """A segment as it is in the whole file at its new rate; shorter where the file ends."""
    rate, sample_rate = file.rates
    if rate == sample_rate:
        return read_audio(file.path, start, frames).mean(1)
    # A step takes whole samples at both rates: there the resampled part lies on the whole's grid.
    divisor = math.gcd(rate, sample_rate)
    step_in, step_out = rate // divisor, sample_rate // divisor
    margin = -(-MARGIN // min(step_in, step_out))  # in steps
    frames = max(min(frames, file.frames - start), 0)
    first = max(start // step_out - margin, 0)
    last = -(-(start + frames) // step_out) + margin
    part = read_audio(file.path, first * step_in, (last - first) * step_in).mean(1)
    # Silence after the file's end, as soxr's own, lets its last sample out in any case.
    padded = np.pad(part, (0, (last - first) * step_in - len(part)))
    begin = start - first * step_out
    return soxr.resample(padded, rate, sample_rate)[begin : begin + frames]
