"""What an update of an open-ended run is about: depths, and a pause of deeper blocks."""

from collections.abc import Sequence

import numpy as np

from bloomnet_sb.data.augmentation import check_shares
from bloomnet_sb.nn.pauses import Pause
from bloomnet_sb.utils.errors import InputError, check_amounts, check_not_negative


def check_update_draws(random_depths: int, depth_weights: Sequence[float], pauses: float) -> None:
    """Refuse what no update can be drawn by.

    Arguments
    ---------
    random_depths, depth_weights
        See `draw_depths`.
    pauses : float
        The share of updates with a pause.

    Raises
    ------
    InputError
        Naming the option.

    Example
    -------
    >>> check_update_draws(random_depths=1, depth_weights=[2, 1], pauses=0.15)
    """
    check_not_negative(random_depths=random_depths)
    check_shares(pauses=pauses)
    if not isinstance(depth_weights, list | tuple) or not depth_weights:
        raise InputError(f"depth_weights is {depth_weights!r}, but must be a list of numbers")
    check_amounts(**{f"depth_weights[{n}]": weight for n, weight in enumerate(depth_weights)})
    if not all(depth_weights):
        raise InputError(f"depth_weights is {depth_weights}, but each must be above 0")


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
