"""report.csv and report.html: what report.jsonl holds, for people, with totals."""

import csv
import os
from collections.abc import Iterable, Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from bloomnet_sb.corpus.shares import Share, shares_in
from bloomnet_sb.inference.base import AUTO
from bloomnet_sb.inference.places import is_refusal
from bloomnet_sb.inference.report import REPORT, is_result, read_report
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import one_line

CSV, HTML = "report.csv", "report.html"
# Column to what the page calls it
COLUMNS = {
    "input": "file",
    "output": "result",
    "seconds": "seconds",
    "depth": "depth, blocks",
    "noisy_level_db": "level of the recording, dB",
    "level_db": "level, dB",
    "loudness_lufs": "loudness, LUFS",
    "clipped": "samples at full scale in the recording",
    "clipped_result": "samples beyond it in the result",
    "removed_over_kept_db": "taken away over kept, dB",
    "core_seconds": "core-seconds",
    "error": "error",
    "notes": "notes",
}
NUMBERS = list(COLUMNS)[2:11]
# Of a page: all files of a small corpus; of a large one those that are worth a look
MOST_ROWS = 500
MARK = '<meta name="generator" content="bloomnet_sb">'
TEMPLATE = files("bloomnet_sb.corpus") / "static" / "report.html"


class Totals(NamedTuple):
    """What was done, over all files.

    Arguments
    ---------
    enhanced, failed, left_out : int
        How many files.
    hours : float
        Of audio that was enhanced.
    core_hours : float
        That it took of cores.
    saved : float, optional
        The share of the multiply-accumulates of full depth that "auto" left out.
    """

    enhanced: int
    failed: int
    left_out: int
    hours: float
    core_hours: float
    saved: float | None = None

    def __str__(self) -> str:
        speed = self.hours / self.core_hours if self.core_hours else 0.0
        text = (
            f"{self.enhanced} files enhanced, {self.failed} could not be, {self.left_out} left "
            f"out; {self.hours:.3f} hours of audio in {self.core_hours:.3f} core-hours"
            f" ({speed:.1f} hours of audio per core-hour)"
        )
        return text if self.saved is None else f"{text}; auto saved {self.saved:.0%} of the cost"


class Joined(NamedTuple):
    """The reports of all runs into a folder.

    Arguments
    ---------
    entries : list of dict
        Of files that were enhanced or could not be, in order of their names.
    totals : Totals
        Over them.
    problems : list of str
        Shards that are missing, not finished, or made in another way than the first.
    """

    entries: list[dict]
    totals: Totals
    problems: list[str]


def join_reports(folder: str | Path) -> Joined:
    """Join the reports of the runs into a folder.

    Arguments
    ---------
    folder : str or Path
        Where they are: report.jsonl, or one for each shard.

    Returns
    -------
    Joined
        What they say.

    Raises
    ------
    InputError
        If there is none, or they are of several divisions into shards.

    Example
    -------
    >>> join_reports("tests/samples")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: tests/samples: holds no report.jsonl, ...
    """
    folder = Path(folder)
    shares = shares_in(folder)
    reports = {str(share): read_report(folder / share.report) for share in shares}
    if (folder / REPORT).is_file():
        reports[REPORT] = read_report(folder / REPORT)
    reports = {name: entries for name, entries in reports.items() if entries}
    if not reports:
        raise InputError(f"{folder}: holds no report.jsonl, which `bloomnet enhance` writes")
    done: dict[tuple, dict] = {}
    left_out: set[str] = set()
    saved: list[tuple[float, float]] = []
    for head, *entries in reports.values():
        left_out |= {entry["left_out"] for entry in entries if "left_out" in entry}
        entries = [entry for entry in entries if "input" in entry]
        for entry in entries:
            _take(entry, done)
        if "macs" in head:
            saved += [_macs(entry, head["macs"]) for entry in entries if is_result(entry)]
    ordered = [done[key] for key in sorted(done)]
    problems = [*_missing(shares), *_unfinished(reports), *_other_heads(reports)]
    return Joined(ordered, _totals(ordered, len(left_out), saved), problems)


def _take(entry: dict, done: dict[tuple, dict]) -> None:
    """Note what became of a file; where its result was not written over, that stays."""
    key = (entry["input"], entry["output"])
    if not (is_refusal(entry) and is_result(done.get(key, entry))):
        done[key] = entry


def write_tables(folder: str | Path) -> Joined:
    """Write report.csv and report.html of the reports in a folder.

    Arguments
    ---------
    folder : str or Path
        Where the reports are.

    Returns
    -------
    Joined
        What the reports say.

    Raises
    ------
    InputError
        If there is none, or a file of one of these names is none of a run before.

    Example
    -------
    >>> from bloomnet_sb.inference.many_files import Choice, enhance_many
    >>> out = Path(getfixture("tmpdir"))
    >>> pairs = [(Path("tests/samples/demo/noisy_0dB.flac"), out / "enhanced.flac")]
    >>> _ = enhance_many(pairs, out, Choice("convtasnet-16k", blocks=1))
    >>> write_tables(out).totals.enhanced
    1
    >>> sorted(path.name for path in out.glob("report.*"))
    ['report.csv', 'report.html', 'report.jsonl']
    """
    folder = Path(folder)
    joined = join_reports(folder)
    rows = [_row(entry) for entry in joined.entries]
    check_tables(folder)
    try:
        # A name that is no text has its bytes as escapes.
        about = {"encoding": "utf-8", "errors": "backslashreplace"}
        with (
            written_whole(folder / CSV) as partial,
            open(partial, "w", newline="", **about) as file,  # type: ignore[call-overload]
        ):
            table = csv.DictWriter(file, list(COLUMNS))
            table.writeheader()
            table.writerows(rows)
        with written_whole(folder / HTML) as partial:
            partial.write_text(_page(joined, rows), **about)
    except OSError as error:
        raise InputError(f"{folder}: no report can be written ({error.strerror})") from None
    return joined


def check_tables(folder: str | Path) -> None:
    """Refuse to write over files of the tables' names that are none.

    Raises
    ------
    InputError
        Naming the first of them.

    Example
    -------
    >>> check_tables("tests/samples")
    """
    _check_own(Path(folder) / CSV, ",".join(COLUMNS))
    _check_own(Path(folder) / HTML, MARK)


def _check_own(path: Path, beginning: str) -> None:
    """Refuse to write over what is no table of a run before."""
    if not os.path.exists(path):  # no error for a path that may not be asked for
        return
    with open(path, encoding="utf-8", errors="replace") as file:
        if beginning not in file.read(4096):
            raise InputError(f"{path}: is there already, and no report of this command")


def _row(entry: dict) -> dict:
    row = {name: entry.get(name) for name in COLUMNS}
    row["input"], row["output"] = one_line(entry["input"]), one_line(entry["output"])
    row["error"] = one_line(entry["error"] or "")
    row["notes"] = "; ".join(entry.get("notes", ()))
    depths = {int(depth): count for depth, count in entry.get("blocks", {}).items()}
    if depths:
        windows = sum(depths.values())
        row["depth"] = round(sum(d * count for d, count in depths.items()) / windows, 2)
    return row


def _totals(entries: Iterable[dict], left_out: int, saved: Sequence[tuple[float, float]]) -> Totals:
    entries = list(entries)
    results = [entry for entry in entries if is_result(entry)]
    hours, core_hours = (
        sum(entry.get(name) or 0.0 for entry in results) / 3600
        for name in ("seconds", "core_seconds")
    )
    used, full = (sum(values) for values in zip(*saved, strict=True)) if saved else (0.0, 0.0)
    share = 1 - used / full if full else None
    return Totals(len(results), len(entries) - len(results), left_out, hours, core_hours, share)


def _macs(entry: dict, macs: dict[str, list[int]]) -> tuple[float, float]:
    """Multiply-accumulates of a file at the depths that "auto" found, and at full depth."""
    depths = {int(depth): count for depth, count in entry.get("blocks", {}).items()}
    seconds = (entry.get("seconds") or 0.0) / max(sum(depths.values()), 1)  # of a window
    used = sum(count * macs[AUTO][depth - 1] for depth, count in depths.items())
    return seconds * used, seconds * sum(depths.values()) * macs["fixed"][-1]


def _missing(shares: list[Share]) -> list[str]:
    if not shares:
        return []
    count = shares[0].count
    missing = sorted(set(range(1, count + 1)) - {share.number for share in shares})
    return [f"shard {number}/{count}: no report" for number in missing]


def _unfinished(reports: dict[str, list[dict]]) -> list[str]:
    problems = []
    for name, (_, *entries) in reports.items():
        begun = {entry["begun"] for entry in entries if "begun" in entry}
        done = (entry.get("part", entry["output"]) for entry in entries if "output" in entry)
        if left := begun - set(done):
            problems.append(f"{_called(name)}: not finished, {len(left)} results are missing")
    return problems


def _other_heads(reports: dict[str, list[dict]]) -> list[str]:
    first, *others = reports
    return [
        f"{_called(name)}: made with another choice or network than {_called(first)}"
        for name in others
        if reports[name][0] != reports[first][0]
    ]


def _called(name: str) -> str:
    return name if name == REPORT else f"shard {name}"


def _page(joined: Joined, rows: list[dict]) -> str:
    """The page: all rows, or of many those with errors and those most was taken away of."""
    errors = [row for row in rows if row["error"]][:MOST_ROWS]
    good = [row for row in rows if not row["error"]]
    shown = good
    if len(good) > MOST_ROWS:
        shown = sorted(good, key=lambda row: -(row["removed_over_kept_db"] or -1e9))[:MOST_ROWS]
    template = jinja2.Template(TEMPLATE.read_text(encoding="utf-8"), autoescape=True)
    return template.render(
        totals=joined.totals, problems=joined.problems, errors=errors, rows=shown,
        of=len(good), columns=COLUMNS, numbers=NUMBERS, mark=Markup(MARK),
    )  # fmt: skip
