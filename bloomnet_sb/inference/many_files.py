"""Enhancing many files: in several processes, failures noted, going on where it was stopped."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from os.path import isfile
from pathlib import Path

from tqdm import tqdm

from bloomnet_sb.inference.base import AUTO
from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.places import check_new, check_outputs
from bloomnet_sb.inference.report import (
    REPORT,
    Job,
    Outcome,
    Result,
    absolute,
    carried_over,
    done_before,
    entry_of,
    first_entries,
    lines_of,
    read_own_report,
    results_before,
    state_of,
)
from bloomnet_sb.inference.workers import Run, enhance_batches, enhance_in_processes
from bloomnet_sb.utils.atomic_files import lock_folder, written_whole
from bloomnet_sb.utils.audio_files import audio_info
from bloomnet_sb.utils.errors import InputError, check_positive
from bloomnet_sb.utils.folders import LeftOut

# Of one length, up to this many files as short as this are enhanced in one batch: half of the time
# for half a second. Longer ones gain nothing.
SHORT_SECONDS, BATCH_SIZE = 1.0, 4
BAR = "{percentage:3.0f}%|{bar}| {n:.2f} of {total:.2f} h{postfix} [{elapsed}, {remaining} left]"


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
    report: str = REPORT,
    enhancer: BloomEnhancer | None = None,
    run: Run | None = None,
    own: Collection[str] = (),
) -> Summary:
    """Enhance files, each to a place of its own; one that cannot be does not stop the others.

    The folder gets report.jsonl: a line for the choice and the network's weights, one for each file
    that was left out when the inputs were listed, one for each result that is begun, then one for
    each file as it is done, with notes on what its result does not keep, and the error where there
    was one. Started again with the same
    choice and network, files are skipped that were enhanced and have not changed since, by whatever
    path they are named; with others, all are enhanced again. What is there and is no result of a
    run before is left alone.

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
    report : str
        The report's name, where several runs write to one folder. Default: report.jsonl.
    enhancer : BloomEnhancer, optional
        What the choice loads, where it is loaded already.
    run : callable, optional
        What enhances the batches, in place of processes of this machine.
    own : collection of str
        Absolute paths that are results of runs before, beside those that the report names.

    Returns
    -------
    Summary
        What became of them.

    Raises
    ------
    InputError
        If the network cannot be loaded or has not so many blocks, an input is an output, the report
        cannot be written or is another's file, or another process is at work in the folder.

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
    path = folder / report
    enhancer = enhancer or choice.load()
    choice.check(enhancer)
    head = choice.head(enhancer)
    check_outputs(files := list(files))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock_folder(folder, "" if report == REPORT else report):
            before = read_own_report(path)
            done = done_before(before, head)
            jobs = [Job(file, output, state_of(file)) for file, output in files]
            left = [job for job in jobs if job.key not in done]
            free, taken = _free(left, results_before(before).union(own), force)
            again = {absolute(job.output) for job in left}
            kept = carried_over(before, head, again, isfile)
            beginning = first_entries(head, left_out, (job.output for job in free))
            with written_whole(path) as partial:
                partial.write_text(lines_of([*beginning, *kept]), encoding="utf-8")
            results = chain(taken, _results(enhancer, free, choice, processes, run))
            errors = _write_report(results, path)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    return Summary(len(left) - len(errors), len(jobs) - len(left), errors)


def _free(jobs: list[Job], own: set[str], force: bool) -> tuple[list[Job], list[Result]]:
    """Jobs that overwrite nothing but results of runs before, and those that would."""
    free, taken = [], []
    for job in jobs:
        try:
            check_new(job.output, force or absolute(job.output) in own)
            free.append(job)
        except InputError as error:
            taken.append((job, Outcome(str(error))))
    return free, taken


def _write_report(results: Iterable[Result], report: Path) -> list[str]:
    """Write a line for each result as it comes; the errors."""
    errors = []
    with open(report, "a", encoding="utf-8") as lines:
        for job, outcome in results:
            lines.write(lines_of([entry_of(job, outcome)]))
            lines.flush()
            errors += [outcome.error] if outcome.error else []
    return errors


def _results(
    enhancer: BloomEnhancer, left: list[Job], choice: Choice, processes: int, run: Run | None
) -> Iterator[Result]:
    """Each job with what became of it, as they are done, with a progress bar at a terminal."""
    batches = _batches(left, together=choice.blocks != AUTO)
    if run is None and processes > 1 and len(batches) > 1:
        run = partial(enhance_in_processes, processes=processes)
    elif run is None:
        run = partial(enhance_batches, enhancer)
    total = sum(job.seconds for job in chain.from_iterable(batches))
    # None: only where there is a terminal. Files differ in length: the time left is by hours.
    with tqdm(total=total / 3600, bar_format=BAR, disable=True if len(left) <= 1 else None) as bar:
        for count, (job, outcome) in enumerate(run(batches, choice), 1):
            yield job, outcome
            bar.set_postfix_str(f"{count} of {len(left)} files", refresh=False)
            bar.update(job.seconds / 3600)


def _batches(jobs: list[Job], together: bool) -> list[list[Job]]:
    """Short files of one length in batches, if any are to be together; any other alone."""
    alone, alike = [], defaultdict(list)
    for job in jobs:
        try:
            info = audio_info(job.path)
        except InputError:  # which is said when its turn comes
            alone.append([job])
            continue
        job = job._replace(seconds=info.frames / info.samplerate)
        if together and info.channels == 1 and job.seconds <= SHORT_SECONDS:
            alike[info.frames, info.samplerate].append(job)
        else:
            alone.append([job])
    return alone + [
        batch[start : start + BATCH_SIZE]
        for batch in alike.values()
        for start in range(0, len(batch), BATCH_SIZE)
    ]
