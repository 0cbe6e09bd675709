"""A corpus part by part: shards in, shards out, each of which appears when it is complete."""

import hashlib
import json
import os
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from bloomnet_sb.corpus.leftovers import by_part, complete_parts, left_over
from bloomnet_sb.corpus.shards import Member, Packed, pack, repack, take_out
from bloomnet_sb.corpus.tasks import RunTasks, Task, groups_of_size, run_in_processes
from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.many_files import Summary, enhance_many
from bloomnet_sb.inference.places import check_new, name_results
from bloomnet_sb.inference.report import (
    REPORT,
    absolute,
    carried_over,
    first_entries,
    is_result,
    lines_of,
    read_own_report,
    read_report,
    results_before,
    state_of,
)
from bloomnet_sb.inference.workers import Run
from bloomnet_sb.utils.atomic_files import lock_folder, written_whole
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import LeftOut


class Part(NamedTuple):
    """What is enhanced at once, and what becomes of it.

    Arguments
    ---------
    output : Path
        A shard, or for a shard's recordings a folder.
    source : Path, optional
        The shard that it is made of.
    files : list of (Path, Path)
        Or the files, each with the place of its folder.
    first : int
        The number of the first of them in all parts.
    """

    output: Path
    source: Path | None = None
    files: Sequence[tuple[Path, Path]] = ()
    first: int = 0

    @property
    def place(self) -> str:
        """Its absolute path, by which it is known however its folder was spelled."""
        return absolute(self.output)

    @property
    def packed(self) -> bool:
        """Whether it becomes a shard."""
        return self.output.suffix == ".tar"

    def state(self) -> list:
        """What changes when its recordings do."""
        if self.source is not None:
            return state_of(self.source)
        about = [[absolute(file), str(place), state_of(file)] for file, place in self.files]
        return [hashlib.sha256(json.dumps(about).encode()).hexdigest()]


def parts_of_shards(shards: Iterable[Path], folder: Path, packed: bool) -> list[Part]:
    """A part for each shard.

    Arguments
    ---------
    shards : iterable of Path
        The shards.
    folder : Path
        Where the results go.
    packed : bool
        Whether each becomes a shard of its name, or a folder.

    Raises
    ------
    InputError
        If two have one name.

    Example
    -------
    >>> [part.output for part in parts_of_shards([Path("in/a.tar")], Path("out"), packed=False)]
    [PosixPath('out/a')]
    """
    parts: dict[str, Part] = {}
    for shard in shards:
        name = f"{shard.stem}.tar" if packed else shard.stem
        if name in parts:
            raise InputError(f"{folder / name}: would be the result of two shards, one is {shard}")
        if (folder / name).resolve() == shard.resolve():
            raise InputError(f"{shard}: its result would be written over it")
        parts[name] = Part(folder / name, shard)
    return list(parts.values())


def parts_of_files(
    files: Iterable[tuple[Path, Path]], folder: Path, shard_mb: int, name: str = "enhanced"
) -> list[Part]:
    """Parts of files that become shards of about one size.

    Arguments
    ---------
    files : iterable of (Path, Path)
        Files, each with the place of its folder.
    folder : Path
        Where the shards go.
    shard_mb : int
        The size of the files of a shard, in 10^6 bytes.
    name : str
        What the shards' names begin with.

    Example
    -------
    >>> [part.output for part in parts_of_files([(Path("a.wav"), Path("."))], Path("out"), 500)]
    [PosixPath('out/enhanced-000000.tar')]
    """
    sized = ((named, (state_of(named[0]) or [0])[0]) for named in files)
    parts, first = [], 0
    for number, group in enumerate(groups_of_size(sized, shard_mb * 10**6)):
        parts.append(Part(folder / f"{name}-{number:06d}.tar", None, group, first))
        first += len(group)
    return parts


def enhance_parts(
    parts: Sequence[Part],
    folder: Path,
    choice: Choice,
    processes: int = 1,
    force: bool = False,
    left_out: Sequence[LeftOut] = (),
    report: str = REPORT,
    enhancer: BloomEnhancer | None = None,
    run_tasks: RunTasks | None = None,
) -> Summary:
    """Enhance a corpus part by part; one that cannot be does not stop the others.

    The report is that of `enhance_many`, with a line for each part that is complete: one whose
    files failed for a full disk or a dead process is not. What is in work lies in a hidden folder
    beside the results, with a report of its own: after a kill, no file is enhanced again that was.
    Where files are packed into fewer shards than before, the others go when all of them are there.
    While a shard is enhanced, the next is taken out of its tar file, and the one before is packed.

    Arguments
    ---------
    parts : sequence of Part
        The parts.
    folder, choice, processes, force, left_out, report, enhancer
        As `enhance_many` takes them.
    run_tasks : callable, optional
        What runs the parts, in place of processes of this machine.

    Returns
    -------
    Summary
        What became of their files; the errors are those of parts that had been complete, too.

    Raises
    ------
    InputError
        As `enhance_many`.

    Example
    -------
    >>> out = Path(getfixture("tmpdir"))
    >>> files = [(Path("tests/samples/demo/noisy_0dB.flac"), Path("."))]
    >>> choice = Choice("convtasnet-16k", blocks=1)
    >>> enhance_parts(parts_of_files(files, out, 500), out, choice).enhanced
    1
    >>> sorted(path.name for path in out.iterdir())
    ['.lock', 'enhanced-000000.tar', 'report.jsonl']
    """
    path = folder / report
    enhancer = enhancer or choice.load()
    choice.check(enhancer)
    run_tasks = run_tasks or run_in_processes(enhancer, processes)
    head, summary = choice.head(enhancer), Summary(0, 0, [])
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder, "" if report == REPORT else report):
            before = read_own_report(path)
            results = results_before(before)
            own = by_part(results, folder)
            # The report forgets their files at once: those are in other shards, or in none.
            packed = (part.place for part in parts if part.source is None)
            stale = left_over(packed, results, before)
            states = {part.place: part.state() for part in parts if part.output.exists()}
            of_head = before if before and before[0] == head else []
            complete = complete_parts(of_head, states, os.path.lexists, force)
            left = [part for part in parts if part.place not in complete]
            tasks = [PartTask(part, force, own[part.place]) for part in left]
            taken = [(task, error) for task in tasks if (error := task.refused())]
            refused = [(task, task.of_error(error)) for task, error in taken]
            free = [task for task in tasks if task not in dict(taken)]
            # Of no other: what is begun is known as a result.
            beginning = first_entries(head, left_out, (task.part.output for task in free))
            again = {part.place for part in left} | stale
            kept = carried_over(before, head, again, os.path.isfile)
            with written_whole(path) as partial:
                partial.write_text(lines_of([*beginning, *kept]), encoding="utf-8")
            for part in parts:
                if part.place in complete:  # a run may end between its lines and this
                    shutil.rmtree(_work_of(part), ignore_errors=True)
            kept = [e for e in kept if "part" in e and absolute(e["part"]) in complete]
            before_errors = [entry["error"] for entry in kept if entry.get("error")]
            summary = Summary(0, sum(map(is_result, kept)), before_errors)
            made = chain(refused, run_tasks(free, choice))
            hidden = True if len(tasks) <= 1 else None
            for task, entries in tqdm(made, unit="part", total=len(tasks), disable=hidden):
                with open(path, "a", encoding="utf-8") as lines:
                    lines.write(lines_of(entries))
                if is_complete := any("complete" in entry for entry in entries):
                    complete.add(task.part.place)
                _clear_work(task.part, is_complete)
                summary = _added(summary, entries)
            if all(part.place in complete for part in parts):
                _remove(stale & results)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return summary


def _work_of(part: Part) -> Path:
    return part.output.with_name(f".{part.output.name}.work")


def _clear_work(part: Part, complete: bool) -> None:
    """Remove what is taken out of a shard; of a part that is complete, all."""
    work = _work_of(part)
    # Of another, its report knows the results there are, and has none of them made again.
    shutil.rmtree(work if complete else work / "in", ignore_errors=True)
    with suppress(OSError):  # it is not there, or not empty
        work.rmdir()


def _remove(stale: Iterable[str]) -> None:
    """Remove shards, and what a run before had in work of them."""
    for path in map(Path, stale):
        path.unlink(missing_ok=True)
        _clear_work(Part(path), complete=True)


class PartTask(Task):
    """A part that is enhanced; the result is what the report has of it.

    Arguments
    ---------
    part : Part
        The part.
    force : bool
        Whether what is in its place is overwritten.
    own : collection of str
        Absolute paths of results of runs before, which are overwritten.

    Example
    -------
    >>> task = PartTask(Part(Path("out/a"), Path("nowhere.tar")), force=False)
    >>> task.failed("a worker died over it")[0]["error"]
    'nowhere.tar: a worker died over it'
    """

    def __init__(self, part: Part, force: bool, own: Collection[str] = ()):
        self.part, self.force, self.own = part, force, own
        self._members: list[Member] = []
        self._pairs: list[tuple[Path, Path]] = []
        self._state: list = []
        self._error: str | None = None

    def refused(self) -> str:
        """Why it may not be written: it would be over another's shard. Else ""."""
        try:
            is_own = not self.part.packed or self.part.place in self.own
            check_new(self.part.output, self.force or is_own)
        except InputError as error:
            return str(error)
        return ""

    def prepare(self) -> None:
        """Take the recordings out of a shard."""
        self._state = self.part.state()
        try:
            if self.part.source is not None:
                self._members = take_out(self.part.source, _work_of(self.part) / "in")
        except InputError as error:
            self._error = str(error)

    def run(self, enhancer: BloomEnhancer, choice: Choice, run: Run) -> list[dict]:
        """Enhance them; the entries of the work's report."""
        if self._error is not None:
            return []
        part, work = self.part, _work_of(self.part)
        files = part.files or [
            (m.file, m.file.parent.relative_to(work / "in")) for m in self._members
        ]
        self._pairs = name_results(files, work / "out" if part.packed else part.output)
        try:
            enhance_many(
                self._pairs, work, choice,
                force=self.force, enhancer=enhancer, run=run, own=self.own,
            )  # fmt: skip
        except InputError as error:
            self._error = str(error)
            return []
        entries = [entry for entry in read_report(work / REPORT) if "input" in entry]
        found = {absolute(entry["input"]): entry for entry in entries}
        return [  # a run before may have spelled them another way
            found[absolute(path)] | {"input": str(path), "output": str(output)}
            for path, output in self._pairs
        ]

    def finish(self, result: list[dict]) -> list[dict]:
        """Pack the results; the report's entries."""
        if self._error is not None:
            return self.of_error(self._error)
        work = _work_of(self.part)
        good = {entry["input"] for entry in result if is_result(entry)}
        pairs = [(path, output) for path, output in self._pairs if str(path) in good]
        try:
            if self.part.packed and pairs:
                _pack(self.part, self._members, pairs)
        except InputError as error:
            return self.of_error(str(error))
        entries = [_renamed(entry, self.part, work) for entry in result]
        if any(entry.get("again") for entry in entries):
            return entries
        return [*entries, {"part": str(self.part.output), "complete": self._state}]

    def failed(self, reason: str) -> list[dict]:
        """The part with the reason."""
        return self.of_error(f"{self.part.source or self.part.output}: {reason}")

    def of_error(self, error: str) -> list[dict]:
        """The entries of a part that could not be made."""
        about = {"input": str(self.part.source or self.part.output)}
        about |= {"output": str(self.part.output), "part": str(self.part.output)}
        return [about | {"state": [], "error": error, "notes": []}]


def _pack(part: Part, members: list[Member], results: list[tuple[Path, Path]]) -> None:
    if part.source is None:
        root = _work_of(part) / "out"
        named = [Packed(result.relative_to(root).as_posix(), result) for _, result in results]
        return pack(named, part.first, part.output)
    names = {member.file: member.name for member in members}
    repack(part.source, {names[path]: result for path, result in results}, part.output)


def _renamed(entry: dict, part: Part, work: Path) -> dict:
    """An entry of the work's report as that of the whole has it: by names that stay."""
    entry = entry | {"part": str(part.output)}
    if part.source is not None:
        for key in ("input", "error"):
            entry[key] = entry[key] and entry[key].replace(str(work / "in"), str(part.source))
    if part.packed:
        entry["output"] = str(part.output)
    return entry


def _added(summary: Summary, entries: list[dict]) -> Summary:
    errors = [entry["error"] for entry in entries if entry.get("error")]
    enhanced = sum(map(is_result, entries))
    return Summary(summary.enhanced + enhanced, summary.skipped, summary.errors + errors)
