"""What listeners would say of an estimate: PESQ, STOI, DNSMOS, its level, what is left of bands."""

import math
import warnings
from collections.abc import Callable

import numpy as np
import soxr
import torch
from pesq import PesqError, pesq
from pystoi import stoi

NARROW_BAND, WIDE_BAND = 8000, 16000  # the rates that PESQ has modes for
PESQ_MODES = {NARROW_BAND: "nb", WIDE_BAND: "wb"}
PESQ_NAMES = {NARROW_BAND: "PESQ-NB", WIDE_BAND: "PESQ-WB"}
DNSMOS_RATE = 16000
# What DNSMOS says depends on the level: signals are scaled to -26 dB of full scale.
DNSMOS_LEVEL = 10 ** (-26 / 20)
# What P.862.1 and P.862.2 make of -0.5, the least that P.862 gives: where nothing is left of speech
LEAST_PESQ = {
    NARROW_BAND: 0.999 + 4 / (1 + math.exp(1.4945 * 0.5 + 4.6607)),
    WIDE_BAND: 0.999 + 4 / (1 + math.exp(1.3669 * 0.5 + 3.8224)),
}
# Centres of the octaves that are looked at, in Hz
OCTAVES = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)
LEAST_LEVEL_DB = -60.0


class MetricError(Exception):
    """A metric that cannot be computed for an utterance; the message says why."""


def pesq_rate(sample_rate: int) -> int:
    """The rate at which PESQ hears signals: 8000 Hz up to that of theirs, else 16000.

    Example
    -------
    >>> pesq_rate(8000), pesq_rate(48000)
    (8000, 16000)
    """
    return NARROW_BAND if sample_rate <= NARROW_BAND else WIDE_BAND


def pesq_name(sample_rate: int) -> str:
    """What a table calls the PESQ of signals at a rate: "PESQ-NB", narrow band, or "PESQ-WB".

    Example
    -------
    >>> pesq_name(8000), pesq_name(44100)
    ('PESQ-NB', 'PESQ-WB')
    """
    return PESQ_NAMES[pesq_rate(sample_rate)]


def perceptual_scores(
    clean: np.ndarray, signal: np.ndarray, sample_rate: int, with_dnsmos: bool
) -> tuple[dict[str, float | None], dict[str, str]]:
    """Score an estimate by every metric that there is at a sample rate.

    PESQ is of narrow band up to 8000 Hz, else of wide band, on signals resampled to 16000 Hz.
    DNSMOS is of signals at 16000 Hz, and left out below: it would hear their missing upper
    frequencies as a fault.

    Arguments
    ---------
    clean, signal : numpy.ndarray
        The clean sources and their estimates [sources, time]; a score is the mean over them.
    sample_rate : int
        In Hz.
    with_dnsmos : bool
        Whether DNSMOS, which takes longer than the others together, is computed.

    Returns
    -------
    (dict, dict)
        Metric to score, None where there is none; and metric to reason where one failed.

    Example
    -------
    >>> import soundfile as sf
    >>> clean, _ = sf.read("tests/samples/demo/clean_0dB.flac")
    >>> scores, failures = perceptual_scores(clean[None], clean[None], 16000, with_dnsmos=False)
    >>> round(scores["pesq"], 2), round(scores["stoi"], 2), scores["dnsmos"], failures
    (4.64, 1.0, None, {})
    """
    metrics: dict[str, Callable] = {"stoi": _stoi, "pesq": pesq_score}
    if with_dnsmos and sample_rate >= DNSMOS_RATE:
        metrics["dnsmos"] = _dnsmos
    scores, failures = dict.fromkeys(("pesq", "stoi", "dnsmos")), {}
    for name, metric in metrics.items():
        try:
            pairs = zip(clean, signal, strict=True)
            scores[name] = float(np.mean([metric(c, s, sample_rate) for c, s in pairs]))
        except MetricError as error:
            failures[name] = str(error)
    return scores, failures


def speech_level_db(estimates: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """The gain of the clean speech in an estimate: 20 log10 of <e, s> / <s, s>.

    Noise that is left does not count, as it does in
    `bloomnet_sb.nn.losses.level_difference_db`.

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates e [blocks, batch, time, sources].
    target : torch.Tensor
        The clean sources s [batch, time, sources].

    Returns
    -------
    torch.Tensor
        [blocks, batch, sources], in dB, -60 or more; NaN where the source is silent.

    Example
    -------
    >>> target = torch.randn(2, 8000, 1)
    >>> speech_level_db(torch.stack([0.1 * target]), target).round().flatten()
    tensor([-20., -20.])
    """
    product = (estimates * target).double().sum(-2)
    gain = product / target.double().square().sum(-2)
    return 20 * torch.log10(gain.clamp(min=10 ** (LEAST_LEVEL_DB / 20))).float()


def octave_powers(signal: torch.Tensor, sample_rate: int) -> list[float]:
    """The power of a signal in the octaves around 125 Hz to 16 kHz.

    Arguments
    ---------
    signal : torch.Tensor
        [time].
    sample_rate : int
        In Hz; octaves that begin above half of it are left out, that around it is cut there.

    Returns
    -------
    list of float
        The power in each of `OCTAVES` that there is.

    Example
    -------
    >>> tone = torch.sin(torch.arange(16000) * 2 * torch.pi * 1000 / 16000)
    >>> [round(power, 3) for power in octave_powers(tone, 16000)]
    [0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0]
    """
    length = len(signal)
    spectrum = torch.fft.rfft(signal.double()).abs().square() * 2 / length**2
    frequencies = torch.fft.rfftfreq(length, 1 / sample_rate)
    edges = [(centre / 2**0.5, centre * 2**0.5) for centre in OCTAVES]
    return [
        float(spectrum[(frequencies >= lowest) & (frequencies < highest)].sum())
        for lowest, highest in edges
        if lowest < sample_rate / 2
    ]


def pesq_score(clean: np.ndarray, signal: np.ndarray, sample_rate: int) -> float:
    """The PESQ of an estimate.

    Arguments
    ---------
    clean, signal : numpy.ndarray
        A clean source and its estimate [time].
    sample_rate : int
        In Hz, see `pesq_rate`.

    Returns
    -------
    float
        The score, up to 4.64; the higher the better. For a silent estimate, the least there is.

    Raises
    ------
    MetricError
        If there is none, as for silence instead of clean speech.

    Example
    -------
    >>> clean = np.random.default_rng(0).normal(size=16000)
    >>> round(pesq_score(clean, clean, 16000), 2)
    4.64
    """
    rate = pesq_rate(sample_rate)
    clean, signal = (_at_rate(s, sample_rate, rate) for s in (clean, signal))
    if clean.any() and not signal.any():
        return LEAST_PESQ[rate]
    try:
        return pesq(rate, clean, signal, PESQ_MODES[rate])
    except (PesqError, ValueError) as error:
        reason = error.args[0] if error.args else type(error).__name__
        raise MetricError(reason.decode() if isinstance(reason, bytes) else str(reason)) from error


def _stoi(clean: np.ndarray, signal: np.ndarray, sample_rate: int) -> float:
    # pystoi warns, and returns 1e-5, where it finds too little speech.
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return stoi(clean, signal, sample_rate)
        except (RuntimeWarning, ValueError) as error:  # that of less than a frame
            raise MetricError(str(error).splitlines()[0]) from error


def _dnsmos(clean: np.ndarray, signal: np.ndarray, sample_rate: int) -> float:
    from bloomnet_sb.scoring.dnsmos import overall_score  # imports onnxruntime and librosa

    signal = _at_rate(signal, sample_rate, DNSMOS_RATE)
    level = np.sqrt(np.mean(np.square(signal, dtype=np.float64)))
    if level == 0:
        raise MetricError("a silent signal")
    scaled = np.clip(signal * (DNSMOS_LEVEL / level), -1, 1).astype(np.float32)
    return overall_score(scaled, DNSMOS_RATE)


def _at_rate(signal: np.ndarray, sample_rate: int, rate: int) -> np.ndarray:
    return signal if sample_rate == rate else soxr.resample(signal, sample_rate, rate)
