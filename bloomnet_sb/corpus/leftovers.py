"""What runs before left in the folder of results: of which part it is, and what has no part."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from bloomnet_sb.inference.report import absolute

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
