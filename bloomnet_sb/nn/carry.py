"""Running a causal network on a signal piece by piece: what layers carry from one to the next."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache

import torch

# A context variable, so that two threads may run one network on two signals.
_MEMORY: ContextVar[dict | None] = ContextVar("memory", default=None)


@contextmanager
def carrying(memory: dict[Hashable, object]) -> Iterator[None]:
    """Let causal layers go on from the frames that they saw before.

    Within it, a causal `bloomnet_sb.model.BloomNet` takes its input for the continuation of what
    it got under the same `memory`. Pieces are to hold whole frames, and each to begin with the
    frame after the last one of the piece before.

    Arguments
    ---------
    memory : dict
        What the layers keep; empty at the start of a signal.

    Example
    -------
    >>> from bloomnet_sb.nn.norms import CumulativeLayerNorm
    >>> norm, x, memory = CumulativeLayerNorm(8), torch.rand(2, 8, 50), {}
    >>> pieces = []
    >>> for piece in x.split(20, dim=-1):
    ...     with carrying(memory):
    ...         pieces.append(norm(piece))
    >>> torch.allclose(torch.cat(pieces, dim=-1), norm(x), atol=1e-5)
    True
    """
    token = _MEMORY.set(memory)
    try:
        yield
    finally:
        _MEMORY.reset(token)


def with_past(key: Hashable, x: torch.Tensor, frames: int) -> torch.Tensor:
    """Put the last `frames` frames before `x` in front of it, as many as there were.

    Arguments
    ---------
    key : hashable
        Whose frames they are.
    x : torch.Tensor
        [.., frames].
    frames : int
        How many frames the layer looks back.

    Returns
    -------
    torch.Tensor
        [.., past frames + frames]; `x` itself where nothing is carried.
    """
    memory = _MEMORY.get()
    if memory is None or frames == 0:
        return x
    if key in memory:
        x = torch.cat([memory[key], x], dim=-1)
    memory[key] = x[..., -frames:].clone()
    return x


def running_mean(key: Hashable, x: torch.Tensor, window: int | None = None) -> torch.Tensor:
    """The mean over the frames so far, see `RunningMean`.

    Arguments
    ---------
    key : hashable
        Whose frames they are.
    x : torch.Tensor
        [.., frames].
    window : int, optional
        As `RunningMean`.

    Returns
    -------
    torch.Tensor
        [.., frames], in double precision.

    Example
    -------
    >>> running_mean("a key", torch.tensor([1.0, 3.0, 5.0]))
    tensor([1., 2., 3.], dtype=torch.float64)
    """
    memory = _MEMORY.get()
    mean = RunningMean(window) if memory is None else memory.setdefault(key, RunningMean(window))
    return mean.over(x)


@lru_cache(maxsize=4)  # the chunks of a stream are of one length or two
def _fading_factors(
    window: int, frames: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """What each of the next frames keeps of the mean before them, and what it adds over that."""
    with torch.inference_mode(False):  # they may serve a training next
        counts = torch.arange(1, frames + 1, dtype=torch.double, device=device)
        kept = (1 - 1 / window) ** counts
        return kept, 1 / (window * kept)


class RunningMean:
    """A mean over the frames so far, in double precision: sums over an hour cancel in single.

    Arguments
    ---------
    window : int, optional
        From this many frames on, what is further back than that fades out: each frame takes the
        share 1/window of the mean. Default: all frames count alike.

    Example
    -------
    >>> mean = RunningMean()
    >>> mean.over(torch.tensor([1.0, 3.0])).tolist(), mean.over(torch.tensor([5.0])).tolist()
    ([1.0, 2.0], [3.0])
    >>> RunningMean(window=2).over(torch.tensor([1.0, 3.0, 6.0, 6.0])).tolist()
    [1.0, 2.0, 4.0, 5.0]
    """

    def __init__(self, window: int | None = None):
        self.window = window
        self.mean: torch.Tensor | float = 0.0
        self.frames = 0

    def over(self, x: torch.Tensor) -> torch.Tensor:
        """The mean up to each frame of `x` [.., frames], which goes on from the ones before."""
        x = x.double()
        if self.window is None or self.frames + x.shape[-1] <= self.window:
            return self._growing(x)
        # Factors up to e to the 64th: far from what overflows.
        most = 64 * self.window
        if self.frames >= self.window and x.shape[-1] <= most:
            return self._fading(x)
        growing = min(max(self.window - self.frames, 0), x.shape[-1])
        fading = x[..., growing:].split(most, dim=-1)
        return torch.cat([self._growing(x[..., :growing]), *map(self._fading, fading)], dim=-1)

    def _growing(self, x: torch.Tensor) -> torch.Tensor:
        counts = torch.arange(1, x.shape[-1] + 1, device=x.device) + self.frames
        return self._keep((x.cumsum(-1) + self.mean * self.frames) / counts)

    def _fading(self, x: torch.Tensor) -> torch.Tensor:
        kept, shares = _fading_factors(self.window, x.shape[-1], x.device)
        return self._keep((x * shares).cumsum(-1).add_(self.mean).mul_(kept))

    def _keep(self, means: torch.Tensor) -> torch.Tensor:
        if means.shape[-1]:
            self.mean = means[..., -1:].clone()
            self.frames += means.shape[-1]
        return means
