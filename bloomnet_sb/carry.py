"""Running a causal network on a signal piece by piece: what layers carry from one to the next."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

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
    >>> from bloomnet_sb.norms import CumulativeLayerNorm
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


def running_mean(key: Hashable, x: torch.Tensor) -> torch.Tensor:
    """The mean over the frames so far.

    Arguments
    ---------
    key : hashable
        Whose frames they are.
    x : torch.Tensor
        [.., frames], double precision: sums over an hour cancel in single precision.

    Returns
    -------
    torch.Tensor
        [.., frames].

    Example
    -------
    >>> running_mean("a key", torch.tensor([1.0, 3.0, 5.0]))
    tensor([1., 2., 3.])
    """
    totals = x.cumsum(-1)
    frames = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype, device=x.device)
    memory = _MEMORY.get()
    if memory is not None:
        total, count = memory.get(key, (0.0, 0.0))
        totals, frames = totals + total, frames + count
        memory[key] = totals[..., -1:].clone(), frames[-1:].clone()
    return totals / frames
