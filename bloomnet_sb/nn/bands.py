"""Bins of an STFT joined to bands, and bands spread to bins."""

import numpy as np
import torch
from torch.nn import functional as F

from bloomnet_sb.nn.causal import FrameWise
from bloomnet_sb.utils.errors import InputError


class Bands(FrameWise):
    """Bins to bands and back: each bin up to a frequency is a band, ERB bands above.

    Arguments
    ---------
    num_bins : int
        From 0 Hz to half the sample rate.
    sample_rate : int
        In Hz.
    linear_hz : float
        Up to here each bin is a band.
    num_bands : int
        Bands in all.

    Raises
    ------
    InputError
        If there are not as many bands, their number is not 4 n + 1, or the frequency cannot be.

    Example
    -------
    >>> bands = Bands(257, 16000, linear_hz=2000.0, num_bands=129)
    >>> bands(torch.rand(1, 20, 257)).shape
    torch.Size([1, 20, 129])
    >>> bands.spread(torch.ones(1, 20, 129)).unique().round(decimals=5)
    tensor([1.])
    """

    def __init__(self, num_bins: int, sample_rate: int, linear_hz: float, num_bands: int):
        super().__init__()
        if not 0 <= linear_hz < sample_rate / 2:
            raise InputError(
                f"linear_hz is {linear_hz}, but must be from 0 to below half the sample rate, "
                f"{sample_rate} Hz"
            )
        bin_hz = sample_rate / 2 / (num_bins - 1)
        self.linear = int(linear_hz / bin_hz) + 1
        above = num_bands - self.linear
        if num_bands % 4 != 1 or not 2 <= above <= num_bins - self.linear:
            raise InputError(
                f"num_bands is {num_bands}, but must be 4 n + 1, and from {self.linear + 2} to "
                f"{num_bins} where linear_hz, {linear_hz}, is bin {self.linear - 1} of {num_bins}"
            )
        self.num_bins, self.num_bands = num_bins, num_bands
        triangles = torch.from_numpy(_erb_triangles(self.linear, num_bins, above, bin_hz)).float()
        join = triangles / triangles.sum(0)
        back = (triangles / triangles.sum(1, keepdim=True)).t().contiguous()
        self.register_buffer("join", join, persistent=False)
        self.register_buffer("back", back, persistent=False)

    def forward(self, bins: torch.Tensor) -> torch.Tensor:
        """Bands [.., bands] of `bins` [.., bins]: means of their bins."""
        low, high = bins.split([self.linear, bins.shape[-1] - self.linear], dim=-1)
        return torch.cat([low, high @ self.join], dim=-1)

    def spread(self, bands: torch.Tensor) -> torch.Tensor:
        """Bins [.., bins] of `bands` [.., bands]: a mean of the bands at each bin."""
        low, high = bands.split([self.linear, bands.shape[-1] - self.linear], dim=-1)
        return torch.cat([low, high @ self.back], dim=-1)


def _erb_triangles(first: int, num_bins: int, bands: int, bin_hz: float) -> np.ndarray:
    """Weights [bins from `first` on, bands] of triangles with centres even on the ERB scale."""
    to_erb = np.array([first * bin_hz, (num_bins - 1) * bin_hz])
    lowest, highest = 21.4 * np.log10(0.00437 * to_erb + 1)
    rates = np.linspace(lowest, highest, bands)
    centres = (10 ** (rates / 21.4) - 1) / 0.00437 / bin_hz
    edges = np.concatenate([[centres[0] - 1], centres, [centres[-1] + 1]])
    places = np.arange(first, num_bins)[:, None]
    rise = (places - edges[:-2]) / (edges[1:-1] - edges[:-2])
    fall = (edges[2:] - places) / (edges[2:] - edges[1:-1])
    triangles = np.clip(np.minimum(rise, fall), 0, None)
    # Where bands are narrower than a bin, a band may hold none: it gets the nearest.
    empty = np.flatnonzero(triangles.sum(0) == 0)
    triangles[np.abs(places - centres[empty]).argmin(0), empty] = 1e-3
    return triangles


def convolved(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None = None,
    step: int = 1,
    groups: int = 1,
) -> torch.Tensor:
    """A convolution along frames and bands, with silent bands beyond the first and the last.

    Arguments
    ---------
    x : torch.Tensor
        [batch, frames, bands, channels].
    weight : torch.Tensor
        [channels of the output, channels of a group, frames, 3 bands].
    bias : torch.Tensor, optional
        [channels of the output].
    step : int
        From band to band.
    groups : int
        1, or as many as there are channels, where none sees another.

    Returns
    -------
    torch.Tensor
        [batch, frames, bands, channels], of as many frames as have all of those before that the
        weight sees.

    Example
    -------
    >>> convolved(torch.ones(1, 4, 5, 2), torch.ones(3, 2, 2, 3), step=2).shape
    torch.Size([1, 3, 3, 3])
    """
    if x.shape[1] == weight.shape[2]:  # one frame: calling a convolution takes longer than this
        return (_frame_of_each if groups > 1 else _frame)(
            F.pad(x, (0, 0, 1, 1)), weight, bias, step
        )
    image = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
    y = F.conv2d(image, weight, bias, stride=(1, step), padding=(0, 1), groups=groups)
    return y.permute(0, 2, 3, 1)


def _frame(
    padded: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, step: int
) -> torch.Tensor:
    around = padded.unfold(2, weight.shape[3], step).permute(0, 2, 3, 1, 4).flatten(2)
    return F.linear(around, weight.flatten(1), bias).unsqueeze(1)


def _frame_of_each(
    padded: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, step: int
) -> torch.Tensor:
    frames, bands = weight.shape[2:]
    last = padded.shape[2] - bands + 1
    y = sum(
        padded[:, frame : frame + 1, band : band + last : step] * weight[:, 0, frame, band]
        for frame in range(frames)
        for band in range(bands)
    )
    return y if bias is None else y + bias  # type: ignore[return-value]
