"""Timing several functions fairly on a noisy machine: in turns, and the best of each."""

import time
from collections.abc import Callable, Mapping


def best_seconds(functions: Mapping[str, Callable[[], object]], rounds: int = 7) -> dict:
    """Seconds that each function takes at its best.

    Arguments
    ---------
    functions : mapping
        Name to a function without arguments.
    rounds : int
        How often each is timed, one after the other in each round, after a first unmeasured one.

    Returns
    -------
    dict
        Name to the seconds of its fastest run.
    """
    best = {}
    for number in range(rounds + 1):
        for name, function in functions.items():
            start = time.perf_counter()
            function()
            seconds = time.perf_counter() - start
            if number:
                best[name] = min(seconds, best.get(name, seconds))
    return best
