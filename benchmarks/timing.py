"""Timing functions: once, or several fairly on a noisy machine, in turns and the best of each."""

import time
from collections.abc import Callable, Mapping


def seconds_of(function: Callable, *arguments: object) -> float:
    """Seconds that a call takes.

    Arguments
    ---------
    function : callable
        What is timed.
    *arguments
        What it is called with.

    Returns
    -------
    float
        The seconds.
    """
    start = time.perf_counter()
    function(*arguments)
    return time.perf_counter() - start


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
            seconds = seconds_of(function)
            if number:
                best[name] = min(seconds, best.get(name, seconds))
    return best
