"""Gains over time: levels that wander, gates, steps, and pauses of speech that are silenced."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.ndimage import maximum_filter1d, uniform_filter1d

FRAME_SECONDS = 0.02
QUIETEST_SHARE = 0.1  # of the frames: the pauses
MOST_SNR_DB = 100.0  # of speech whose pauses are digital silence

GATE_SECONDS = (0.05, 2.0)
GATE_RAMP_SECONDS = 0.005

STEP_RAMP_SECONDS = 0.02

PAUSE_MARGIN_DB = 8.0  # over the level of the pauses
PAUSE_BELOW_SPEECH_DB = 15.0  # at least
PAUSE_GAIN_DB = -40.0
PAUSE_HOLD_SECONDS = 0.1
PAUSE_RAMP_SECONDS = 0.04


def wandering_gain(frames: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A gain that wanders, by up to some 10 dB and up to ten times a second.

    Arguments
    ---------
    frames : int
        Length in samples.
    sample_rate : int
        In Hz.
    rng : numpy.random.Generator
        Where every choice comes from.

    Returns
    -------
    numpy.ndarray
        Factors [frames].

    Example
    -------
    >>> wandering_gain(8000, 16000, np.random.default_rng(0)).shape
    (8000,)
    """
    per_second = np.exp(rng.uniform(np.log(0.3), np.log(10)))
    points = max(int(frames / sample_rate * per_second), 1) + 2
    gains_db = rng.normal(0, rng.uniform(0, 8), points)
    return 10 ** (np.interp(np.linspace(0, points - 1, frames), np.arange(points), gains_db) / 20)


def gate(frames: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """A gain that is now one, now zero, for 0.05 to 2 s each, and one somewhere.

    Arguments
    ---------
    frames, sample_rate, rng
        As `wandering_gain`.

    Returns
    -------
    numpy.ndarray
        Factors [frames] from 0 to 1; a change takes 5 ms.

    Example
    -------
    >>> gains = gate(64000, 16000, np.random.default_rng(0))
    >>> float(gains.min()), float(gains.max())
    (0.0, 1.0)
    """
    shortest, longest = np.log(GATE_SECONDS)
    first = rng.integers(2)
    pieces: list[np.ndarray] = []
    drawn = 0
    while drawn < frames or len(pieces) < 2:
        length = max(int(np.exp(rng.uniform(shortest, longest)) * sample_rate), 1)
        # The second piece begins within the signal, so that something of it is heard.
        length = min(length, max(frames // 2, 1)) if not pieces else length
        pieces.append(np.full(length, float((first + len(pieces)) % 2)))
        drawn += length
    return _smoothed(np.concatenate(pieces)[:frames], GATE_RAMP_SECONDS, sample_rate)


def level_step(start: int, change_db: float, frames: int, sample_rate: int) -> np.ndarray:
    """A gain of one that becomes another one, within 20 ms.

    Arguments
    ---------
    start : int
        Where it changes, in samples.
    change_db : float
        By how much, in dB.
    frames, sample_rate
        As `wandering_gain`.

    Returns
    -------
    numpy.ndarray
        Factors [frames].

    Example
    -------
    >>> level_step(500, 20.0, 1000, 16000)[[0, 999]]
    array([ 1., 10.])
    """
    change_at = [start, start + STEP_RAMP_SECONDS * sample_rate]
    return 10 ** (np.interp(np.arange(frames), change_at, [0, change_db]) / 20)


def speech_snr_db(speech: np.ndarray, sample_rate: int) -> float:
    """The level of a recording of speech over that of its pauses.

    The pauses are the quietest tenth of its frames of 20 ms.

    Arguments
    ---------
    speech : numpy.ndarray
        [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    float
        In dB; 0 to 100, 0 for silence.

    Example
    -------
    >>> noise = np.random.default_rng(0).normal(size=32000)
    >>> round(speech_snr_db(noise * level_step(16000, 40.0, 32000, 16000), 16000))
    37
    """
    powers = np.sort(_frame_powers(speech - speech.mean(), sample_rate))
    level = powers.mean()
    pauses = powers[: max(int(len(powers) * QUIETEST_SHARE), 1)].mean()
    if level <= 0:
        return 0.0
    return float(10 * np.log10(level / max(pauses, level * 10 ** (-MOST_SNR_DB / 10))))


def pauses_silenced(speech: np.ndarray, snr_db: float, sample_rate: int) -> np.ndarray:
    """A gain that takes the noise out of the pauses of a recording of speech.

    Frames that are less than 8 dB above the pauses' level, and 15 dB or more below the speech's,
    fall by 40 dB, unless there is speech within 0.1 s.

    Arguments
    ---------
    speech : numpy.ndarray
        [time], any part of a recording.
    snr_db : float
        The recording's, see `speech_snr_db`.
    sample_rate : int
        In Hz.

    Returns
    -------
    numpy.ndarray
        Factors [time] from 0.01 to 1; a change takes 40 ms.

    Example
    -------
    >>> noise = np.random.default_rng(0).normal(size=32000)
    >>> gains = pauses_silenced(noise * level_step(16000, 30.0, 32000, 16000), 27.0, 16000)
    >>> round(float(gains[8000]), 3), round(float(gains[24000]), 3)
    (0.01, 1.0)
    """
    hop = max(round(FRAME_SECONDS * sample_rate), 1)
    padded = np.pad(speech, (0, -len(speech) % hop))
    # Over three frames: the level of noise is steady enough then.
    powers = uniform_filter1d(_frame_powers(padded, sample_rate), 3)
    level_db = _db(powers.mean())
    threshold_db = level_db - max(snr_db - PAUSE_MARGIN_DB, PAUSE_BELOW_SPEECH_DB)
    hold = 2 * round(PAUSE_HOLD_SECONDS / FRAME_SECONDS) + 1
    spoken = maximum_filter1d((_db(powers) > threshold_db).astype(float), hold)
    gains_db = (1 - np.repeat(spoken, hop)[: len(speech)]) * PAUSE_GAIN_DB
    return 10 ** (_smoothed(gains_db, PAUSE_RAMP_SECONDS, sample_rate) / 20)


def _frame_powers(signal: np.ndarray, sample_rate: int) -> np.ndarray:
    size = min(max(round(FRAME_SECONDS * sample_rate), 1), len(signal))
    frames = sliding_window_view(signal, size)[::size]
    return np.einsum("ft,ft->f", frames, frames, dtype=np.float64) / size


def _db(powers: np.ndarray) -> np.ndarray:
    return 10 * np.log10(np.maximum(powers, 1e-20))


def _smoothed(gain: np.ndarray, seconds: float, sample_rate: int) -> np.ndarray:
    return uniform_filter1d(gain, max(round(seconds * sample_rate), 1), mode="nearest")
