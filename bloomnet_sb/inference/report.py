"""report.jsonl: what became of each file, and by it what a run that goes on need not do."""

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bloomnet_sb.utils.folders import LeftOut

REPORT = "report.jsonl"


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
        return str(self.path), str(self.output), tuple(self.state)


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
    """

    error: str | None = None
    notes: list[str] = field(default_factory=list)
    measures: dict = field(default_factory=dict)


Result = tuple[Job, Outcome]


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
    return about | {"error": outcome.error, "notes": outcome.notes} | outcome.measures


def begun_entry(job: Job) -> dict:
    """The entry of a file that is to be done, so that a run that goes on knows its result."""
    return {"begun": str(job.output)}


def left_out_entry(item: LeftOut) -> dict:
    """The entry of what was left out when the inputs were listed."""
    return {"left_out": str(item.path), "reason": item.reason}


def lines_of(entries: Iterable[dict]) -> str:
    """Entries as a report has them, a line for each.

    Example
    -------
    >>> lines_of([{"begun": "out/a.wav"}])
    '{"begun": "out/a.wav"}\\n'
    """
    return "".join(json.dumps(entry) + "\n" for entry in entries)


def read_report(path: str | Path) -> list[dict]:
    """The entries of a report; none if there is no such file.

    Example
    -------
    >>> read_report("nowhere.jsonl")
    []
    """
    try:
        return entries_of(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        return []


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
    """What runs before have written, or begun to write.

    Example
    -------
    >>> results_before([{"blocks": 1}, {"begun": "out/a.wav"}])
    {'out/a.wav'}
    """
    own: set[str] = set()
    for entry in entries:
        if "begun" in entry:
            own.add(entry["begun"])
        elif is_result(entry):
            own.add(entry["output"])
        elif "output" in entry:
            own.discard(entry["output"])
    return own


def is_result(entry: dict) -> bool:
    """Whether an entry is that of a file that was enhanced.

    Example
    -------
    >>> is_result({"output": "out/a.wav", "error": None})
    True
    """
    return "output" in entry and entry["error"] is None
