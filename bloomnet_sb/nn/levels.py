"""Levels: features at one level whatever the gain of the input, and that level."""

from abc import abstractmethod
from collections.abc import Sequence
from functools import reduce

import torch
from torch import nn

from bloomnet_sb.nn.causal import Causal, FrameWise, State
from bloomnet_sb.nn.filterbanks import Filterbank
from bloomnet_sb.nn.running_mean import running_mean
from bloomnet_sb.utils.errors import InputError

SILENCE_DB = -80.0
FIRST_LEVEL_DB = -26.0


class NoLevel(FrameWise):
    """The features as they are, for networks whose masks follow the level of the input.

    Example
    -------
    >>> NoLevel()(torch.rand(2, 8, 50))[1].flatten()
    tensor([1.])
    """

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The features [batch, filters, frames], and a level of one, [1, 1, 1]."""
        return features, features.new_ones(1, 1, 1)


class SignalLevel(nn.Module):
    """Divides features by the root mean square of the whole signal; not causal.

    Example
    -------
    >>> features, level = torch.rand(2, 8, 50), SignalLevel()
    >>> torch.allclose(level(features)[0], level(1e-4 * features)[0], rtol=1e-5)
    True
    """

    def forward(
        self, features: torch.Tensor, level: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Scale features to unit root mean square; silence stays.

        Arguments
        ---------
        features : torch.Tensor
            [batch, filters, frames].
        level : torch.Tensor, optional
            The level [batch] of the whole signal, where the features are of a part of it.
            Default: that of `features`.

        Returns
        -------
        (torch.Tensor, torch.Tensor)
            [batch, filters, frames], and the level [batch, 1, 1].
        """
        if level is None:
            level = self.of(features)
        level = _not_zero(level[:, None, None].to(features.dtype))
        return features / level, level

    @staticmethod
    def of(features: torch.Tensor) -> torch.Tensor:
        """The level [batch] of `features` [batch, filters, frames]."""
        # The norm of [batch, filters * frames] is one pass where a mean of squares is two.
        norm = torch.linalg.vector_norm(features.float().flatten(1), dim=1)
        return norm / features[0].numel() ** 0.5


class _CausalLevel(Causal):
    """A level that goes on with each frame: the least of running means."""

    warm_up = None  # a mean never forgets all

    def __init__(self, first: float, windows: Sequence[int | None]):
        super().__init__()
        for window in windows:
            if window is not None and window < 2:
                raise InputError(f"the level's window is {window} frames, but must be 2 or more")
        self.first, self.windows = first, tuple(windows)

    def start(self, batch: int, like: torch.Tensor) -> State:
        """The means before the first frame [batch, windows], and the frames in them [batch, 1]."""
        mean = torch.full((batch, len(self.windows)), self.first, device=like.device)
        return {"mean": mean, "frames": mean.new_zeros((batch, 1), dtype=torch.long)}

    def step(self, x: torch.Tensor, state: State):  # type: ignore[override]
        """Features [batch, filters, frames] at one level, and the level [batch, 1, frames]."""
        # In single precision also under autocast: the square of a quiet feature is small.
        measured, counts = self.measured(x.float())
        before = zip(self.windows, state["mean"].split(1, dim=1), strict=True)
        each = [
            running_mean(measured, mean, state["frames"], window, counts) for window, mean in before
        ]
        least = reduce(torch.minimum, (means for means, _, _ in each))
        level = _not_zero(self.level_of(least).unsqueeze(1).to(x.dtype))
        mean = torch.cat([last for _, last, _ in each], dim=1)
        return (x / level, level), {"mean": mean, "frames": each[0][2]}

    @abstractmethod
    def measured(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """What the mean is of in each frame, and whether the frame counts, [batch, frames]."""

    @abstractmethod
    def level_of(self, means: torch.Tensor) -> torch.Tensor:
        """The level that belongs to a mean."""


class RmsLevel(_CausalLevel):
    """Divides features by the root mean square of the frames so far.

    Arguments
    ---------
    window : int, optional
        Frames further back than this fade out. Default: all frames so far count alike.

    Raises
    ------
    InputError
        If `window` is below 2.

    Example
    -------
    >>> level, features = RmsLevel(), torch.rand(2, 8, 50)
    >>> torch.allclose(level(features)[0], level(1e-4 * features)[0], rtol=1e-5)
    True
    """

    def __init__(self, window: int | None = None):
        super().__init__(0.0, [window])

    def measured(self, features: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The power of each frame."""
        norm = torch.linalg.vector_norm(features, dim=1)
        return norm.square() / features.shape[1], None

    def level_of(self, means: torch.Tensor) -> torch.Tensor:
        """Its root."""
        return means.sqrt()


class LogLevel(_CausalLevel):
    """Divides features by the mean log level of the frames so far.

    The mean is over the frames above -80 dB: over all of them at first, and with a time constant
    after that time. Before the first it is -26 dB. So pauses count less than in a mean of powers,
    silence not at all, and a change of level is forgotten after seconds. With a second, shorter
    time constant the level is the smaller of two means, so that it falls faster than it rises: a
    quiet talker is not long at the level of a loud one before.

    Arguments
    ---------
    filterbank : Filterbank
        What the features are from: its hop, its sample rate, and what a feature counts in the
        power of a frame.
    seconds : float
        The time constant.
    fall_seconds : float, optional
        That of the level's fall, if it is to be a shorter one. Default: the same.

    Raises
    ------
    InputError
        If one is less than two frames, or the fall's not below the other.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> level, features = LogLevel(STFTFilterbank(window=512)), torch.randn(1, 514, 50)
    >>> at_one_level, scale = level(features)
    >>> torch.allclose(at_one_level, level(0.01 * features)[0], atol=1e-4)
    True
    >>> torch.allclose(at_one_level * scale, features, atol=1e-5)
    True
    """

    def __init__(
        self, filterbank: Filterbank, seconds: float = 1.0, fall_seconds: float | None = None
    ):
        if fall_seconds is not None and not fall_seconds < seconds:
            raise InputError(
                f"fall_seconds is {fall_seconds}, but must be below seconds, {seconds}"
            )
        constants = [seconds] if fall_seconds is None else [seconds, fall_seconds]
        frames = filterbank.sample_rate / filterbank.hop
        super().__init__(FIRST_LEVEL_DB, [round(constant * frames) for constant in constants])
        self.weights: torch.Tensor
        self.register_buffer("weights", filterbank.level_weights, persistent=False)

    def measured(self, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The level of each frame in dB, and whether it is above silence."""
        power = (features.square() * self.weights[:, None]).sum(1)
        level_db = 10 * torch.log10(power.clamp(min=1e-20))
        return level_db, level_db > SILENCE_DB

    def level_of(self, means: torch.Tensor) -> torch.Tensor:
        """The amplitude of a level in dB."""
        return torch.pow(10, means / 20)


def _not_zero(level: torch.Tensor) -> torch.Tensor:
    return level.clamp(min=torch.finfo(level.dtype).tiny)
