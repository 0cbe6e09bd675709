"""What an estimate is trained on: its SI-SDR, its level, which SI-SDR leaves free, its spectrum."""

from itertools import permutations

import torch
from speechbrain.nnet.losses import cal_si_snr

from bloomnet_sb.nn.pesq import pesq_mos


def negative_si_sdr(estimates: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Negative scale-invariant signal-to-distortion ratio (Le Roux et al., 2019, eq. 2).

    SpeechBrain's `cal_si_snr`, for every depth at once. Signals are made zero-mean first.

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates [blocks, batch, time, sources].
    target : torch.Tensor
        The clean sources [batch, time, sources].

    Returns
    -------
    torch.Tensor
        [blocks, batch, sources], in dB; the lower the better.

    Example
    -------
    >>> target = torch.randn(2, 8000, 1)
    >>> negative_si_sdr(torch.stack([target + torch.randn(2, 8000, 1)] * 3), target).shape
    torch.Size([3, 2, 1])
    """
    depths, batch, time, sources = estimates.shape
    flat = estimates.float().permute(2, 0, 1, 3).reshape(time, depths * batch, sources)
    targets = target.permute(1, 0, 2).repeat(1, depths, 1)
    # A copy: cal_si_snr masks its argument in place.
    return cal_si_snr(targets, flat.clone()).view(depths, batch, sources)


def best_order(target: torch.Tensor, estimates: torch.Tensor) -> torch.Tensor:
    """The order of the clean sources in which they were estimated.

    It is the permutation with the best SI-SDR (Yu et al., 2017, arXiv 1607.00325), one for all
    depths of a mixture: the best for the mean over depths and sources.

    Arguments
    ---------
    target : torch.Tensor
        The clean sources [batch, time, sources].
    estimates : torch.Tensor
        Estimates [blocks, batch, time, sources].

    Returns
    -------
    torch.Tensor
        For each place in the estimates, the index of the clean source, [batch, sources].

    Example
    -------
    >>> target = torch.randn(2, 8000, 3)
    >>> estimates = torch.stack([target[..., [1, 2, 0]] + torch.randn(2, 8000, 3)] * 4)
    >>> best_order(target, estimates)
    tensor([[1, 2, 0],
            [1, 2, 0]])
    """
    batch, _, sources = target.shape
    if sources == 1:
        return torch.zeros(batch, 1, dtype=torch.long, device=target.device)
    with torch.no_grad():
        loss = negative_si_sdr(
            estimates.repeat_interleave(sources, dim=-1), target.repeat(1, 1, sources)
        )
    # [batch, place in the estimate, clean source]
    loss = loss.mean(0).unflatten(-1, (sources, sources))
    orders = torch.tensor(list(permutations(range(sources))), device=target.device)
    of_order = loss[:, torch.arange(sources, device=target.device), orders].sum(-1)
    return orders[of_order.argmin(1)]


def in_order(signals: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    """Put sources [batch, time, sources] in an order [batch, sources], see `best_order`.

    Example
    -------
    >>> in_order(torch.tensor([[[1.0, 2.0]]]), torch.tensor([[1, 0]]))
    tensor([[[2., 1.]]])
    """
    return signals.gather(2, order[:, None].expand_as(signals))


def level_difference_db(estimates: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """How much louder an estimate is than the clean source.

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates [blocks, batch, time, sources].
    target : torch.Tensor
        The clean sources [batch, time, sources].

    Returns
    -------
    torch.Tensor
        [blocks, batch, sources], in dB.

    Example
    -------
    >>> target = torch.randn(2, 8000, 1)
    >>> level_difference_db(torch.stack([10 * target]), target).round().flatten()
    tensor([20., 20.])
    """
    floor = 1e-8
    power = estimates.float().square().mean(-2) + floor
    return 10 * torch.log10(power / (target.square().mean(-2) + floor))


def spectral_error_db(
    estimates: torch.Tensor,
    target: torch.Tensor,
    sample_rate: int = 16000,
    window_seconds: float = 0.032,
) -> torch.Tensor:
    """Error of the compressed spectrum, over the power of the clean source's.

    Magnitudes are compressed to |S|^0.3, so that quiet parts count; the error of the magnitudes
    has 0.9 of the weight, that of the complex values 0.1 (Braun and Tashev, 2021, arXiv
    2009.12286, eq. 7, here as a ratio). Four Hann windows lie over each sample.

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates [blocks, batch, time, sources], of half a window or more.
    target : torch.Tensor
        The clean sources [batch, time, sources].
    sample_rate : int
        Of the signals, in Hz.
    window_seconds : float
        Length of the windows.

    Returns
    -------
    torch.Tensor
        [blocks, batch, sources], in dB; the lower the better.

    Example
    -------
    >>> target = torch.randn(2, 8000, 1)
    >>> spectral_error_db(torch.stack([target, 0.5 * target]), target).mean((1, 2)).round()
    tensor([-80., -15.])
    """
    level = target.square().mean(1, keepdim=True).sqrt() + 1e-6
    window = torch.hann_window(round(window_seconds * sample_rate), device=estimates.device)
    # Spectra need more than the 8 bits of bfloat16.
    with torch.autocast(estimates.device.type, enabled=False):
        clean_magnitude, clean = _compressed_spectrum(target / level, window)
        magnitude, spectrum = _compressed_spectrum(estimates.float() / level, window)
        error = 0.9 * _power(magnitude - clean_magnitude) + 0.1 * _power(spectrum - clean)
        return 10 * torch.log10(error / _power(clean_magnitude) + 1e-8)


def _compressed_spectrum(
    signals: torch.Tensor, window: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Magnitudes and complex values [.., sources, frequencies x frames] of [.., time, sources]."""
    signals, samples = signals.transpose(-1, -2), len(window)
    flat = signals.flatten(0, -2)
    spectrum = torch.stft(flat, samples, samples // 4, window=window, return_complex=True)
    spectrum = spectrum.reshape(*signals.shape[:-1], -1)
    # Not abs(): its gradient is not finite where there is nothing.
    power = spectrum.real.square() + spectrum.imag.square() + 1e-10
    return power.pow(0.15), spectrum * power.pow(-0.35)


def _power(values: torch.Tensor) -> torch.Tensor:
    return (values * values.conj()).real.sum(-1)


def training_loss(
    estimates: torch.Tensor,
    target: torch.Tensor,
    level_weight: float,
    spectral_weight: float = 0.0,
    pesq_weight: float = 0.0,
    sample_rate: int = 16000,
) -> torch.Tensor:
    """Mean over depths, mixtures and sources of the negative SI-SDR and the terms beside it.

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates [blocks, batch, time, sources].
    target : torch.Tensor
        The clean sources [batch, time, sources].
    level_weight : float
        Weight of the squared level difference, in 1/dB.
    spectral_weight : float
        Weight of the `spectral_error_db`.
    pesq_weight : float
        Weight of the negative `pesq.pesq_mos`, in dB for a point of PESQ; from 16 kHz on.
    sample_rate : int
        Of the signals, in Hz.

    Returns
    -------
    torch.Tensor
        The loss, a scalar in dB.

    Example
    -------
    >>> target = torch.randn(2, 8000, 1)
    >>> noisy = torch.stack([target + torch.randn(2, 8000, 1)])
    >>> bool(training_loss(5 * noisy, target, 0.01) > training_loss(noisy, target, 0.01))
    True
    """
    level = level_difference_db(estimates, target)
    loss = negative_si_sdr(estimates, target) + level_weight * level.square()
    if spectral_weight:
        loss = loss + spectral_weight * spectral_error_db(estimates, target, sample_rate)
    if pesq_weight:
        loss = loss - pesq_weight * pesq_mos(estimates, target, sample_rate)
    return loss.mean()
