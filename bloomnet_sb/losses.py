"""What an estimate is trained on: its SI-SDR, and its level, which SI-SDR leaves free."""

from itertools import permutations

import torch
from speechbrain.nnet.losses import cal_si_snr


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


def training_loss(
    estimates: torch.Tensor, target: torch.Tensor, level_weight: float
) -> torch.Tensor:
    """Mean over depths, mixtures and sources of the negative SI-SDR and a term for the level.

    Arguments
    ---------
    estimates : torch.Tensor
        Estimates [blocks, batch, time, sources].
    target : torch.Tensor
        The clean sources [batch, time, sources].
    level_weight : float
        Weight of the squared level difference, in 1/dB.

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
    return (negative_si_sdr(estimates, target) + level_weight * level.square()).mean()
