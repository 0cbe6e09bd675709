"""PESQ as a term of the training loss: ITU-T P.862 with a gradient, without its time alignment."""

from functools import lru_cache
from itertools import accumulate

import torch
from torchaudio.functional import resample

from bloomnet_sb.utils.errors import InputError

SAMPLE_RATE = 16000
WINDOW_SAMPLES = 512
HOP_SAMPLES = 256
# Disturbances are summed over 20 frames, a syllable, in steps of 10 (P.862, 10.2.10).
SYLLABLE_FRAMES = 20
SHORTEST_SAMPLES = WINDOW_SAMPLES + (SYLLABLE_FRAMES - 1) * HOP_SAMPLES

# The constants of P.862's reference for 16 kHz. Of its 49 Bark bands: how many of the 256 bins,
# width in Bark, factor of the power, threshold of hearing as a power.
# fmt: off
BAND_BINS = (
    1, 1, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 4, 3, 4,
    5, 4, 5, 6, 6, 7, 8, 9, 9, 12, 12, 15, 16, 18, 21, 25, 20,
)
BAND_BARKS = (
    0.157344, 0.317994, 0.322441, 0.326934, 0.331474, 0.336061, 0.340697, 0.345381, 0.350114,
    0.354897, 0.359729, 0.364611, 0.369544, 0.374529, 0.379565, 0.384653, 0.389794, 0.394989,
    0.400236, 0.405538, 0.410894, 0.416306, 0.421773, 0.427297, 0.432877, 0.438514, 0.444209,
    0.449962, 0.455774, 0.461645, 0.467577, 0.473569, 0.479621, 0.485736, 0.491912, 0.498151,
    0.504454, 0.510819, 0.517250, 0.523745, 0.530308, 0.536934, 0.543629, 0.550390, 0.557220,
    0.564119, 0.571085, 0.578125, 0.585232,
)
BAND_FACTORS = (
    100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 100.0, 50.0, 100.0, 100.0, 100.0, 100.0,
    100.0, 53.047, 110.0, 117.992, 65.0, 68.760, 70.0, 71.429, 75.0, 76.843, 80.969, 88.646,
    63.864, 68.155, 72.548, 75.585, 58.379, 80.951, 64.136, 54.385, 73.822, 64.437, 59.176,
    65.521, 61.400, 58.144, 57.005, 64.126, 54.311, 61.115, 55.078, 56.849, 55.629, 53.137,
    54.986, 79.547,
)
BAND_THRESHOLDS = (
    5.1286152e7, 2.4547095e6, 7.0794594e4, 4897.7886, 1174.8977, 389.04517, 104.71286, 45.70882,
    17.782795, 9.772372, 4.897789, 3.090296, 1.905461, 1.258925, 0.977237, 0.724436, 0.562341,
    0.457088, 0.389045, 0.331131, 0.295121, 0.269153, 0.257040, 0.251189, 0.251189, 0.251189,
    0.251189, 0.263027, 0.288403, 0.309030, 0.338844, 0.371535, 0.398107, 0.436516, 0.467735,
    0.489779, 0.501187, 0.501187, 0.512861, 0.524807, 0.524807, 0.524807, 0.512861, 0.478630,
    0.426580, 0.371535, 0.363078, 0.416869, 0.537032,
)
# fmt: on
POWER_SCALE = 6.910853e-6
LOUDNESS_SCALE = 0.1866055
TARGET_POWER = 1e7  # of the band that the level is taken from
LEVEL_BAND_HZ = (325, 3250)
# The pre-emphasis of wide-band PESQ (P.862.2), a high-pass filter.
PRE_EMPHASIS = ((2.740826, -5.4816519, 2.740826), (1.0, -1.9444777, 0.94597794))


def check_pesq_weight(pesq_weight: float, sample_rate: int) -> None:
    """Refuse training on PESQ at a rate that is too low for it.

    Arguments
    ---------
    pesq_weight : float
        The weight; 0: no such training.
    sample_rate : int
        Of the signals, in Hz.

    Raises
    ------
    InputError
        If the rate is below 16 kHz.

    Example
    -------
    >>> check_pesq_weight(0.1, 48000)
    """
    if pesq_weight and sample_rate < SAMPLE_RATE:
        raise InputError(
            f"pesq_weight is {pesq_weight} with a sample_rate of {sample_rate}, but PESQ is "
            f"trained on at {SAMPLE_RATE} Hz or more"
        )


def pesq_mos(
    estimates: torch.Tensor, target: torch.Tensor, sample_rate: int = SAMPLE_RATE
) -> torch.Tensor:
    """Wide-band PESQ (ITU-T P.862 and P.862.2) of estimates, with a gradient.

    The package pesq's score to some hundredths where nothing is out of time: signals are not
    aligned, and filters act on spectra. It knows nothing of the level, which PESQ normalises.
    Signals of higher rates are resampled to 16 kHz first.

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates [blocks, batch, time, sources]. Shorter ones than 0.34 s are padded.
    target : torch.Tensor
        The clean sources [batch, time, sources].
    sample_rate : int
        Of both, in Hz; 16000 or more, see `check_pesq_weight`.

    Returns
    -------
    torch.Tensor
        [blocks, batch, sources], from 1.0 to 4.6; the higher the better.

    Example
    -------
    >>> target = torch.randn(2, 16000, 1)
    >>> pesq_mos(torch.stack([0.5 * target]), target).flatten()
    tensor([4.6438, 4.6438])
    """
    # Powers need more than the 8 bits of bfloat16.
    with torch.autocast(estimates.device.type, enabled=False):
        estimated, clean = (_bark_powers(s.float(), sample_rate) for s in (estimates, target))
        symmetric, asymmetric = _disturbances(*_compensated(estimated, clean))
        score = 4.5 - 0.1 * _over_time(symmetric) - 0.0309 * _over_time(asymmetric)
        return 0.999 + 4 / (1 + torch.exp(3.8224 - 1.3669 * score))


def _bark_powers(signals: torch.Tensor, sample_rate: int) -> torch.Tensor:
    """Of [.., time, sources] at one level, what is heard of: [.., sources, frames, bands]."""
    signals = _filtered(resample(signals.transpose(-1, -2), sample_rate, SAMPLE_RATE))
    window = torch.hann_window(WINDOW_SAMPLES, device=signals.device)
    spectrum = torch.stft(
        signals.flatten(0, -2),
        WINDOW_SAMPLES,
        HOP_SAMPLES,
        window=window,
        center=False,
        return_complex=True,
    )
    powers = spectrum.real.square() + spectrum.imag.square()
    bands = _band_matrix().to(signals.device) @ powers
    return bands.transpose(-1, -2).unflatten(0, signals.shape[:-1])


def _filtered(signals: torch.Tensor) -> torch.Tensor:
    """Signals [.., time] at one level of the middle frequencies, with the pre-emphasis."""
    samples = max(signals.shape[-1], SHORTEST_SAMPLES)
    padded = samples + WINDOW_SAMPLES  # so that the filter's end does not come around
    spectrum = torch.fft.rfft(signals, padded)
    hz = torch.fft.rfftfreq(padded, 1 / SAMPLE_RATE, device=signals.device).clamp(min=1e-3)
    first, last = LEVEL_BAND_HZ
    # Butterworth's band-pass of the fifth order
    band = 1 / (1 + ((hz.square() - first * last) / (hz * (last - first))) ** 10)
    powers = band * (spectrum.real.square() + spectrum.imag.square())
    power = 2 / padded * powers.sum(-1, keepdim=True) / (samples + 5120) / 1.04684
    over, under = (
        torch.fft.rfft(torch.tensor(taps, device=signals.device), padded) for taps in PRE_EMPHASIS
    )
    gain = (TARGET_POWER / (power + 1e-12)).sqrt()
    return gain * torch.fft.irfft(spectrum * over / under, padded)[..., :samples]


@lru_cache(maxsize=1)
def _band_matrix() -> torch.Tensor:
    """From bins to Bark bands, [bands, bins]."""
    matrix = torch.zeros(len(BAND_BINS), WINDOW_SAMPLES // 2 + 1)
    edges = [0, *accumulate(BAND_BINS)]
    for band, (factor, first, last) in enumerate(zip(BAND_FACTORS, edges, edges[1:], strict=False)):
        matrix[band, first:last] = POWER_SCALE * factor
    matrix[:, 0] = 0  # no DC
    return matrix


def _thresholds(like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(BAND_THRESHOLDS, device=like.device)


def _audible(powers: torch.Tensor, factor: float) -> torch.Tensor:
    """The powers [.., bands] that are over so many times the threshold of hearing, the others 0."""
    return powers * (powers > factor * _thresholds(powers))


def _compensated(estimated: torch.Tensor, clean: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The powers without what a filter (of the clean) or a gain (of a frame) has changed."""
    speaks = _audible(clean, 100).sum(-1, keepdim=True) >= 1e7
    means = [
        (_audible(powers, 100) * speaks).mean(-2, keepdim=True) for powers in (estimated, clean)
    ]
    clean = clean * ((means[0] + 1e3) / (means[1] + 1e3)).clamp(0.01, 100)
    totals = [_audible(powers, 1).sum(-1, keepdim=True) + 5e3 for powers in (clean, estimated)]
    gain = totals[0] / totals[1]
    before = torch.cat([gain[..., :1, :], gain[..., :-1, :]], dim=-2)
    return estimated * (0.8 * gain + 0.2 * before).clamp(3e-4, 5), clean


def _loudness(powers: torch.Tensor) -> torch.Tensor:
    """Zwicker's law, in sone for a Bark band."""
    thresholds, widths = _thresholds(powers), torch.tensor(BAND_BARKS, device=powers.device)
    centres = widths.cumsum(0) - widths / 2
    exponents = 0.23 * (6 / (centres + 2)).clamp(1, 2) ** 0.15
    loudness = (2 * thresholds) ** exponents * ((0.5 + 0.5 * powers / thresholds) ** exponents - 1)
    return LOUDNESS_SCALE * loudness * (powers > thresholds)


def _disturbances(
    estimated: torch.Tensor, clean: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """For each frame how much the loudness is off, and how much of that was added."""
    louder, quieter = _loudness(estimated), _loudness(clean)
    off = louder - quieter
    off = off.sign() * (off.abs() - 0.25 * torch.minimum(louder, quieter)).clamp(min=0)
    widths = torch.tensor(BAND_BARKS, device=off.device)[1:]
    width = widths.sum()
    added = ((estimated + 50) / (clean + 50)) ** 1.2
    added = (added * (added >= 3)).clamp(max=12)
    symmetric = width.sqrt() * (widths * off[..., 1:]).norm(dim=-1)
    asymmetric = (widths * (off * added)[..., 1:]).abs().sum(-1)
    weight = ((_audible(clean, 1).sum(-1) + 1e5) / 1e7) ** -0.04
    return (symmetric * weight).clamp(max=45), (asymmetric * weight).clamp(max=45)


def _over_time(disturbance: torch.Tensor) -> torch.Tensor:
    """Of [.., frames]: bad frames count most within a syllable, bad syllables within a signal."""
    # A floor with a sixth power that float32 holds
    syllables = disturbance.clamp(min=1e-3).unfold(-1, SYLLABLE_FRAMES, SYLLABLE_FRAMES // 2)
    return (syllables**6).mean(-1).pow(1 / 6).square().mean(-1).sqrt()
