"""What an update of an open-ended run is about: depths, and a pause of deeper blocks."""

from collections.abc import Sequence

import numpy as np

from bloomnet_sb.nn.pauses import Pause


def draw_depths(
    num_blocks: int, random_depths: int, weights: Sequence[float], rng: np.random.Generator
) -> list[int]:
    """The numbers of blocks whose estimates an update is about: all, and some at random.

    Arguments
    ---------
    num_blocks : int
        The number of blocks, L.
    random_depths : int
        How many others are drawn; all where there are no more.
    weights : sequence of float
        How often 1 block, 2 blocks.. are drawn; the last counts for those that follow, too.
    rng : numpy.random.Generator
        Where the draw comes from.

    Returns
    -------
    list of int
        In rising order.

    Example
    -------
    >>> draw_depths(6, 1, [2, 1], np.random.default_rng(0))
    [3, 6]
    """
    others = np.arange(1, num_blocks)
    shares = np.array([weights[min(index, len(weights) - 1)] for index in range(len(others))])
    count = min(random_depths, len(others))
    if not count:
        return [num_blocks]
    drawn = rng.choice(others, count, replace=False, p=shares / shares.sum())
    return [*sorted(drawn.tolist()), num_blocks]


def draw_pause(
    num_blocks: int, frames: int, share: float, rng: np.random.Generator
) -> Pause | None:
    """The pause of an update: half of its frames, from anywhere on, of a random block and deeper.

    Arguments
    ---------
    num_blocks : int
        The number of blocks, L.
    frames : int
        How many frames a mixture has.
    share : float
        The share of updates with one.
    rng : numpy.random.Generator
        Where the draw comes from.

    Returns
    -------
    Pause or None
        The pause, if there is one; all are of one length, for which a network is compiled once.

    Example
    -------
    >>> draw_pause(6, 126, 1.0, np.random.default_rng(0))
    Pause(block=4, start=17, stop=80)
    """
    if num_blocks < 2 or not rng.random() < share:
        return None
    block, start = rng.integers(2, num_blocks + 1), rng.integers(frames - frames // 2 + 1)
    return Pause(int(block), int(start), int(start) + frames // 2)
