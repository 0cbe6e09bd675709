"""What runs before left in the folder of results: parts that are complete, and what has no part."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from bloomnet_sb.inference.places import is_refusal
from bloomnet_sb.inference.report import absolute, is_result

NUMBERED = re.compile(r"(.+-)\d{6,}\.tar")


def by_part(paths: Iterable[str], folder: str | Path) -> defaultdict[str, set[str]]:
    """Absolute paths or addresses by the part of the folder of results that they are in, or are.

    Example
    -------
    >>> by_part(["/out/a/b/c.wav", "/out/d.tar"], "/out")["/out/a"]
    {'/out/a/b/c.wav'}
    """
    root = os.path.join(absolute(folder), "")
    found = defaultdict(set)
    for path in paths:
        if path.startswith(root):
            found[root + path.removeprefix(root).partition(os.sep)[0]].add(path)
    return found


def left_over(packed: Iterable[str], results: Iterable[str], entries: Iterable[dict]) -> set[str]:
    """Shards of runs before that the files which they were packed of are no longer in.

    Files are packed anew when their number or the size of a shard changes. Where that gives fewer
    shards than before, the last of those hold files that others hold now.

    Arguments
    ---------
    packed : iterable of str
        Absolute paths of all shards that files are packed into.
    results : iterable of str
        Those of results of runs before.
    entries : iterable of dict
        The report of the run before, which names parts, too.

    Returns
    -------
    set of str
        Of results and parts, shards whose names differ from those by a number alone.

    Example
    -------
    >>> before = ["/out/enhanced-000000.tar", "/out/enhanced-000001.tar", "/out/of_a_shard.tar"]
    >>> left_over(["/out/enhanced-000000.tar"], before, [])
    {'/out/enhanced-000001.tar'}
    """
    names = set(packed)
    series = {found[1] for name in names if (found := NUMBERED.fullmatch(name))}
    before = {*results, *(absolute(entry["part"]) for entry in entries if "part" in entry)}
    numbered = ((path, NUMBERED.fullmatch(path)) for path in before)
    return {path for path, found in numbered if found and found[1] in series} - names


def complete_parts(
    entries: Iterable[dict], states: Mapping[str, list], holds: Callable[[str], bool], force: bool
) -> set[str]:
    """The parts that a run before completed of the same recordings, and whose files are there.

    Arguments
    ---------
    entries : iterable of dict
        The report of the run before.
    states : mapping
        Absolute places of parts to the state of their recordings now.
    holds : callable
        Whether there is something at a path or address.
    force : bool
        Whether what is no result is overwritten.

    Returns
    -------
    set of str
        Those of the places. One is not among them if a result of it is gone, or if what stood in
        the place of one is, or may be overwritten.

    Example
    -------
    >>> before = [{"part": "/out/a", "complete": [1]}, {"part": "/out/b", "complete": [1]}]
    >>> complete_parts(before, {"/out/a": [1], "/out/b": [2]}, lambda path: True, False)
    {'/out/a'}
    """
    of_parts = [entry for entry in entries if "part" in entry]
    before = {absolute(e["part"]): e["complete"] for e in of_parts if "complete" in e}
    lost = {absolute(entry["part"]) for entry in of_parts if _is_lost(entry, holds, force)}
    same = {place for place, state in states.items() if before.get(place) == state}
    return same - lost


def _is_lost(entry: dict, holds: Callable[[str], bool], force: bool) -> bool:
    if is_refusal(entry):
        return force or not holds(entry["output"])
    return is_result(entry) and not holds(entry["output"])
