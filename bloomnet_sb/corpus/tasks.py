"""What a corpus is done by: tasks, each read, computed and written, one beside the other."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.report import Outcome, Result
from bloomnet_sb.inference.workers import Group, Run, enhance_batches, enhance_in_processes

Item = TypeVar("Item")


class Task(ABC):
    """A share of the work, which can be pickled until it is prepared.

    What it raises ends the run; what is wrong with its files is in its result.

    Example
    -------
    See `GroupTask`.
    """

    def prepare(self) -> None:
        """Read what it takes, while another task computes."""
        return

    @abstractmethod
    def run(self, enhancer: BloomEnhancer, choice: Choice, run: Run) -> Any:
        """Compute its result: by `run`, where that is not asked of the enhancer itself."""

    def finish(self, result: Any) -> Any:
        """Write what it computed, while another task computes; its result."""
        return result

    @abstractmethod
    def failed(self, reason: str) -> Any:
        """Its result where no worker lives through it."""


# What runs tasks, and gives each with its result as they are done
RunTasks = Callable[[Sequence[Any], Choice], Iterator[tuple[Any, Any]]]


class GroupTask(Task):
    """Files that a worker enhances at once; the result is what became of each.

    Arguments
    ---------
    group : list of list of Job
        Batches, see `bloomnet_sb.inference.workers.groups_of`.

    Example
    -------
    >>> GroupTask([]).failed("a worker died over it")
    []
    """

    def __init__(self, group: Group):
        self.group = group

    def run(self, enhancer: BloomEnhancer, choice: Choice, run: Run) -> list[Result]:
        """Enhance the files."""
        return list(run(self.group, choice))

    def failed(self, reason: str) -> list[Result]:
        """Each file with the reason."""
        return [(job, Outcome(f"{job.path}: {reason}")) for batch in self.group for job in batch]


def run_here(enhancer: BloomEnhancer, run: Run | None = None) -> RunTasks:
    """What runs tasks in this process, one after the other.

    While one computes, the next is prepared and the one before is finished.

    Arguments
    ---------
    enhancer : BloomEnhancer
        The network.
    run : callable, optional
        What enhances batches, where it is not this process.

    Returns
    -------
    callable
        Of tasks and the choice.

    Example
    -------
    >>> choice = Choice("convtasnet-16k")
    >>> [result for _, result in run_here(choice.load())([GroupTask([])], choice)]
    [[]]
    """
    batches = run or partial(enhance_batches, enhancer)

    def run_tasks(tasks: Sequence[Task], choice: Choice) -> Iterator[tuple[Task, Any]]:
        with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            ahead = [reader.submit(task.prepare) for task in tasks[:1]]
            behind = []
            for number, task in enumerate(tasks, 1):
                ahead += [reader.submit(after.prepare) for after in tasks[number : number + 1]]
                ahead.pop(0).result()
                result = task.run(enhancer, choice, batches)
                behind.append((task, writer.submit(task.finish, result)))
                if len(behind) > 1:
                    before, finished = behind.pop(0)
                    yield before, finished.result()
            for before, finished in behind:
                yield before, finished.result()

    return run_tasks


def run_in_processes(enhancer: BloomEnhancer, processes: int) -> RunTasks:
    """What runs tasks here, with the batches of each in so many processes.

    Example
    -------
    >>> choice = Choice("convtasnet-16k")
    >>> list(run_in_processes(choice.load(), processes=1)([], choice))
    []
    """
    several = partial(enhance_in_processes, processes=processes)
    return run_here(enhancer, several if processes > 1 else None)


def groups_of_size(
    sized: Iterable[tuple[Item, int]], most_bytes: int, most: int | None = None
) -> list[list[Item]]:
    """Items with their sizes, in groups of at most so many bytes and items; each has one at least.

    Example
    -------
    >>> groups_of_size([("a", 3), ("b", 3), ("c", 9)], most_bytes=6)
    [['a', 'b'], ['c']]
    """
    groups: list[list[Item]] = []
    size = 0
    for item, of_this in sized:
        size += of_this
        if not groups or size > most_bytes or len(groups[-1]) == most:
            groups.append([])
            size = of_this
        groups[-1].append(item)
    return groups
