"""Filterbanks: windows of a signal to features, and masked features to windows of each source."""

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional as F

from bloomnet_sb.nn.causal import FrameWise
from bloomnet_sb.utils.devices import placed
from bloomnet_sb.utils.errors import InputError, check_positive

ENCODER_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": lambda: nn.ReLU(inplace=True),
    "linear": nn.Identity,
}


# Below, where offsets are, bins count nothing in a level.
LOWEST_LEVEL_HZ = 80.0


class Filterbank(FrameWise, ABC):
    """The contract between a filterbank and `bloomnet_sb.model.BloomNet`.

    A module whose forward maps windows [batch, frames, window] to features [batch, filters,
    frames], and which makes a synthesis for each depth, of masked features [batch, sources,
    filters, frames] to windows [batch, sources, frames, window], to be overlapped and added.

    Attributes
    ----------
    num_filters : int
        Features of a frame.
    window : int
        Samples in a window.
    hop : int
        Samples between two windows.
    left, right : int
        Zeros before the signal and, at least, after it, which the windows take in.
    pad_input : bool
        Whether the samples after the last whole window get a window of their own.
    sample_rate : int
        In Hz.

    Raises
    ------
    InputError
        For a size that cannot be.
    """

    left = 0
    right = 0
    pad_input = True

    def __init__(self, num_filters: int, window: int, hop: int, sample_rate: int):
        super().__init__()
        check_positive(num_filters=num_filters, window=window, hop=hop, sample_rate=sample_rate)
        if hop > window:
            raise InputError(f"hop is {hop} samples, but may be at most the window's {window}")
        self.num_filters, self.window, self.hop = num_filters, window, hop
        self.sample_rate = sample_rate

    @abstractmethod
    def make_synthesis(self) -> nn.Module:
        """A synthesis of its own for one depth."""

    @property
    def level_weights(self) -> torch.Tensor:
        """What a feature's square counts in the power of a frame, [filters]; by default alike."""
        return torch.full((self.num_filters,), 1 / self.num_filters)

    @property
    def delay_samples(self) -> int:
        """The most samples that a stream holds back: the window less one."""
        return self.window - 1

    def num_frames(self, samples: int) -> int:
        """The number of frames of a signal of `samples` samples; one at least."""
        beyond = max(self.left + samples + self.right - self.window, 0)
        return 1 + (-(-beyond // self.hop) if self.pad_input else beyond // self.hop)

    def windows_of(self, signals: torch.Tensor) -> torch.Tensor:
        """Windows [batch, frames, window] of `signals` [batch, time], a view of a padded copy."""
        frames = self.num_frames(signals.shape[-1])
        beyond = (frames - 1) * self.hop + self.window - self.left - signals.shape[-1]
        padded = F.pad(signals, (self.left, max(beyond, 0)))
        return padded.unfold(-1, self.window, self.hop)[:, :frames]

    def overlap_add(self, windows: torch.Tensor, length: int) -> torch.Tensor:
        """Signals [batch, length, sources] of `windows` [batch, sources, frames, window]."""
        # Hop by hop: fold has a call for each signal of a batch on a GPU, forwards and backwards.
        pieces = F.pad(windows, (0, -self.window % self.hop)).unflatten(-1, (-1, self.hop))
        last = pieces.shape[3] - 1
        added = sum(F.pad(pieces[:, :, :, n], (0, 0, n, last - n)) for n in range(last + 1))
        signals = added.flatten(-2)[..., self.left :]  # type: ignore[union-attr]
        return F.pad(signals, (0, length - signals.shape[-1])).transpose(1, 2)


class LearnedFilterbank(Filterbank):
    """Conv-TasNet's filterbank: learned filters, and learned ones for each synthesis.

    Luo and Mesgarani, 2019, arXiv 1809.07454, section II.B.

    Arguments
    ---------
    num_filters : int
        Filters <N>.
    window : int
        Samples in a filter <L>.
    hop : int, optional
        Samples between two windows, at most `window`. Default: half of it.
    activation : str
        "relu" or "linear", what follows the filters.
    pad_input : bool
        Whether the samples after the last whole window get a window of their own. Without it, as
        in Asteroid, the estimates are zero there.
    sample_rate : int
        In Hz.

    Raises
    ------
    InputError
        For a size that cannot be, or an unknown activation.

    Example
    -------
    >>> filterbank = LearnedFilterbank(num_filters=24, window=16)
    >>> features = filterbank(filterbank.windows_of(torch.randn(2, 100)))
    >>> features.shape
    torch.Size([2, 24, 12])
    >>> windows = filterbank.make_synthesis()(features.unsqueeze(1))
    >>> filterbank.overlap_add(windows, length=100).shape
    torch.Size([2, 100, 1])
    """

    def __init__(
        self,
        num_filters: int = 512,
        window: int = 16,
        hop: int | None = None,
        activation: str = "relu",
        pad_input: bool = True,
        sample_rate: int = 16000,
    ):
        hop = max(window // 2, 1) if hop is None else hop
        super().__init__(num_filters, window, hop, sample_rate)
        if activation not in ENCODER_ACTIVATIONS:
            raise InputError(
                f"activation is {activation!r}, but must be one of {', '.join(ENCODER_ACTIVATIONS)}"
            )
        self.pad_input = pad_input
        self.weight = nn.Parameter(torch.empty(num_filters, window))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.activation = ENCODER_ACTIVATIONS[activation]()

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Features [batch, filters, frames] of `windows` [batch, frames, window]."""
        return self.activation(windows @ self.weight.t()).transpose(1, 2)

    def make_synthesis(self) -> "LearnedSynthesis":
        """Learned filters for one depth."""
        return LearnedSynthesis(self.num_filters, self.window)


class LearnedSynthesis(FrameWise):
    """The learned filters that make a window of each frame.

    Arguments
    ---------
    num_filters : int
        Filters <N>.
    window : int
        Samples in a filter <L>.

    Example
    -------
    >>> LearnedSynthesis(24, window=16)(torch.rand(2, 1, 24, 12)).shape
    torch.Size([2, 1, 12, 16])
    """

    def __init__(self, num_filters: int, window: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_filters, window))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, masked: torch.Tensor) -> torch.Tensor:
        """Windows [batch, sources, frames, window] of [batch, sources, filters, frames]."""
        return masked.transpose(2, 3) @ self.weight


class STFTFilterbank(Filterbank):
    """The short-time Fourier transform, with windows that reconstruct perfectly.

    The window is the square root of a Hann window, in analysis and in synthesis. Features are the
    real parts of all bins and then the imaginary ones.

    Arguments
    ---------
    window : int
        Samples in a window, even.
    hop : int, optional
        Samples between two windows; it divides `window`, twice at least. Default: half of it.
    sample_rate : int
        In Hz; bins below 80 Hz, where offsets are, count nothing in a frame's level.

    Raises
    ------
    InputError
        For a size that cannot be.

    Example
    -------
    >>> filterbank, mix = STFTFilterbank(window=512, hop=256), torch.randn(2, 1000)
    >>> features = filterbank(filterbank.windows_of(mix))
    >>> features.shape
    torch.Size([2, 514, 5])
    >>> windows = filterbank.make_synthesis()(features.unsqueeze(1))
    >>> torch.allclose(filterbank.overlap_add(windows, 1000)[..., 0], mix, atol=1e-5)
    True
    """

    shape: torch.Tensor

    def __init__(self, window: int = 512, hop: int | None = None, sample_rate: int = 16000):
        check_positive(window=window)
        super().__init__(window + 2, window, window // 2 if hop is None else hop, sample_rate)
        hop = self.hop
        if window % 2 or window % hop or window < 2 * hop:
            raise InputError(
                f"window is {window} and hop {hop} samples, but an STFT takes an even window that "
                "is two hops or more, in whole hops"
            )
        self.left = self.right = window - hop
        self.register_buffer("shape", _square_root_hann(window), persistent=False)

    @property
    def level_weights(self) -> torch.Tensor:
        """By Parseval's theorem the mean square of the windowed samples above 80 Hz, [filters]."""
        weights = torch.full((self.window // 2 + 1,), 2.0, device="cpu")
        weights[-1] = 1
        weights[: 1 + int(LOWEST_LEVEL_HZ * self.window / self.sample_rate)] = 0
        # The squares of the window's samples add up to half of their number.
        return placed(torch.cat([weights, weights]) / self.window / (self.window / 2))

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """Features [batch, filters, frames] of `windows` [batch, frames, window]."""
        spectra = torch.fft.rfft(windows * self.shape)
        return torch.cat([spectra.real, spectra.imag], dim=-1).transpose(1, 2)

    def make_synthesis(self) -> "STFTSynthesis":
        """The inverse, which has nothing to learn."""
        return STFTSynthesis(self.window, self.hop)


class STFTSynthesis(FrameWise):
    """The inverse of an STFT's frames, windowed.

    Arguments
    ---------
    window, hop : int
        As `STFTFilterbank`.

    Attributes
    ----------
    whole_spectra : bool
        Whether to go the longer way over spectra of both signs of frequency, for ONNX Runtimes that
        have no inverse of half a spectrum.

    Example
    -------
    >>> STFTSynthesis(512, 256)(torch.rand(2, 1, 514, 12)).shape
    torch.Size([2, 1, 12, 512])
    """

    whole_spectra = False
    shape: torch.Tensor

    def __init__(self, window: int, hop: int):
        super().__init__()
        self.window = window
        # The squares of a square-rooted Hann window add up to window / (2 hop) in each sample.
        shape = _square_root_hann(window, 2 * hop / window)
        self.register_buffer("shape", shape, persistent=False)

    def forward(self, masked: torch.Tensor) -> torch.Tensor:
        """Windows [batch, sources, frames, window] of [batch, sources, filters, frames]."""
        real, imaginary = masked.transpose(2, 3).chunk(2, dim=-1)
        if self.whole_spectra:
            return inverse_by_whole_spectra(real, imaginary) * self.shape
        return torch.fft.irfft(torch.complex(real, imaginary), self.window) * self.shape


def inverse_by_whole_spectra(real: torch.Tensor, imaginary: torch.Tensor) -> torch.Tensor:
    """`torch.fft.irfft` in operations that older ONNX Runtimes have.

    Arguments
    ---------
    real, imaginary : torch.Tensor
        Parts of spectra [.., bins], from 0 Hz to half the sample rate.

    Returns
    -------
    torch.Tensor
        Samples [.., 2 (bins - 1)].

    Example
    -------
    >>> windows = torch.randn(2, 512)
    >>> spectra = torch.fft.rfft(windows)
    >>> torch.allclose(inverse_by_whole_spectra(spectra.real, spectra.imag), windows, atol=1e-5)
    True
    """
    bins = real.shape[-1]
    # The first and the last stand for themselves, not for a mirror image too.
    twice = F.pad(real.new_full((bins - 2,), 2.0), (1, 1), value=1.0)
    parts = (F.pad(part * twice, (0, bins - 2)) for part in (real, imaginary))
    return torch.fft.ifft(torch.complex(*parts)).real


def _square_root_hann(window: int, scale: float = 1.0) -> torch.Tensor:
    # On the CPU: the device that new tensors go to need not have double precision.
    shape = torch.hann_window(window, dtype=torch.double, device="cpu").sqrt().float()
    return placed(shape * scale)
