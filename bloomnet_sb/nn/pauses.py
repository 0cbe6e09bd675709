"""Pauses of blocks within a signal, as they are where the depth changes while it runs."""

from typing import NamedTuple

import torch

from bloomnet_sb.nn.causal import Feature, of_each


class Pause(NamedTuple):
    """Frames in which the blocks from one on do not run, and hold what they carry.

    For networks whose features have their frames in dimension 1.

    Arguments
    ---------
    block : int
        The first block that pauses, 2 or more.
    start, stop : int
        The first frame, and that after the last.

    Example
    -------
    >>> pause, feature = Pause(block=2, start=1, stop=3), torch.arange(5)[None]
    >>> pause.awake(feature).tolist(), pause.asleep(feature).tolist()
    ([[0, 3, 4]], [[1, 2]])
    >>> pause.join(pause.awake(feature), pause.asleep(feature), dim=1).tolist()
    [[0, 1, 2, 3, 4]]
    """

    block: int
    start: int
    stop: int

    def awake(self, x: Feature, dim: int = 1) -> Feature:
        """The frames outside of the pause, one after the other: what the blocks see."""

        def around(part: torch.Tensor) -> torch.Tensor:
            before, after = part.narrow(dim, 0, self.start), part.shape[dim] - self.stop
            return torch.cat([before, part.narrow(dim, self.stop, after)], dim)

        return of_each(around, x)

    def asleep(self, x: Feature, dim: int = 1) -> Feature:
        """The frames of the pause."""
        return of_each(lambda part: part.narrow(dim, self.start, self.stop - self.start), x)

    def join(self, awake: torch.Tensor, asleep: torch.Tensor, dim: int) -> torch.Tensor:
        """All frames, of those outside of the pause and those in it."""
        after = awake.shape[dim] - self.start
        before = awake.narrow(dim, 0, self.start)
        return torch.cat([before, asleep, awake.narrow(dim, self.start, after)], dim)
