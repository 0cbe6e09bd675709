"""Synthetic noise, for training: sounds that no recording at hand has."""

import numpy as np

from bloomnet_sb.data.envelopes import wandering_gain

SPECTRUM_POINTS = 16
LOWEST_HZ = 50.0


def synthetic_noise(frames: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """Make a random noise: a hiss, a hum, impacts, or two of them.

    A hiss is Gaussian noise with a random spectrum; a hum a fundamental between 40 and 1500 Hz,
    its overtones and a random vibrato; impacts are damped bursts at random times, half a second
    to 30 ms apart on average. The level of each goes up and down at random.

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
        [frames], of unit power.

    Example
    -------
    >>> noise = synthetic_noise(8000, 16000, np.random.default_rng(0))
    >>> noise.shape, round(float(np.mean(noise**2)), 3)
    ((8000,), 1.0)
    """
    kinds = (_hiss, _hum, _impacts)
    chosen = rng.choice(len(kinds), size=rng.integers(1, 3), replace=False)
    total = np.zeros(frames)
    for kind in [kinds[number] for number in chosen]:
        sound = kind(frames, sample_rate, rng) * wandering_gain(frames, sample_rate, rng)
        total += unit_power(sound) * 10 ** (rng.uniform(-10, 0) / 20)
    return unit_power(total).astype(np.float32)


def _hiss(frames: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    octaves = np.linspace(0, np.log2(sample_rate / 2 / LOWEST_HZ), SPECTRUM_POINTS)
    gains_db = rng.uniform(-12, 3) * octaves + rng.normal(0, rng.uniform(0, 8), SPECTRUM_POINTS)
    gain = gain_curve(gains_db, LOWEST_HZ, frames, sample_rate)
    # Of a random phase and magnitude in each bin: Gaussian noise without its way through time.
    spectrum = rng.normal(size=len(gain)) + 1j * rng.normal(size=len(gain))
    return np.fft.irfft(spectrum * gain, frames)


def _hum(frames: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    fundamental = np.exp(rng.uniform(np.log(40), np.log(1500)))
    seconds = np.arange(frames) / sample_rate
    vibrato_hz, depth = rng.uniform(0.2, 6), rng.uniform(0, 0.03)
    phase = 2 * np.pi * fundamental * seconds
    phase += depth * fundamental / vibrato_hz * np.sin(2 * np.pi * vibrato_hz * seconds)
    overtones = np.arange(1, min(20, int(sample_rate / 2 / fundamental / 1.1)) + 1)
    slope = rng.uniform(0, 2)
    sound = np.zeros(frames)
    for overtone in overtones:
        level = rng.exponential() * overtone**-slope
        sound += level * np.sin(overtone * phase + rng.uniform(0, 2 * np.pi))
    return sound


def _impacts(frames: int, sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    per_second = np.exp(rng.uniform(np.log(2), np.log(30)))
    strikes = rng.random(frames) < per_second / sample_rate
    strikes[rng.integers(frames)] = True
    strength = strikes * rng.lognormal(0, 1, frames)
    seconds = np.arange(sample_rate // 4) / sample_rate
    burst = rng.uniform(0, 1) * rng.normal(size=len(seconds))
    burst = burst * np.exp(-seconds / np.exp(rng.uniform(np.log(0.002), np.log(0.05))))
    for _ in range(rng.integers(6)):
        ringing_hz = np.exp(rng.uniform(np.log(150), np.log(sample_rate / 2.2)))
        damping = np.exp(-seconds / np.exp(rng.uniform(np.log(0.005), np.log(0.1))))
        burst += rng.exponential() * np.sin(2 * np.pi * ringing_hz * seconds) * damping
    length = frames + len(burst)
    return np.fft.irfft(np.fft.rfft(strength, length) * np.fft.rfft(burst, length), length)[:frames]


def gain_curve(gains_db: np.ndarray, lowest_hz: float, frames: int, sample_rate: int) -> np.ndarray:
    """The gain in each bin of a spectrum, from gains at even steps of pitch.

    Arguments
    ---------
    gains_db : numpy.ndarray
        Gains in dB, from `lowest_hz` to half the sample rate.
    lowest_hz : float
        Below it, the first gain holds.
    frames : int
        Length in samples of the signal whose spectrum it is.
    sample_rate : int
        In Hz.

    Returns
    -------
    numpy.ndarray
        Factors [frames // 2 + 1].

    Example
    -------
    >>> gain_curve(np.array([0.0, 20.0]), 4000.0, 4, 16000)
    array([ 1.,  1., 10.])
    """
    points = np.geomspace(lowest_hz, sample_rate / 2, len(gains_db))
    frequencies = np.fft.rfftfreq(frames, 1 / sample_rate)
    gain_db = np.interp(np.log(np.maximum(frequencies, 1.0)), np.log(points), gains_db)
    return 10 ** (gain_db / 20)


def unit_power(signal: np.ndarray) -> np.ndarray:
    """A signal scaled to a mean power of 1; silence stays.

    Example
    -------
    >>> unit_power(np.array([2.0, -2.0]))
    array([ 1., -1.])
    """
    return signal / max(np.sqrt(np.mean(np.square(signal))), 1e-12)
