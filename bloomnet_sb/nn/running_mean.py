"""A mean over the frames so far, in pieces of a signal."""

import torch

from bloomnet_sb.utils import devices

# Windows at once: what is left of a mean after so many, e to the -32nd, can be divided by.
MOST_AT_ONCE = 32
# In place of 0, what a frame that takes all of it keeps of the mean before: too little to be seen
LEAST_KEPT = 1e-12


def running_mean(
    x: torch.Tensor,
    mean: torch.Tensor,
    frames: torch.Tensor,
    window: int | None = None,
    counts: torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The mean up to each frame, which goes on from the frames before.

    The n-th frame takes the share 1/n of the mean, so that all count alike; with a window, no
    share is below 1/window, so that what is further back fades out.

    Arguments
    ---------
    x : torch.Tensor
        [batch, frames].
    mean : torch.Tensor
        The mean before the first of them, [batch, 1]; what counts as one where no frame did.
    frames : torch.Tensor
        How many frames are in that mean, int64, [batch, 1].
    window : int, optional
        In frames. Default: all frames count alike.
    counts : torch.Tensor, optional
        Whether a frame counts, bool, [batch, frames]. Default: all do.

    Returns
    -------
    (torch.Tensor, torch.Tensor, torch.Tensor)
        The means [batch, frames], and the last mean and number of frames, [batch, 1] each.

    Example
    -------
    >>> zero, none = torch.zeros(1, 1), torch.zeros(1, 1, dtype=torch.long)
    >>> means, mean, frames = running_mean(torch.tensor([[1.0, 3.0]]), zero, none)
    >>> means.tolist(), running_mean(torch.tensor([[5.0]]), mean, frames)[0].tolist()
    ([[1.0, 2.0]], [[3.0]])
    >>> running_mean(torch.tensor([[1.0, 3.0, 6.0, 6.0]]), zero, none, window=2)[0].tolist()
    [[1.0, 2.0, 4.0, 5.0]]
    """
    if counts is None:
        numbers = counted = frames + torch.arange(1, x.shape[1] + 1, device=x.device)
        if window is not None:
            counted = numbers.clamp(max=window)
        shares = counted.to(_exact(x)).reciprocal()
    else:
        counted = counts.long()
        numbers = frames + (counted if x.shape[1] == 1 else counted.cumsum(1))
        shares = counts / numbers.clamp(min=1, max=window).to(_exact(x))
    if x.shape[1] == 1:
        means = torch.lerp(mean, x, shares.to(x.dtype))
    elif window is None or x.shape[1] <= MOST_AT_ONCE * window:
        means = _over_piece(x, shares, mean)
    else:
        most, pieces = MOST_AT_ONCE * window, []
        for piece, share in zip(x.split(most, 1), shares.split(most, 1), strict=True):
            pieces.append(_over_piece(piece, share, mean))
            mean = pieces[-1][:, -1:]
        means = torch.cat(pieces, dim=1)
    return means, means[:, -1:], numbers[:, -1:]


def _exact(x: torch.Tensor) -> torch.dtype:
    """Double, where there is: sums of many frames cancel in single precision."""
    return torch.float64 if devices.has_double(x.device) else torch.float32


def _over_piece(x: torch.Tensor, shares: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """m_t = (1 - share_t) m_{t-1} + share_t x_t as one sum, over what is kept of the mean."""
    kept = torch.rsub(shares, 1).clamp_(min=LEAST_KEPT).log_().cumsum(1).exp_()
    return kept.mul(shares.mul(x).div_(kept).cumsum(1).add_(mean)).to(x.dtype)
