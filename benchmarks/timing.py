"""Timing functions: once, or several fairly on a noisy machine, in turns and the best of each."""

import resource
import time
from collections.abc import Callable, Mapping
from multiprocessing.forkserver import _forkserver


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


def core_seconds_of(function: Callable, *arguments: object) -> tuple[float, float]:
    """Seconds that a call takes, and those of a core that it and processes that end with it used.

    The latter are nearly the same on a machine that others use, too; but waiting is not in them.
    """
    before, used = time.perf_counter(), _used()
    function(*arguments)
    seconds = time.perf_counter() - before
    # What a fork server and its workers used is counted when it ends. There is no public way.
    _forkserver._stop()
    return seconds, _used() - used


def _used() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


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
