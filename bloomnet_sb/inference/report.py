"""report.jsonl: what became of each file, and by it what a run that goes on need not do."""

import json
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import LeftOut
from bloomnet_sb.utils.stores import is_address

REPORT = "report.jsonl"
# In the first line: the folder that relative paths lead from. And what of an entry is a path
STARTED_IN = "started_in"
PATHS = ("input", "output", "begun", "own", "part", "left_out")


class Job(NamedTuple):
    """A file to be enhanced.

    Arguments
    ---------
    path, output : Path
        The file, and where its result goes.
    state : list of int
        What changes when the file does, see `state_of`.
    seconds : float
        How long it is, where that is known.
    """

    path: Path
    output: Path
    state: list[int]
    seconds: float = 0.0

    @property
    def key(self) -> tuple:
        """What is the same for the same file with the same result."""
        return absolute(self.path), absolute(self.output), tuple(self.state)


@dataclass(frozen=True)
class Outcome:
    """What became of a file.

    Arguments
    ---------
    error : str, optional
        Why there is no result.
    notes : list of str
        What the result does not keep.
    measures : dict
        What was measured, see `bloomnet_sb.inference.measures.FileMeasures.as_dict`, with "blocks",
        how many windows each depth had, and "core_seconds", the time that it took of a core.
    again : bool
        Whether the error may pass: it is one of the disk or of the process, not of the file.
    """

    error: str | None = None
    notes: list[str] = field(default_factory=list)
    measures: dict = field(default_factory=dict)
    again: bool = False


Result = tuple[Job, Outcome]


def absolute(path: str | Path) -> str:
    """A path by which one file is known however it was spelled; an address as it is.

    Example
    -------
    >>> absolute("out/../a.wav") == absolute(Path("a.wav")), absolute("s3://bucket/a.wav")
    (True, 's3://bucket/a.wav')
    """
    return str(path) if is_address(path) else os.path.abspath(path)


def state_of(path: Path) -> list[int]:
    """What changes when a file does: its size, and when it was written; nothing for no file.

    Example
    -------
    >>> state_of(Path("nowhere"))
    []
    """
    try:
        about = path.stat()
    except OSError:
        return []
    return [about.st_size, about.st_mtime_ns]


def entry_of(job: Job, outcome: Outcome) -> dict:
    """The entry of a file that is done.

    Example
    -------
    >>> entry_of(Job(Path("a.wav"), Path("out/a.wav"), []), Outcome("a.wav: no such file"))
    {'input': 'a.wav', 'output': 'out/a.wav', 'state': [], 'error': 'a.wav: no such file', ...}
    """
    about = {"input": str(job.path), "output": str(job.output), "state": job.state}
    said: dict = {"error": outcome.error, "notes": outcome.notes}
    if outcome.again:
        said["again"] = True
    return about | said | outcome.measures


def lines_of(entries: Iterable[dict]) -> str:
    """Entries as a report has them, a line for each.

    Example
    -------
    >>> lines_of([{"begun": "out/a.wav"}])
    '{"begun": "out/a.wav"}\\n'
    """
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def first_entries(
    head: dict, left_out: Iterable[LeftOut], begun: Iterable[str | Path]
) -> list[dict]:
    """What a report begins with, before any file is enhanced.

    Arguments
    ---------
    head : dict
        The choice that it is of; the folder that relative paths lead from is added.
    left_out : iterable of LeftOut
        What was left out when the inputs were listed.
    begun : iterable of str or Path
        The results that are to be made, so that a run that is killed knows them again.

    Returns
    -------
    list of dict
        Its first entries.

    Example
    -------
    >>> first_entries({"blocks": 1}, [], ["out/a.wav"])
    [{'blocks': 1, 'started_in': '...'}, {'begun': 'out/a.wav'}]
    """
    left = [{"left_out": str(item.path), "reason": item.reason} for item in left_out]
    return [head | {STARTED_IN: os.getcwd()}, *left, *({"begun": str(path)} for path in begun)]


def seen_from_here(entries: list[dict]) -> list[dict]:
    """The entries of a report, those of a run in another working folder with paths from this one.

    Where that folder is gone, as it is after a move of all, paths stay as they are.

    Example
    -------
    >>> seen_from_here([{"blocks": 1, "started_in": "/"}, {"begun": "out/a.wav"}])
    [{'blocks': 1}, {'begun': '/out/a.wav'}]
    """
    if not entries or not isinstance(entries[0], dict):
        return entries
    start = entries[0].pop(STARTED_IN, None)
    if start in (None, os.getcwd()) or not os.path.isdir(start):
        return entries
    return [
        {key: _from(start, value) if key in PATHS else value for key, value in entry.items()}
        for entry in entries
    ]


def _from(start: str, path: str) -> str:
    return path if is_address(path) else os.path.normpath(os.path.join(start, path))


def read_report(path: str | Path) -> list[dict]:
    """The entries of a report; none if there is no such file.

    Example
    -------
    >>> read_report("nowhere.jsonl")
    []
    """
    try:
        return seen_from_here(entries_of(Path(path).read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        return []


def read_own_report(path: Path) -> list[dict]:
    """The entries of a report that is to be written anew; none if there is no such file.

    Raises
    ------
    InputError
        If the file is none that a run before wrote.

    Example
    -------
    >>> read_own_report(Path("nowhere.jsonl"))
    []
    """
    try:
        return seen_from_here(own_entries_of(path, path.read_bytes()))
    except FileNotFoundError:
        return []


def own_entries_of(name: str | Path, content: bytes) -> list[dict]:
    """The entries of a report by what its file holds, see `read_own_report`.

    Example
    -------
    >>> own_entries_of("report.jsonl", b"of another program")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: report.jsonl: is there already, and no report of this ...
    """
    entries = entries_of(content.decode(errors="replace"))
    is_own = bool(entries) and isinstance(entries[0], dict) and "network" in entries[0]
    if content and not is_own:
        raise InputError(f"{name}: is there already, and no report of this command")
    return entries


def entries_of(text: str) -> list[dict]:
    """The entries of a report's text.

    Example
    -------
    >>> entries_of('{"begun": "out/a.wav"}\\n{"begun": "out/')
    [{'begun': 'out/a.wav'}]
    """
    entries = []
    for line in text.splitlines():
        with suppress(ValueError):  # the last line of a run that was killed may be cut short
            entries.append(json.loads(line))
    return entries


def done_before(entries: list[dict], head: dict) -> dict[tuple, dict]:
    """The entries of a report with the same head whose results are there, by `Job.key`.

    Example
    -------
    >>> done_before([{"blocks": 1}], {"blocks": 2})
    {}
    """
    if not entries or entries[0] != head:
        return {}
    return {
        Job(Path(entry["input"]), Path(entry["output"]), entry["state"]).key: entry
        for entry in entries
        if is_result(entry) and Path(entry["output"]).is_file()
    }


def results_before(entries: list[dict]) -> set[str]:
    """What runs before have written, or begun to write; by `absolute`.

    What was begun and could not be made was not written: what is in its place is another's. A
    result of a run before that stays there has an entry of its own, see `carried_over`.

    Example
    -------
    >>> sorted(results_before([{"blocks": 1}, {"begun": "/out/a.wav"}, {"own": "/out/b.wav"}]))
    ['/out/a.wav', '/out/b.wav']
    """
    begun = {absolute(entry["begun"]) for entry in entries if "begun" in entry}
    own = {absolute(entry["own"]) for entry in entries if "own" in entry}
    made = {absolute(entry["output"]) for entry in entries if is_result(entry)}
    failed = {absolute(entry["output"]) for entry in entries if entry.get("error")}
    return own | made | (begun - failed)


def carried_over(
    before: list[dict], head: dict, again: set[str], is_there: Callable[[str], bool]
) -> list[dict]:
    """What a run writes into its report of the one before.

    Arguments
    ---------
    before : list of dict
        The entries of the report before.
    head : dict
        The first entry of the report to be.
    again : set of str
        The results and parts that are made again, by `absolute`.
    is_there : callable
        Whether a result, by `absolute`, is there.

    Returns
    -------
    list of dict
        If the head is the same, the entries of results and parts that are not made again; and what
        else of runs before is in the folder, so that it is known as theirs whatever becomes of
        this run.

    Example
    -------
    >>> before = [{"blocks": 1}, {"output": "/out/a.wav", "error": None}]
    >>> carried_over(before, {"blocks": 2}, {"/out/a.wav"}, lambda path: True)
    [{'own': '/out/a.wav'}]
    """
    kept = [] if not before or before[0] != head else before[1:]
    kept = [entry for entry in kept if _is_kept(entry, again, is_there)]
    others = results_before(before) - results_before(kept)
    return kept + [{"own": path} for path in sorted(others) if is_there(path)]


def _is_kept(entry: dict, again: set[str], is_there: Callable[[str], bool]) -> bool:
    if "part" in entry:  # by what it has lost, a part is known as not complete
        return absolute(entry["part"]) not in again
    if not is_result(entry):
        return False
    path = absolute(entry["output"])
    return path not in again and is_there(path)


def is_result(entry: dict) -> bool:
    """Whether an entry is that of a file that was enhanced.

    Example
    -------
    >>> is_result({"output": "out/a.wav", "error": None})
    True
    """
    return "output" in entry and entry["error"] is None
