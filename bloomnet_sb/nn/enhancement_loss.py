"""The loss for networks that people listen to: bears clean speech, noise alone and silence."""

import math

import torch
from torch.autograd.function import once_differentiable
from torch.nn.functional import pad

from bloomnet_sb.nn.pesq import check_pesq_weight, pesq_mos
from bloomnet_sb.utils.errors import InputError

# The power beneath which a signal is silence: that of 16 bits' rounding is 9 dB above it.
SILENCE = 1e-11
# A segment's power, over the power of all, beneath which it is silent.
QUIET = 1e-4
# Powers in the spectrum are told apart from here on, for a mixture of unit power; such a noise has
# 192 with a Hann window of 512 samples.
SPECTRUM_FLOOR = 1e-6
COMPRESSION = 0.3


class EnhancementLoss(torch.nn.Module):
    """A compressed spectrum, an SNR with a threshold and, if asked for, PESQ.

    Made for training on what a listener meets: noisy and clean speech, noise alone, digital
    silence, a quiet talker after a loud one, each at any level. The loss and its gradient are
    finite for all of them, and a common gain of all signals changes nothing. Unlike with SI-SDR,
    the level of the estimates is trained on. Its `compile` makes it faster on a CPU.

    Arguments
    ---------
    sample_rate : int
        Of the signals, in Hz.
    spectral_weight : float
        Weight of the `compressed_spectrum_error`.
    snr_weight : float
        Weight of the negative `thresholded_snr_db`, in 1/dB.
    pesq_weight : float
        Weight of the negative `pesq.pesq_mos`, from 16 kHz on. Mixtures without the source are left
        out of it.
    max_snr_db : float
        Threshold of the SNR: beyond it, estimates gain little.
    magnitude_share : float
        Share of the magnitudes in the spectral error; the complex values have the rest.
    oversuppression : float
        How much a magnitude that is too small counts in it, one that is too large counting 1.
    segment_seconds : float
        The SNR is the mean over segments of this length.
    window_seconds : float
        Length of the spectrum's windows.

    Raises
    ------
    InputError
        If PESQ is to be trained on at a lower rate than its own, or oversuppression is not above 0.

    Example
    -------
    >>> loss = EnhancementLoss(sample_rate=16000)
    >>> target, noise = torch.randn(2, 32000, 1), torch.randn(2, 32000, 1)
    >>> mix = (target + noise).squeeze(-1)
    >>> estimates = torch.stack([target + noise, target + 0.1 * noise])
    >>> bool(loss(estimates[:1], target, mix) > loss(estimates[1:], target, mix))
    True
    """

    window: torch.Tensor

    def __init__(
        self,
        sample_rate: int,
        spectral_weight: float = 10.0,
        snr_weight: float = 0.02,
        pesq_weight: float = 0.0,
        max_snr_db: float = 30.0,
        magnitude_share: float = 0.7,
        oversuppression: float = 1.0,
        segment_seconds: float = 1.0,
        window_seconds: float = 0.032,
    ):
        super().__init__()
        check_pesq_weight(pesq_weight, sample_rate)
        if not oversuppression > 0:
            raise InputError(f"oversuppression is {oversuppression}, but must be above 0")
        self.sample_rate = sample_rate
        self.spectral_weight = spectral_weight
        self.snr_weight = snr_weight
        self.pesq_weight = pesq_weight
        self.max_snr_db = max_snr_db
        self.magnitude_share = magnitude_share
        self.oversuppression = oversuppression
        self.segment_seconds = segment_seconds
        window_samples = 2 * round(window_seconds * sample_rate / 2)
        self.register_buffer("window", torch.hann_window(window_samples), persistent=False)

    def forward(
        self, estimates: torch.Tensor, target: torch.Tensor, mix: torch.Tensor
    ) -> torch.Tensor:
        """The mean over depths, mixtures and sources.

        Arguments
        ---------
        estimates : torch.Tensor
            Estimates [depths, batch, time, sources].
        target : torch.Tensor
            The clean sources [batch, time, sources]; 0 where there is only noise.
        mix : torch.Tensor
            The mixtures [batch, time].

        Returns
        -------
        torch.Tensor
            The loss, a scalar; the lower the better.
        """
        # Spectra and ratios of powers need more than the 8 bits of bfloat16.
        with torch.autocast(estimates.device.type, enabled=False):
            estimates, target, mix = estimates.float(), target.float(), mix.float()
            spectral = compressed_spectrum_error(
                estimates, target, mix, self.window, self.magnitude_share, self.oversuppression
            )
            snr = thresholded_snr_db(
                estimates, target, mix, self.sample_rate, self.segment_seconds, self.max_snr_db
            )
            loss = self.spectral_weight * spectral - self.snr_weight * snr
            if self.pesq_weight:
                speaks = target.square().mean(1) > SILENCE
                mos = pesq_mos(estimates, target, self.sample_rate)
                loss = loss - self.pesq_weight * speaks * mos
            return loss.mean()


def thresholded_snr_db(
    estimates: torch.Tensor,
    target: torch.Tensor,
    mix: torch.Tensor,
    sample_rate: int,
    segment_seconds: float = 1.0,
    max_snr_db: float = 30.0,
) -> torch.Tensor:
    """Signal-to-noise ratio that levels off at a threshold, segment by segment.

    It is 10 log10(|s|^2 / (|s - e|^2 + t |s|^2)) with t = 10^(-max_snr_db / 10) (Wisdom et al.,
    2020, arXiv 2006.12701), the mean over segments, so that a quiet talker counts as much as a
    loud one. Segments whose source is 40 dB or more beneath its own mean or the mixture have the
    mixture's power (-40 dB of its mean at least) in place of |s|^2 (Wisdom et al., 2021, arXiv
    2011.00803): then it is how far the noise has fallen.

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates [depths, batch, time, sources].
    target : torch.Tensor
        The clean sources [batch, time, sources].
    mix : torch.Tensor
        The mixtures [batch, time].
    sample_rate : int
        Of the signals, in Hz.
    segment_seconds : float
        Length of a segment. What remains at the end is one too if it is half as long or longer,
        and else a part of the one before.
    max_snr_db : float
        The threshold, in dB.

    Returns
    -------
    torch.Tensor
        [depths, batch, sources], in dB; the higher the better.

    Example
    -------
    >>> target = torch.randn(2, 8000, 1)
    >>> estimates = torch.stack([target, 0.5 * target, 0 * target])
    >>> thresholded_snr_db(estimates, target, target.squeeze(-1), 16000, 0.25).mean((1, 2)).round()
    tensor([30.,  6., -0.])
    """
    sizes = _segment_sizes(mix.shape[-1], round(segment_seconds * sample_rate))
    error = _segment_powers(estimates - target, sizes)
    clean = _segment_powers(target, sizes)
    # An offset is no noise.
    noisy = torch.stack([m.var(-1, correction=0) for m in mix.split(sizes, -1)], -1)[:, None]
    noisy_mean = mix.square().mean(-1)[:, None, None]
    speaks = clean > QUIET * torch.maximum(noisy, target.square().mean(1)[..., None])
    reference = torch.where(speaks, clean, torch.maximum(noisy, QUIET * noisy_mean)) + SILENCE
    return -10 * torch.log10(error / reference + 10 ** (-max_snr_db / 10)).mean(-1)


def _segment_sizes(samples: int, segment_samples: int) -> list[int]:
    before_last = max(math.floor(samples / segment_samples + 0.5), 1) - 1
    return [segment_samples] * before_last + [samples - segment_samples * before_last]


def _segment_powers(signals: torch.Tensor, sizes: list[int]) -> torch.Tensor:
    """Of [.., time, sources], [.., sources, segments]."""
    return torch.stack([s.square().mean(-2) for s in signals.split(sizes, -2)], -1)


def compressed_spectrum_error(
    estimates: torch.Tensor,
    target: torch.Tensor,
    mix: torch.Tensor,
    window: torch.Tensor,
    magnitude_share: float = 0.7,
    oversuppression: float = 1.0,
) -> torch.Tensor:
    """Squared error of the spectrum compressed to the power 0.3, of signals of unit power.

    Magnitudes |S|^0.3 and complex values S |S|^-0.7 are compared, the mean over frames and
    bins, as in GTCRN's loss (Rong et al., 2024). It is the mixture that has unit power. Where the
    estimate's magnitude is too small, its error may count more, so that less of the speech is
    taken for noise (the asymmetric loss of VoiceFilter-Lite; Wang et al., 2020, arXiv 2009.04323).

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates [depths, batch, time, sources].
    target : torch.Tensor
        The clean sources [batch, time, sources].
    mix : torch.Tensor
        The mixtures [batch, time].
    window : torch.Tensor
        The window [samples], of an even length; windows overlap by half.
    magnitude_share : float
        Share of the magnitudes; the complex values have the rest.
    oversuppression : float
        How much the error of a magnitude that is too small counts.

    Returns
    -------
    torch.Tensor
        [depths, batch, sources]; the lower the better.

    Example
    -------
    >>> target = torch.randn(2, 8000, 1)
    >>> estimates = torch.stack([target, 0.5 * target])
    >>> mix, window = target.squeeze(-1), torch.hann_window(512)
    >>> compressed_spectrum_error(estimates, target, mix, window).mean((1, 2)).round(decimals=1)
    tensor([0.0000, 0.1000])
    """
    spectrum, clean_spectrum = _stft(estimates, window), _stft(target, window)
    power = mix.square().mean(-1) + SILENCE
    floor = SPECTRUM_FLOOR * power[:, None, None, None]
    magnitude, real, imaginary = _compressed(spectrum, floor)
    clean_magnitude, clean_real, clean_imaginary = _compressed(clean_spectrum, floor)
    magnitude_error = (magnitude - clean_magnitude).square()
    if oversuppression != 1:
        too_small = magnitude < clean_magnitude
        magnitude_error = torch.where(too_small, oversuppression, 1.0) * magnitude_error
    complex_error = (real - clean_real).square() + (imaginary - clean_imaginary).square()
    error = magnitude_share * magnitude_error + (1 - magnitude_share) * complex_error
    # What signals divided by the root of the power would give.
    return error.mean((-1, -2)) * power[:, None] ** -COMPRESSION


class _STFT(torch.autograd.Function):
    """The spectrum as two real tensors, of which torch.compile makes fast code.

    The gradients of torch.stft, unfold and rfft take longer than all else here; this one is
    a real transform and an overlap-add.
    """

    @staticmethod
    def forward(ctx, signals, window):
        hop = len(window) // 2
        ctx.samples = signals.shape[-1]
        ctx.save_for_backward(window)
        padded = pad(signals, (hop, hop + -ctx.samples % hop))
        spectrum = torch.fft.rfft(padded.unfold(-1, 2 * hop, hop) * window)
        return spectrum.real.contiguous(), spectrum.imag.contiguous()

    @staticmethod
    @once_differentiable
    def backward(ctx, real, imaginary):
        (window,) = ctx.saved_tensors
        spectrum = torch.complex(real, imaginary)
        # irfft counts all bins twice but the first and the last.
        spectrum[..., 0] *= 2
        spectrum[..., -1] *= 2
        frames = torch.fft.irfft(spectrum, norm="forward").mul_(window / 2)
        first, second = frames.chunk(2, -1)
        # What lies in the padding falls away.
        signals = (first[..., 1:, :] + second[..., :-1, :]).flatten(-2)
        return signals[..., : ctx.samples], None


@torch.compiler.disable
def _stft(signals: torch.Tensor, window: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Of [.., time, sources], real and imaginary parts [.., sources, frames, bins]."""
    return _STFT.apply(signals.transpose(-1, -2), window)


def _compressed(
    spectrum: tuple[torch.Tensor, torch.Tensor], floor: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The compressed magnitudes, real parts and imaginary parts."""
    real, imaginary = spectrum
    power = real.square() + imaginary.square() + floor
    # Compiled code has fast exp and log, but no fast pow.
    magnitude = torch.exp(COMPRESSION / 2 * power.log())
    gain = magnitude * power.rsqrt()
    return magnitude, real * gain, imaginary * gain
