"""The sound of a page: tracks at one loudness, and as files that browsers decode."""

import base64
import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyloudnorm
import soundfile as sf
import soxr

FLAC, OPUS = "FLAC", "Opus"
OPUS_RATES = (8000, 12000, 16000, 24000, 48000)
OPUS_KBITS = 64.0  # per second
# libsndfile spreads compressions of 0 to 1 over 256 to 6 kbit/s.
OPUS_RANGE_KBITS = 256.0, 6.0
# As soundfile names them: container, samples
FORMATS = {FLAC: ("FLAC", "PCM_16"), OPUS: ("OGG", "OPUS")}
# Browsers are sure to decode these rates.
LOWEST_RATE, HIGHEST_RATE = 8000, 48000

BLOCK_SECONDS = 0.4  # of BS.1770
# Of the noisy track, where no track's peak is then above full scale: EBU R 128's
LOUDNESS_LUFS = -23.0
HIGHEST_PEAK = 0.99


class Levelled(NamedTuple):
    """Tracks of a recording at one loudness.

    Arguments
    ---------
    signals : list of numpy.ndarray
        [time] each.
    offsets_db : list of float
        By how much each was raised beside the first. 0 for a silent one, which has no loudness.
    """

    signals: list[np.ndarray]
    offsets_db: list[float]


def loudness(signal: np.ndarray, sample_rate: int) -> float:
    """The integrated loudness of a signal (ITU-R BS.1770-4).

    One that is shorter than the blocks of 0.4 s is repeated.

    Arguments
    ---------
    signal : numpy.ndarray
        [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    float
        In LUFS; minus infinity for silence.

    Example
    -------
    >>> tone = np.sin(np.arange(48000) * 2 * np.pi * 997 / 48000)
    >>> round(loudness(tone, 48000))
    -3
    """
    times = math.ceil(BLOCK_SECONDS * sample_rate / len(signal))
    repeated = np.tile(signal.astype(np.float64), times)
    return float(pyloudnorm.Meter(sample_rate).integrated_loudness(repeated))


def levelled(signals: Sequence[np.ndarray], sample_rate: int) -> Levelled:
    """Bring signals to the loudness of the first, and that to -23 LUFS, or lower for the peaks.

    The gain to -23 LUFS is one for all: beside each other they are as loud as they were, once the
    offsets are taken back. No sample is above full scale, with the offsets or without.

    Arguments
    ---------
    signals : sequence of numpy.ndarray
        [time] each.
    sample_rate : int
        In Hz.

    Returns
    -------
    Levelled
        The signals and their offsets.

    Example
    -------
    >>> noise = np.random.default_rng(0).normal(size=16000).astype(np.float32)
    >>> both, offsets = levelled([noise, noise / 2], 16000)
    >>> round(loudness(both[1], 16000), 2), [round(offset, 2) for offset in offsets]
    (-23.0, [0.0, 6.02])
    """
    reference, *others = (loudness(signal, sample_rate) for signal in signals)
    gaps = [reference - other for other in others]
    offsets = [0.0, *(gap if math.isfinite(gap) else 0.0 for gap in gaps)]
    raised = [signal * 10 ** (offset / 20) for signal, offset in zip(signals, offsets, strict=True)]
    peak = max(float(np.abs(signal).max()) for signal in [*signals, *raised])
    gain = HIGHEST_PEAK / max(peak, 1e-9)
    if math.isfinite(reference):
        gain = min(gain, 10 ** ((LOUDNESS_LUFS - reference) / 20))
    return Levelled([(gain * signal).astype(np.float32) for signal in raised], offsets)


def encoded(
    signal: np.ndarray, sample_rate: int, codec: str, opus_kbits: float = OPUS_KBITS
) -> bytes:
    """A signal as a file of one channel: FLAC of 16 bits, or Ogg Opus.

    Arguments
    ---------
    signal : numpy.ndarray
        [time], within full scale.
    sample_rate : int
        In Hz. Outside of 8 to 48 kHz, and for Opus at a rate that it has not, it is resampled.
    codec : str
        `FLAC` or `OPUS`.
    opus_kbits : float
        Of Opus, in kbit/s, about: it takes some more or less by what is heard.

    Returns
    -------
    bytes
        The file.

    Example
    -------
    >>> encoded(np.zeros(16000, dtype=np.float32), 16000, FLAC)[:4]
    b'fLaC'
    """
    rate = coded_rate(sample_rate, codec)
    if rate != sample_rate:
        signal = soxr.resample(signal, sample_rate, rate).clip(-1, 1)
    container, kind = FORMATS[codec]
    most, least = OPUS_RANGE_KBITS
    compression = (most - opus_kbits) / (most - least) if codec == OPUS else None
    buffer = io.BytesIO()
    with sf.SoundFile(
        buffer, "w", rate, 1, kind, format=container, compression_level=compression
    ) as file:
        file.write(signal)
    return buffer.getvalue()


def coded_rate(sample_rate: int, codec: str) -> int:
    """The rate at which a signal is encoded.

    Example
    -------
    >>> coded_rate(44100, FLAC), coded_rate(44100, OPUS), coded_rate(96000, FLAC)
    (44100, 48000, 48000)
    """
    rate = min(max(sample_rate, LOWEST_RATE), HIGHEST_RATE)
    return rate if codec == FLAC else next(rate_ for rate_ in OPUS_RATES if rate_ >= rate)


def as_text(data: bytes) -> str:
    """Bytes as base64, as a page holds them.

    Example
    -------
    >>> as_text(b"fLaC")
    'ZkxhQw=='
    """
    return base64.b64encode(data).decode("ascii")
