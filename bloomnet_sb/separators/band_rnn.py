"""A causal separator on bands of an STFT: linear recurrences along time, mixing across bands."""

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.bands import Bands, convolved
from bloomnet_sb.nn.causal import Causal, CausalSequential, Feature, FrameWise, State
from bloomnet_sb.nn.folding import norm_of_linear
from bloomnet_sb.nn.layers import normal_parameter
from bloomnet_sb.nn.norms import ChannelsLastBatchNorm
from bloomnet_sb.nn.recurrence import MinGRU
from bloomnet_sb.separators.band_entry import BandEntry
from bloomnet_sb.separators.base import Separator
from bloomnet_sb.utils.devices import placed
from bloomnet_sb.utils.errors import InputError, check_positive

MASKS = ("real", "complex")
# Before its sigmoid, what a real mask starts at: near one.
OPEN = 3.0
# Bands that a head looks at around each
BANDS = 3


class BandRNNSeparator(Separator):
    """Blocks on bands of an STFT, whose only memory is a linear recurrence and a few frames.

    The entry joins log magnitudes and differences of phases to bands (bins up to `linear_hz`, ERB
    bands above; Glasberg and Moore, 1990) and halves them twice. A block's layer has causal taps
    and a minGRU (Feng et al., 2024, arXiv 2410.01201) along time, shared by all bands, and a matrix
    across the bands for each group of channels, each with a residual. A head goes back to the bands
    and gives each a mask, which fixed weights spread to bins. Features are those of an
    `STFTFilterbank` whose hop is half its window.

    Arguments
    ---------
    num_filters : int
        Real and imaginary parts of the filterbank's bins.
    sample_rate : int
        In Hz.
    linear_hz : float
        Up to here each bin is a band.
    num_bands : int
        Bands in all, 4 n + 1.
    channels : int
        Channels of a band in the blocks.
    entry_channels : int
        Channels of a band after the entry's first convolution, which the heads see too.
    head_channels : (int, int)
        Channels in a head, before and after it sees those.
    num_blocks, layers_per_block : int
        Blocks, and layers in each.
    taps : int
        Frames that the taps of a layer see.
    groups : int
        Groups of channels, each with its own matrix across bands.
    mask : str
        "real": from 0 to 1, nearly open at first. "complex": starts at one.

    Raises
    ------
    InputError
        For a size that cannot be, or an unknown kind of mask.

    Example
    -------
    >>> separator, features = BandRNNSeparator(num_blocks=2), torch.randn(1, 514, 20)
    >>> feature = separator.blocks[0](separator.entry(features))
    >>> [part.shape for part in feature]
    [torch.Size([1, 20, 33, 32]), torch.Size([1, 20, 65, 16])]
    >>> separator.heads[0](feature, features).shape
    torch.Size([1, 1, 514, 20])
    """

    window_hops = 2  # what a hop turns a bin's phase by is known of this only, see `inputs_of`

    def __init__(
        self,
        num_filters: int = 514,
        sample_rate: int = 16000,
        linear_hz: float = 2000.0,
        num_bands: int = 129,
        channels: int = 32,
        entry_channels: int = 16,
        head_channels: tuple[int, int] = (24, 16),
        num_blocks: int = 6,
        layers_per_block: int = 1,
        taps: int = 4,
        groups: int = 4,
        mask: str = "real",
    ):
        super().__init__(num_filters, causal=True)
        check_positive(
            num_filters=num_filters,
            sample_rate=sample_rate,
            channels=channels,
            entry_channels=entry_channels,
            num_blocks=num_blocks,
            layers_per_block=layers_per_block,
            taps=taps,
            groups=groups,
        )
        for channels_of_head in head_channels:
            check_positive(head_channels=channels_of_head)
        if mask not in MASKS:
            raise InputError(f"mask is {mask!r}, but must be one of {', '.join(MASKS)}")
        if channels % groups:
            raise InputError(f"channels is {channels}, but must be a multiple of groups, {groups}")
        if num_filters % 2 or num_filters < 4:
            raise InputError(
                f"num_filters is {num_filters}, but must be those of an STFTFilterbank: real and "
                "imaginary parts of its bins"
            )
        self.sample_rate = sample_rate
        bands = Bands(num_filters // 2, sample_rate, linear_hz, num_bands)
        few = (num_bands + 3) // 4
        self.set_parts(
            entry=BandEntry(bands, entry_channels, channels),
            blocks=[
                BandBlock(
                    *(BandLayer(channels, few, taps, groups) for _ in range(layers_per_block))
                )
                for _ in range(num_blocks)
            ],
            heads=[
                BandHead(bands, channels, entry_channels, head_channels, mask)
                for _ in range(num_blocks)
            ],
        )


class BandLayer(Causal):
    """Taps and a gated recurrence along time, then a matrix across bands, each with a residual.

    Arguments
    ---------
    channels : int
        Channels of a band.
    num_bands : int
        Bands, which share all weights but the matrices across them.
    taps : int
        Frames that the taps see.
    groups : int
        Groups of channels, each with its own matrix across bands.

    Example
    -------
    >>> BandLayer(32, num_bands=33, taps=4, groups=4)(torch.rand(1, 20, 33, 32)).shape
    torch.Size([1, 20, 33, 32])
    """

    def __init__(self, channels: int, num_bands: int, taps: int, groups: int):
        super().__init__()
        self.taps = BandTaps(channels, num_bands, taps)
        self.recurrence = MinGRU(channels, channels, places=(num_bands,))
        self.gate = nn.Linear(channels, channels)
        self.join = nn.Linear(channels, channels, bias=False)
        self.time_norm: nn.Module = ChannelsLastBatchNorm(channels)
        self.before = nn.Linear(channels, channels)
        self.across = normal_parameter(num_bands**-0.5, groups, num_bands, num_bands)
        self.after = nn.Linear(channels, channels, bias=False)
        self.band_norm: nn.Module = ChannelsLastBatchNorm(channels)

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:  # type: ignore[override]
        """Run on `x` [batch, frames, bands, channels]."""
        after: State = {}
        y = self.run("taps", x, state, after)
        hidden = self.run("recurrence", y, state, after) * F.silu(self.gate(y))
        x = x + self.time_norm(self.join(hidden))
        grouped = F.silu(self.before(x)).unflatten(-1, (len(self.across), -1))
        mixed = torch.einsum("btfgc,ghf->bthgc", grouped, self.across).flatten(-2)
        return x + self.band_norm(self.after(mixed)), after

    def fold(self) -> None:
        """Make the batch norms parts of what is before them."""
        self.join, self.time_norm = norm_of_linear(self.join, self.time_norm)
        self.after, self.band_norm = norm_of_linear(self.after, self.band_norm)


class BandTaps(Causal):
    """A depthwise convolution along time with a residual; all bands share it.

    Arguments
    ---------
    channels, num_bands : int
        Of its input.
    taps : int
        Frames that it sees.

    Example
    -------
    >>> BandTaps(32, num_bands=33, taps=4)(torch.rand(1, 20, 33, 32)).shape
    torch.Size([1, 20, 33, 32])
    """

    def __init__(self, channels: int, num_bands: int, taps: int):
        super().__init__()
        self.num_bands = num_bands
        self.weight = normal_parameter(0.1, taps, channels)

    @property
    def warm_up(self) -> int:
        """The frames before the present one that it sees."""
        return len(self.weight) - 1

    def start(self, batch: int, like: torch.Tensor) -> State:
        """Nothing before the first frame."""
        return {"past": like.new_zeros(batch, self.warm_up, self.num_bands, self.weight.shape[1])}

    def step(self, x: torch.Tensor, state: State) -> tuple[torch.Tensor, State]:  # type: ignore[override]
        """Run on `x` [batch, frames, bands, channels]."""
        seen, frames = torch.cat([state["past"], x], dim=1), x.shape[1]
        y = x
        for tap, weight in enumerate(self.weight):
            y = torch.addcmul(y, seen[:, tap : tap + frames], weight)
        return y, {"past": seen[:, frames:].clone()}


class BandBlock(CausalSequential):
    """Layers on the feature; what the heads see of the entry is handed on."""

    def step(self, x: Feature, state: State) -> tuple[Feature, State]:
        """Run on a feature [batch, frames, bands, channels] beside what the heads see."""
        feature, skip = x
        feature, after = super().step(feature, state)
        return (feature, skip), after  # type: ignore[return-value]

    @torch.no_grad()
    def start_as_identity(self) -> None:
        """Make the residuals zero; they grow as soon as the block is trained."""
        for layer in self:
            assert isinstance(layer, BandLayer)
            for parameter in (*layer.time_norm.parameters(), *layer.band_norm.parameters()):
                parameter.zero_()


class BandHead(FrameWise):
    """Back to the bands, and a mask for each, spread to bins.

    Arguments
    ---------
    bands : Bands
        How bins are joined.
    channels, skip_channels : int
        Channels of the feature, and of what the entry had at half of the bands.
    hidden : (int, int)
        Channels before and after that is seen.
    mask : str
        "real" or "complex".

    Example
    -------
    >>> head = BandHead(Bands(257, 16000, 2000.0, 129), 32, 16, (24, 16), "real")
    >>> features, feature = torch.ones(1, 514, 20), torch.rand(1, 20, 33, 32)
    >>> masked = head((feature, torch.rand(1, 20, 65, 16)), features)
    >>> masked.shape, bool((masked > 0.8).all())
    (torch.Size([1, 1, 514, 20]), True)
    """

    def __init__(
        self, bands: Bands, channels: int, skip_channels: int, hidden: tuple[int, int], mask: str
    ):
        super().__init__()
        narrow, seen = hidden
        self.bands, self.complex = bands, mask == "complex"
        self.narrow = nn.Linear(channels, narrow, bias=False)
        self.narrow_norm: nn.Module = ChannelsLastBatchNorm(narrow)
        neighbours = torch.tensor([[0.5], [1.0], [0.5]], device="cpu")
        self.between = nn.Parameter(placed(neighbours.repeat(1, narrow)))
        self.see = nn.Linear(narrow + skip_channels, seen, bias=False)
        self.see_norm: nn.Module = ChannelsLastBatchNorm(seen)
        # Of each of half of the bands two, and of each a real or a complex number.
        self.last = nn.Linear(BANDS * seen, 2 * (2 if self.complex else 1))
        with torch.no_grad():
            self.last.weight.mul_(0.1)
            self.last.bias.zero_()

    def forward(self, x: Feature, features: torch.Tensor) -> torch.Tensor:
        """Masked features [batch, 1, filters, frames] of `features` [batch, filters, frames]."""
        feature, skip = x
        y = self._doubled(F.silu(self.narrow_norm(self.narrow(feature))))
        y = F.silu(self.see_norm(self.see(torch.cat([y, skip], dim=-1))))
        weight = self.last.weight.unflatten(1, (y.shape[-1], 1, BANDS))
        numbers = convolved(y, weight, self.last.bias).unflatten(-1, (2, -1))
        of_bands = numbers.flatten(2, 3)[:, :, : self.bands.num_bands]
        of_bins = self.bands.spread(of_bands.transpose(2, 3)).transpose(1, 3)
        return self._masked(of_bins, features).unsqueeze(1)

    def fold(self) -> None:
        """Make the batch norms parts of what is before them."""
        self.narrow, self.narrow_norm = norm_of_linear(self.narrow, self.narrow_norm)
        self.see, self.see_norm = norm_of_linear(self.see, self.see_norm)

    def _doubled(self, y: torch.Tensor) -> torch.Tensor:
        """Twice as many bands, less one: those between two are a weighted sum of both."""
        left, middle, right = self.between
        odd = y[:, :, :-1] * left + y[:, :, 1:] * right
        even = y * middle
        pairs = torch.stack([even[:, :, :-1], odd], dim=3).flatten(2, 3)
        return torch.cat([pairs, even[:, :, -1:]], dim=2)

    def _masked(self, of_bins: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        """Features times the masks of numbers [batch, bins, 1 or 2, frames]."""
        real, imaginary = features.chunk(2, dim=1)
        if not self.complex:
            mask = torch.sigmoid(of_bins[:, :, 0] + OPEN)
            return torch.cat([real * mask, imaginary * mask], dim=1)
        by, across = of_bins[:, :, 0] + 1, of_bins[:, :, 1]
        return torch.cat([real * by - imaginary * across, real * across + imaginary * by], dim=1)
