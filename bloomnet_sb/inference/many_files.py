"""Enhancing many files: in several processes, failures noted, going on where it was stopped."""

import json
from collections import defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from bloomnet_sb.inference.base import AUTO
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.places import check_new, check_outputs
from bloomnet_sb.utils.atomic_files import lock_folder, written_whole
from bloomnet_sb.utils.audio_files import audio_info
from bloomnet_sb.utils.errors import InputError, check_blocks, check_positive
from bloomnet_sb.utils.folders import LeftOut
from bloomnet_sb.utils.processes import end_with_parent

REPORT = "report.jsonl"

# Of one length, up to this many files as short as this are enhanced in one batch: half of the time
# for half a second. Longer ones gain nothing.
SHORT_SECONDS, BATCH_SIZE = 1.0, 4

# An input, its output, and what changes when the input does.
Job = tuple[Path, Path, list[int]]


class Outcome(NamedTuple):
    """What became of a file: the error, if there was one, and notes on its result."""

    error: str | None
    notes: Sequence[str] = ()


Result = tuple[Job, Outcome]


@dataclass(frozen=True)
class Choice:
    """The network, and how it is to be run on every file.

    Arguments
    ---------
    source : str
        As `BloomEnhancer.from_hparams` takes it.
    blocks : int or "auto", optional
        As `BloomEnhancer.enhance_file` takes it. Default: all.
    min_gain_db : float
        As `BloomEnhancer.enhance_file` takes it.
    """

    source: str
    blocks: int | str | None = None
    min_gain_db: float = -20.0


@dataclass(frozen=True)
class Summary:
    """How many files were enhanced, how many had been before, and what went wrong with others."""

    enhanced: int
    skipped: int
    errors: list[str]


def enhance_many(
    files: Iterable[tuple[Path, Path]],
    folder: Path,
    choice: Choice,
    processes: int = 1,
    force: bool = False,
    left_out: Sequence[LeftOut] = (),
) -> Summary:
    """Enhance files, each to a place of its own; one that cannot be does not stop the others.

    The folder gets report.jsonl: a line for the choice and the network's weights, one for each file
    that was left out when the inputs were listed, one for each result that is begun, then one for
    each file as it is done, with notes on what its result does not keep, and the error where there
    was one. Started again with the same
    choice and network, files are skipped that were enhanced and have not changed since; with
    others, all are enhanced again. What is there and is no result of a run before is left alone.

    Arguments
    ---------
    files : iterable of (Path, Path)
        Inputs and outputs.
    folder : Path
        Where the report goes.
    choice : Choice
        The network, and how it runs.
    processes : int
        How many files are enhanced at a time. With more than one, each has a thread.
    force : bool
        Whether files are overwritten that are no results of a run before.
    left_out : sequence of LeftOut
        What was left out, for the report.

    Returns
    -------
    Summary
        What became of them.

    Raises
    ------
    InputError
        If the network cannot be loaded or has not so many blocks, an input is an output, the report
        cannot be written, or another process is at work in the folder.

    Example
    -------
    >>> out = Path(getfixture("tmpdir"))
    >>> files = [(Path("tests/samples/demo/noisy_0dB.flac"), out / "enhanced.flac")]
    >>> enhance_many(files, out, Choice("convtasnet-16k", blocks=1)).enhanced
    1
    >>> enhance_many(files, out, Choice("convtasnet-16k", blocks=1)).skipped
    1
    """
    check_positive(processes=processes)
    report = folder / REPORT
    enhancer = BloomEnhancer.from_hparams(source=choice.source)
    if choice.blocks is not None and choice.blocks != AUTO:
        check_blocks(choice.blocks, enhancer.num_blocks)
    head = asdict(choice) | {"network": enhancer.mods.model.fingerprint()}
    jobs = [(path, output, _state(path)) for path, output in files]
    check_outputs((path, output) for path, output, _ in jobs)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder):
            before = _entries(report)
            done = _done(before, head)
            left = [job for job in jobs if _key(*job) not in done]
            free, taken = _free(left, _results_of(before), force)
            # Said before they are written: a run that is killed knows them again.
            begun = [{"begun": str(output)} for _, output, _ in free]
            entries = [head, *map(_left_out_entry, left_out), *begun, *done.values()]
            with written_whole(report) as partial:
                partial.write_text("".join(map(_line, entries)), encoding="utf-8")
            results = chain(taken, _results(enhancer, free, choice, processes))
            errors = _write_report(results, report, len(left))
    except OSError as error:
        raise InputError(f"{report}: cannot be written ({error.strerror})") from None
    return Summary(len(left) - len(errors), len(jobs) - len(left), errors)


def _free(jobs: list[Job], own: set[str], force: bool) -> tuple[list[Job], list[Result]]:
    """Jobs that overwrite nothing but results of runs before, and those that would."""
    free, taken = [], []
    for job in jobs:
        try:
            check_new(job[1], force or str(job[1]) in own)
            free.append(job)
        except InputError as error:
            taken.append((job, Outcome(str(error))))
    return free, taken


def _write_report(results: Iterable[Result], report: Path, count: int) -> list[str]:
    """Write a line for each result as it comes; the errors."""
    errors = []
    with open(report, "a", encoding="utf-8") as lines:
        # None: only where there is a terminal.
        bar = tqdm(results, total=count, unit="file", disable=True if count <= 1 else None)
        for job, outcome in bar:
            lines.write(_line(_entry(job, outcome)))
            lines.flush()
            errors += [outcome.error] if outcome.error else []
    return errors


def _results(
    enhancer: BloomEnhancer, left: list[Job], choice: Choice, processes: int
) -> Iterator[Result]:
    """Each job with what became of it, as they are done."""
    batches = [[job] for job in left] if choice.blocks == AUTO else _batches(left)
    if processes == 1 or len(batches) <= 1:
        for batch in batches:
            yield from zip(batch, _enhance(enhancer, batch, choice), strict=True)
        return
    while batches:
        lost = yield from _in_processes(batches, choice, processes)
        # Batches are begun in their order: one of the first was with the process that died.
        for job in chain.from_iterable(lost[:processes]):
            if (yield from _in_processes([[job]], choice, 1)):
                error = f"{job[0]}: a process died over it, for want of memory perhaps"
                yield job, Outcome(error)
        batches = lost[processes:]


def _in_processes(
    batches: list[list[Job]], choice: Choice, processes: int
) -> Generator[Result, None, list[list[Job]]]:
    """Each job with what became of it; returns the batches that are left where a process died."""
    # Started anew: a fork of a process that has run torch may hang.
    pool = ProcessPoolExecutor(
        min(processes, len(batches)), get_context("spawn"), initializer=_start_worker
    )
    left, futures = list(batches), {}
    try:
        with suppress(BrokenProcessPool):
            for batch in batches:
                futures[pool.submit(_enhance_in_worker, batch, choice)] = batch
        for future in as_completed(futures):
            if not isinstance(future.exception(), BrokenProcessPool):
                yield from zip(futures[future], future.result(), strict=True)
                left.remove(futures[future])
    finally:
        pool.shutdown(cancel_futures=True)
    return left


def _batches(jobs: list[Job]) -> list[list[Job]]:
    """Short files of one length in batches, any other alone."""
    alike = defaultdict(list)
    for job in jobs:
        alike[_length_of_short(job[0])].append(job)
    alone = [[job] for job in alike.pop(None, [])]
    return alone + [
        batch[start : start + BATCH_SIZE]
        for batch in alike.values()
        for start in range(0, len(batch), BATCH_SIZE)
    ]


def _length_of_short(path: Path) -> tuple[int, int] | None:
    """Samples and rate of a readable file of one channel and of a second at most."""
    try:
        info = audio_info(path)
    except InputError:
        return None
    short = info.channels == 1 and info.frames <= SHORT_SECONDS * info.samplerate
    return (info.frames, info.samplerate) if short else None


def _enhance(enhancer: BloomEnhancer, batch: list[Job], choice: Choice) -> list[Outcome]:
    """Enhance files together; what became of each."""
    if len(batch) > 1:
        # Where one of them cannot be, the others can alone.
        blocks = choice.blocks
        assert not isinstance(blocks, str)  # those are not in batches
        with suppress(InputError):
            enhancer.enhance_alike([(path, output) for path, output, _ in batch], blocks)
            return [Outcome(None, enhancer.notes[str(path)]) for path, *_ in batch]
    return [_enhance_one(enhancer, job, choice) for job in batch]


def _enhance_one(enhancer: BloomEnhancer, job: Job, choice: Choice) -> Outcome:
    path, output, _ = job
    try:
        enhancer.enhance_file(path, output, choice.blocks, choice.min_gain_db)
    except InputError as error:
        return Outcome(str(error))
    return Outcome(None, enhancer.notes[str(path)])


def _start_worker() -> None:
    torch.set_num_threads(1)
    end_with_parent()


def _enhance_in_worker(batch: list[Job], choice: Choice) -> list[Outcome]:
    return _enhance(_enhancer(choice.source), batch, choice)


@cache
def _enhancer(source: str) -> BloomEnhancer:
    return BloomEnhancer.from_hparams(source=source)


def _state(path: Path) -> list[int]:
    """What changes when a file does."""
    try:
        about = path.stat()
    except OSError:
        return []
    return [about.st_size, about.st_mtime_ns]


def _key(path: Path | str, output: Path | str, state: list[int]) -> tuple:
    return str(path), str(output), tuple(state)


def _entry(job: Job, outcome: Outcome) -> dict:
    path, output, state = job
    about = {"input": str(path), "output": str(output), "state": state}
    return about | {"error": outcome.error, "notes": outcome.notes}


def _left_out_entry(item: LeftOut) -> dict:
    return {"left_out": str(item.path), "reason": item.reason}


def _line(entry: dict) -> str:
    return json.dumps(entry) + "\n"


def _entries(report: Path) -> list[dict]:
    """What a report holds; nothing if it is none."""
    try:
        lines = report.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return []
    entries = []
    for line in lines:
        with suppress(ValueError):  # the last line of a run that was killed may be cut short
            entries.append(json.loads(line))
    return entries


def _done(entries: list[dict], head: dict) -> dict[tuple, dict]:
    """The entries of a report of the same choice and network whose results are there."""
    if not entries or entries[0] != head:
        return {}
    return {
        _key(entry["input"], entry["output"], entry["state"]): entry
        for entry in entries
        if _is_result(entry) and Path(entry["output"]).is_file()
    }


def _results_of(entries: list[dict]) -> set[str]:
    """What runs before have written, or begun to write."""
    own: set[str] = set()
    for entry in entries:
        if "begun" in entry:
            own.add(entry["begun"])
        elif _is_result(entry):
            own.add(entry["output"])
        elif "output" in entry:
            own.discard(entry["output"])
    return own


def _is_result(entry: dict) -> bool:
    return "output" in entry and entry["error"] is None
