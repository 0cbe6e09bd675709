"""Enhancing batches of files, in one process or several."""

import copy
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import (
    FIRST_COMPLETED,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import asdict
from functools import cache
from itertools import chain
from operator import itemgetter
from queue import SimpleQueue
from threading import Lock

import torch

from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.report import Job, Outcome, Result
from bloomnet_sb.utils.errors import InputError, NotWritten
from bloomnet_sb.utils.processes import end_with_parent, worker_context

# Of a process whose network is on an accelerator: while one computes, the other reads or writes.
# On a CPU it has one. A second takes Python's lock from the first at every operation, which costs
# more than it reads and writes, also where the files come from a disk (1.3 times the time of a
# core, 1.1 of the clock with a core to spare).
THREADS = 2
# So many batches, and seconds of audio, are handed to a process at once: a kill loses no more. So
# many of such groups wait for each process.
GROUP_SIZE, GROUP_SECONDS, GROUPS_AHEAD = 8, 60.0, 2

Batch = list[Job]
Group = list[Batch]
# What enhances batches, and gives each file with what became of it as they are done
Run = Callable[[list[Batch], Choice], Iterator[Result]]


class _Ended(Exception):
    """The run ends before this file does."""


class _Turn:
    """Lets one thread compute at a time, until it is ended."""

    def __init__(self) -> None:
        self._lock, self._ended = Lock(), False

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._ended:
            self._lock.release()
            raise _Ended

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def end(self) -> None:
        """Have threads end where they would compute next."""
        self._ended = True


def enhance_batches(
    enhancer: BloomEnhancer, batches: list[Batch], choice: Choice
) -> Iterator[Result]:
    """Enhance files in this process, as their turn comes.

    Arguments
    ---------
    enhancer : BloomEnhancer
        The network.
    batches : list of list of Job
        The files of each are alike, see `BloomEnhancer.enhance_alike`, or one.
    choice : Choice
        How it runs.

    Yields
    ------
    (Job, Outcome)
        Each file with what became of it, in order.

    Example
    -------
    >>> from pathlib import Path
    >>> choice, out = Choice("convtasnet-16k", 1), Path(getfixture("tmpdir")) / "clean.flac"
    >>> job = Job(Path("tests/samples/demo/noisy_0dB.flac"), out, [])
    >>> [(_, outcome)] = enhance_batches(choice.load(), [[job]], choice)
    >>> outcome.measures["seconds"], outcome.measures["blocks"]
    (6.224, {'1': 1})
    """
    turn, free = _Turn(), SimpleQueue[BloomEnhancer]()
    count = 1 if torch.device(enhancer.device).type == "cpu" else THREADS
    for _ in range(count):
        free.put(one := copy.copy(enhancer))  # with the same network
        one.turn = turn

    def enhance(batch: Batch) -> list[Outcome]:
        one = free.get()
        try:
            return _enhance(one, batch, choice)
        finally:
            free.put(one)

    waiting: deque[tuple[Batch, Future]] = deque()
    left, used = iter(batches), time.process_time()
    threads = ThreadPoolExecutor(count)
    try:
        while True:
            for batch in left:
                waiting.append((batch, threads.submit(enhance, batch)))
                if len(waiting) > count:
                    break
            if not waiting:
                return
            batch, future = waiting.popleft()
            outcomes = future.result()
            before, used = used, time.process_time()
            for job, outcome in zip(batch, outcomes, strict=True):
                # Of all threads, since the batch before: right in the sum
                outcome.measures["core_seconds"] = round((used - before) / len(batch), 3)
                yield job, outcome
    finally:
        turn.end()
        threads.shutdown(cancel_futures=True)


def enhance_in_processes(batches: list[Batch], choice: Choice, processes: int) -> Iterator[Result]:
    """Enhance files in several processes of one thread for computing.

    A file over which a process dies has an error of its own, and does not stop the others.

    Arguments
    ---------
    batches, choice
        As `enhance_batches` takes them.
    processes : int
        How many.

    Yields
    ------
    (Job, Outcome)
        Each file with what became of it, as they are done.

    Example
    -------
    >>> list(enhance_in_processes([], Choice("convtasnet-16k"), processes=2))
    []
    """
    while batches:
        lost = yield from _in_pool(groups_of(batches), choice, processes)
        # Groups are begun in their order: one of the first was with the process that died.
        yield from _one_by_one(list(chain.from_iterable(chain(*lost[:processes]))), choice)
        batches = list(chain(*lost[processes:]))


def groups_of(batches: list[Batch]) -> list[Group]:
    """Batches that one process gets at once: few, and not much to do again after a kill.

    Example
    -------
    >>> from pathlib import Path
    >>> jobs = [Job(Path("a.wav"), Path("out/a.wav"), [], seconds) for seconds in (50, 20, 1)]
    >>> [len(group) for group in groups_of([[job] for job in jobs])]
    [1, 2]
    """
    groups: list[Group] = []
    seconds = 0.0
    for batch in batches:
        seconds += (of_this := sum(job.seconds for job in batch))
        if not groups or len(groups[-1]) == GROUP_SIZE or seconds > GROUP_SECONDS:
            groups.append([])
            seconds = of_this
        groups[-1].append(batch)
    return groups


def _one_by_one(jobs: list[Job], choice: Choice) -> Iterator[Result]:
    """Each job with what became of it, in another process where one died."""
    while jobs:
        lost = yield from _in_pool([[[job]] for job in jobs], choice, 1)
        jobs = [job for ((job,),) in lost]
        if jobs:
            error = f"{jobs[0].path}: a process died over it, for want of memory perhaps"
            yield jobs.pop(0), Outcome(error, again=True)


def _in_pool(
    groups: list[Group], choice: Choice, processes: int
) -> Generator[Result, None, list[Group]]:
    """Each job with what became of it; returns the groups that are left where a process died."""
    context, processes = worker_context(__name__), min(processes, max(len(groups), 1))
    pool = ProcessPoolExecutor(processes, context, initializer=_start_worker)
    waiting, running = deque(enumerate(groups)), dict[Future, tuple[int, Group]]()
    lost: list[tuple[int, Group]] = []
    try:
        while running or (waiting and not lost):
            with suppress(BrokenProcessPool):
                # Few at a time, as a corpus has a million files
                while waiting and not lost and len(running) < GROUPS_AHEAD * processes:
                    future = pool.submit(_enhance_in_worker, waiting[0][1], choice)
                    running[future] = waiting.popleft()
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                if isinstance(future.exception(), BrokenProcessPool):
                    lost.append(running.pop(future))
                else:
                    yield from future.result()
                    del running[future]
    finally:
        pool.shutdown(cancel_futures=True)
    return [group for _, group in sorted(lost, key=itemgetter(0))] + [group for _, group in waiting]


def _enhance(enhancer: BloomEnhancer, batch: Batch, choice: Choice) -> list[Outcome]:
    """Enhance files together; what became of each."""
    if len(batch) > 1:
        # Where one of them cannot be, the others can alone.
        blocks = choice.blocks
        assert not isinstance(blocks, str)  # those are not in batches
        with suppress(InputError):
            files = [(job.path, job.output) for job in batch]
            enhancer.enhance_alike(files, blocks, **asdict(choice.amount))
            return [_outcome(enhancer, job) for job in batch]
    return [_enhance_one(enhancer, job, choice) for job in batch]


def _enhance_one(enhancer: BloomEnhancer, job: Job, choice: Choice) -> Outcome:
    try:
        amount = asdict(choice.amount)
        enhancer.enhance_file(job.path, job.output, choice.blocks, choice.min_gain_db, **amount)
    except InputError as error:
        return Outcome(str(error), again=isinstance(error, NotWritten))
    return _outcome(enhancer, job)


def _outcome(enhancer: BloomEnhancer, job: Job) -> Outcome:
    depths = {str(depth): count for depth, count in sorted(Counter(enhancer.blocks_used).items())}
    measures = enhancer.measures[str(job.path)] | {"blocks": depths}
    return Outcome(None, enhancer.notes[str(job.path)], measures)


def _start_worker() -> None:
    torch.set_num_threads(1)
    end_with_parent()


def _enhance_in_worker(group: Group, choice: Choice) -> list[Result]:
    return list(enhance_batches(_enhancer(choice), group, choice))


@cache
def _enhancer(choice: Choice) -> BloomEnhancer:
    return choice.load()
