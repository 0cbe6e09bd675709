"""Synthesise kinds of noise with numpy, each from a given random generator.

Each maker takes a generator and a length in samples and returns a signal of arbitrary level.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.signal import iirpeak, lfilter

SAMPLE_RATE = 16_000

Signal = np.ndarray
NoiseMaker = Callable[[np.random.Generator, int], Signal]


def unit_rms(signal: Signal) -> Signal:
    """Scale a signal to a root mean square of one."""
    return signal / np.sqrt(np.mean(np.square(signal)))


def shaped_noise(rng: np.random.Generator, length: int, gain: Callable[[Signal], Signal]) -> Signal:
    """Return Gaussian noise of unit power whose magnitude spectrum follows `gain(frequency)`."""
    frequency = np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
    spectrum = np.fft.rfft(rng.standard_normal(length)) * gain(frequency)
    return unit_rms(np.fft.irfft(spectrum, length))


def coloured_noise(rng: np.random.Generator, length: int, exponent: float) -> Signal:
    """Return noise whose power falls as frequency to the `exponent`, level below 20 Hz."""
    return shaped_noise(rng, length, lambda f: np.maximum(f, 20.0) ** (-exponent / 2))


def over_pink_floor(rng: np.random.Generator, signal: Signal, snr_db: float) -> Signal:
    """Add a quiet room to a synthetic source, which would otherwise pause in digital silence."""
    return unit_rms(signal) + coloured_noise(rng, len(signal), 1) * 10 ** (-snr_db / 20)


def slow_contour(
    rng: np.random.Generator, length: int, knots_per_second: float, low: float, high: float
) -> Signal:
    """Return a random curve between `low` and `high` that is linear between its knots."""
    count = int(length / SAMPLE_RATE * knots_per_second) + 2
    return np.interp(
        np.linspace(0, count - 1, length), np.arange(count), rng.uniform(low, high, count)
    )


def phase_of(frequency: Signal | float, length: int) -> Signal:
    """Return the running phase, in radians, of a constant or varying frequency."""
    return 2 * np.pi * np.cumsum(np.broadcast_to(frequency, length)) / SAMPLE_RATE


def harmonics(phase: Signal, amplitudes: Iterable[float]) -> Signal:
    """Sum sines at the multiples of a phase."""
    return sum(a * np.sin(k * phase) for k, a in enumerate(amplitudes, start=1))


def decay(seconds: float, time_constant: float) -> Signal:
    """Return an exponential decay of the given duration."""
    return np.exp(-np.arange(int(seconds * SAMPLE_RATE)) / (time_constant * SAMPLE_RATE))


def overlay(length: int, events: Iterable[tuple[float, Signal]]) -> Signal:
    """Add events at their start times, in seconds, cutting off what runs over the end."""
    mixture = np.zeros(length)
    for seconds, event in events:
        start = int(seconds * SAMPLE_RATE)
        target = mixture[start : start + len(event)]
        target += event[: len(target)]
    return mixture


def hum(rng: np.random.Generator, length: int) -> Signal:
    """Mains hum: harmonics of 50 or 60 Hz, the even ones strong as in a transformer."""
    order = np.arange(1, 25)
    amplitudes = rng.uniform(0.3, 1, order.size) * np.where(order % 2, 0.6, 1.0) / order
    phase = phase_of(rng.choice([50, 60]), length)
    return over_pink_floor(rng, harmonics(phase, amplitudes), snr_db=20)


def babble(rng: np.random.Generator, length: int, talkers: list[Signal]) -> Signal:
    """Six talkers at once, each at a random place of their reading."""
    chosen = rng.choice(len(talkers), size=6, replace=False)
    rolled = [np.roll(talkers[i], -rng.integers(talkers[i].size))[:length] for i in chosen]
    return sum(unit_rms(part.astype(float)) for part in rolled)


def key_click(rng: np.random.Generator, strength: float) -> Signal:
    """Return the click of one key: a burst of noise over the resonance of its cap."""
    fade = decay(0.03, rng.uniform(0.002, 0.005))
    cap = np.sin(phase_of(rng.uniform(1500, 3500), fade.size))
    return strength * fade * (rng.standard_normal(fade.size) + cap)


def typing(rng: np.random.Generator, length: int) -> Signal:
    """Typing: a press and a softer release per key, at irregular intervals."""
    presses = np.cumsum(rng.gamma(4, 0.04, size=60))
    presses = presses[presses < length / SAMPLE_RATE]
    releases = presses + rng.uniform(0.05, 0.09, presses.size)
    events = [(t, key_click(rng, rng.uniform(0.6, 1))) for t in presses]
    events += [(t, key_click(rng, rng.uniform(0.2, 0.4))) for t in releases]
    return over_pink_floor(rng, overlay(length, events), snr_db=20)


def music(rng: np.random.Generator, length: int) -> Signal:
    """Music-like: broken major and minor chords of decaying harmonics."""
    root = rng.uniform(110, 220)
    beat = rng.uniform(0.12, 0.25)
    events = []
    for i, start in enumerate(np.arange(0, length / SAMPLE_RATE, beat)):
        if i % 6 == 0:
            chord = rng.choice([0, 5, 7, 9]) + np.array([0, rng.choice([3, 4]), 7, 12])
        fade = decay(1.5, rng.uniform(0.2, 0.5))
        phase = phase_of(root * 2 ** (rng.choice(chord) / 12), fade.size)
        events.append((start, fade * harmonics(phase, rng.uniform(0.3, 1, 8) / np.arange(1, 9))))
    return overlay(length, events)


def siren(rng: np.random.Generator, length: int) -> Signal:
    """Siren: a tone with harmonics that sweeps up and down over a street's rumble."""
    low, high = rng.uniform(400, 700), rng.uniform(1000, 1600)
    sweep = (1 - np.cos(phase_of(rng.uniform(0.2, 3.0), length))) / 2
    phase = phase_of(low + (high - low) * sweep, length)
    return over_pink_floor(rng, harmonics(phase, (1, 0.5, 0.3, 0.15)), snr_db=15)


def wind(rng: np.random.Generator, length: int) -> Signal:
    """Wind: gusts of low-pass noise, whose whistle rises with their strength."""
    cutoff, pitch = rng.uniform(150, 400), rng.uniform(500, 1100)
    rumble = shaped_noise(rng, length, lambda f: 1 / (1 + (f / cutoff) ** 2))
    whistle = shaped_noise(rng, length, lambda f: 1 / (1 + ((f - pitch) / 60) ** 2))
    gusts = slow_contour(rng, length, 1.5, 0.15, 1.0)
    return gusts * rumble + 0.3 * gusts**3 * whistle


def beeps(rng: np.random.Generator, length: int) -> Signal:
    """Beeps: short tones of one pitch at regular intervals, as of an appliance."""
    tone_length = int(rng.uniform(0.08, 0.25) * SAMPLE_RATE)
    tone = harmonics(phase_of(rng.uniform(800, 2500), tone_length), (1, 0.2, 0.3))
    tone *= np.minimum(1, 8 * np.hanning(tone_length))
    starts = np.arange(0.2, length / SAMPLE_RATE, rng.uniform(0.35, 0.7))
    return over_pink_floor(rng, overlay(length, [(t, tone) for t in starts]), snr_db=15)


def rain_drop(rng: np.random.Generator) -> Signal:
    """Return one drop: the short ringing of the air bubble it makes."""
    fade = decay(0.02, rng.uniform(0.001, 0.004))
    return rng.lognormal(0, 0.8) * fade * np.sin(phase_of(rng.uniform(1200, 6500), fade.size))


def rain(rng: np.random.Generator, length: int) -> Signal:
    """Rain: dense random drops over the hiss of those too far away to be told apart."""
    seconds = length / SAMPLE_RATE
    starts = rng.uniform(0, seconds, int(seconds * rng.uniform(150, 400)))
    drops = overlay(length, [(t, rain_drop(rng)) for t in starts])
    centre = rng.uniform(1000, 2500)
    hiss = shaped_noise(rng, length, lambda f: (f + 100) / (centre**2 + f**2))
    return slow_contour(rng, length, 1, 0.7, 1.0) * (unit_rms(drops) + hiss)


def engine(rng: np.random.Generator, length: int) -> Signal:
    """Engine: a four-cylinder's firing pulses at a drifting speed, through exhaust resonances."""
    firing_rate = slow_contour(rng, length, 0.8, 900, 2800) / 30  # two firings a revolution
    firings = np.flatnonzero(np.diff(np.floor(phase_of(firing_rate, length) / (2 * np.pi))))
    cylinders = np.resize(rng.uniform(0.8, 1.2, 4), firings.size)
    pulses = np.zeros(length)
    pulses[firings] = cylinders * rng.normal(1, 0.1, firings.size)
    resonances = [
        iirpeak(rng.uniform(low, 2 * low), 3, SAMPLE_RATE) for low in (60, 150, 400, 1000)
    ]
    exhaust = sum(unit_rms(lfilter(b, a, pulses)) / k for k, (b, a) in enumerate(resonances, 1))
    intake = coloured_noise(rng, length, 1) * lfilter(*iirpeak(80, 1, SAMPLE_RATE), pulses)
    return unit_rms(exhaust) + 0.3 * unit_rms(intake)


@dataclass(frozen=True)
class NoiseKind:
    """A kind of noise, the split it belongs to and how many clips of it are made."""

    name: str
    split: str
    clips: int
    make: NoiseMaker


def noise_kinds(talkers: list[Signal]) -> list[NoiseKind]:
    """Return all kinds of noise; `talkers` are the readings that babble is mixed of."""
    return [
        NoiseKind("white", "train", 1, partial(coloured_noise, exponent=0)),
        NoiseKind("pink", "train", 2, partial(coloured_noise, exponent=1)),
        NoiseKind("brown", "train", 2, partial(coloured_noise, exponent=2)),
        NoiseKind("hum", "train", 2, hum),
        NoiseKind("babble", "train", 3, partial(babble, talkers=talkers)),
        NoiseKind("typing", "train", 2, typing),
        NoiseKind("music", "train", 2, music),
        NoiseKind("siren", "train", 2, siren),
        NoiseKind("wind", "valid", 2, wind),
        NoiseKind("beeps", "valid", 2, beeps),
        NoiseKind("rain", "test", 3, rain),
        NoiseKind("engine", "test", 3, engine),
    ]
