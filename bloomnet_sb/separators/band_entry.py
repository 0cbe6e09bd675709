"""What a separator on bands of an STFT sees of it: magnitudes and differences of phases."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.bands import Bands, convolved
from bloomnet_sb.nn.causal import Causal, Feature, State
from bloomnet_sb.nn.folding import norm_of_linear
from bloomnet_sb.nn.layers import normal_parameter
from bloomnet_sb.nn.norms import ChannelsLastBatchNorm

# Magnitudes below this, over that of white noise at the features' level, count as silence.
FLOOR = 1e-4
# And above this power, over the same, as no more: sound that no microphone gives has no NaN.
CEILING = 1e12
# Frames and bands that the first convolution looks at, and what it sees of each
FRAMES, BANDS = 3, 3
INPUTS = 5


class BandEntry(Causal):
    """What bands show, halved twice by convolutions of a few frames and bands.

    Of each bin the log magnitude, and as numbers of magnitude one how its phase differs from that
    of the frame before (less what the hop turns a bin's centre by) and from that of the bin below:
    where in the bin a harmonic is, and where in the frame a click, neither of which the level
    changes (instantaneous frequency and group delay; Boashash, 1992).

    Arguments
    ---------
    bands : Bands
        How bins are joined.
    skip_channels : int
        Channels at half of the bands, which the heads see too.
    channels : int
        Channels at a quarter of the bands.

    Example
    -------
    >>> entry = BandEntry(Bands(257, 16000, 2000.0, 129), 16, 32)
    >>> [part.shape for part in entry(torch.randn(1, 514, 20))]
    [torch.Size([1, 20, 33, 32]), torch.Size([1, 20, 65, 16])]
    """

    # Of magnitudes, of halves and of phases
    warm_up = FRAMES - 1 + 1 + 1

    def __init__(self, bands: Bands, skip_channels: int, channels: int):
        super().__init__()
        self.bands = bands
        self.first = nn.Linear(INPUTS * FRAMES * BANDS, skip_channels, bias=False)
        self.first_norm: nn.Module = ChannelsLastBatchNorm(skip_channels)
        self.widen = nn.Linear(skip_channels, channels, bias=False)
        self.widen_norm: nn.Module = ChannelsLastBatchNorm(channels)
        self.taps = normal_parameter(0.3, 2, BANDS, channels)
        self.last_norm: nn.Module = ChannelsLastBatchNorm(channels)
        self.of_band = normal_parameter(0.02, (bands.num_bands + 3) // 4, channels)

    def start(self, batch: int, like: torch.Tensor) -> State:
        """Silence, and nothing found in it."""
        half = (self.bands.num_bands + 1) // 2
        bands = like.new_zeros(batch, FRAMES - 1, INPUTS, self.bands.num_bands)
        bands[:, :, 0] = math.log10(FLOOR)
        return {
            "features": like.new_zeros(batch, 1, 2 * self.bands.num_bins),
            "bands": bands,
            "half": like.new_zeros(batch, 1, half, self.of_band.shape[1]),
        }

    def step(self, x: torch.Tensor, state: State) -> tuple[Feature, State]:  # type: ignore[override]
        """Bands [batch, frames, bands, channels], a quarter of them and half, of features."""
        features = torch.cat([state["features"], x.transpose(1, 2)], dim=1)
        of_bands = self.bands(inputs_of(features.float())).to(x.dtype)
        seen = torch.cat([state["bands"], of_bands], dim=1)
        weight = self.first.weight.unflatten(1, (INPUTS, FRAMES, BANDS))
        first = convolved(seen.transpose(2, 3), weight, self.first.bias, step=2)
        skip = F.silu(self.first_norm(first))
        wide = F.silu(self.widen_norm(self.widen(skip)))
        past = torch.cat([state["half"], wide], dim=1)
        taps = self.taps.permute(2, 0, 1).unsqueeze(1)
        total = convolved(past, taps, step=2, groups=len(taps))
        feature = self.last_norm(total) + self.of_band
        after = {
            "features": features[:, -1:].clone(),
            "bands": seen[:, -(FRAMES - 1) :].clone(),
            "half": wide[:, -1:].clone(),
        }
        return (feature, skip), after

    def fold(self) -> None:
        """Make the batch norms parts of what is before them."""
        self.first, self.first_norm = norm_of_linear(self.first, self.first_norm)
        self.widen, self.widen_norm = norm_of_linear(self.widen, self.widen_norm)
        if isinstance(self.last_norm, ChannelsLastBatchNorm):
            scale, shift = self.last_norm.scale_and_shift()
            self.taps.mul_(scale)
            self.of_band.add_(shift)
            self.last_norm = nn.Identity()


def inputs_of(features: torch.Tensor) -> torch.Tensor:
    """What the entry sees of bins: the log magnitude and two differences of phases.

    Arguments
    ---------
    features : torch.Tensor
        Of an `STFTFilterbank` with hops of half a window, [batch, frames, filters].

    Returns
    -------
    torch.Tensor
        [batch, frames, 5, bins] of all frames but the first: log10 of the magnitude over that of
        white noise, and real and imaginary parts of numbers of magnitude one, whose angles say how
        far above its bin's centre a harmonic is (pi for a bin) and how long before the middle of
        the frame a click is (pi for half a frame). The numbers are zero in silence.

    Example
    -------
    >>> inputs_of(torch.randn(1, 20, 514)).shape
    torch.Size([1, 19, 5, 257])
    """
    real, imaginary = features.chunk(2, dim=2)
    power = real.square() + imaginary.square()
    white = real.shape[2] - 1  # the power of a bin, with a square-rooted Hann window
    power = power.clamp(min=white * FLOOR**2)
    scaled = torch.stack([real, imaginary]) * power.rsqrt()
    along = _turns(scaled[:, :, :-1], scaled[:, :, 1:])
    # A hop of half a window turns the centre of bin k by k half turns, half a window's delay too.
    signs = torch.ones_like(real[0, 0])
    signs[1::2] = -1
    up = _turns(scaled[:, :, 1:, :-1], scaled[:, :, 1:, 1:])
    magnitude = 0.5 * torch.log10((power[:, 1:] / white).clamp(max=CEILING))
    return torch.cat([magnitude.unsqueeze(2), along * signs, F.pad(-up, (1, 0))], dim=2)


def _turns(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Numbers [batch, frames, 2, bins] that turn some to others, of magnitude one as they are."""
    (real, imaginary), (real_after, imaginary_after) = before, after
    along = real_after * real + imaginary_after * imaginary
    across = imaginary_after * real - real_after * imaginary
    return torch.stack([along, across], dim=2)
