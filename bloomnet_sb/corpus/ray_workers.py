"""Workers on the machines of a Ray cluster, each with the network loaded once, and their tasks."""

import logging
import os
import platform
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bloomnet_sb.corpus.tasks import Task
from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.workers import enhance_batches, enhance_in_processes
from bloomnet_sb.utils.errors import InputError, Stopped

logger = logging.getLogger(__name__)

# With a worker at once: while one is computed, the other is read or written.
TASKS_AHEAD = 2
# Over so many deaths of workers that were not their machine's, a task runs in a process beside the
# worker, which names the file that it dies over; over so many it is given up.
DEATHS_TILL_ALONE, MOST_DEATHS = 2, 5
# So many workers that die as they start, one after the other, end the run.
MOST_FAILED_STARTS = 5
# How often machines that come or go are looked for, and after how long without a worker a user is
# told of it
LOOK_SECONDS, PATIENCE_SECONDS = 5.0, 60.0


@dataclass(frozen=True)
class RayOptions:
    """Which cluster, and what of it.

    Arguments
    ---------
    address : str
        HOST:PORT of a cluster, ray://HOST:PORT for a client of it, "auto" for that which runs on
        this machine, "local" for one that is started here and ends with the run; "" for the one
        that RAY_ADDRESS names or that runs here, or else "local".
    workers : int, optional
        How many workers. Default: as many as there is room for.
    num_cpus, num_gpus : float
        What each of them has: cores, of which whole ones are threads of the network, and GPUs, of
        which 0.25 is a quarter.

    Example
    -------
    >>> RayOptions("head:6379", num_cpus=2).num_cpus
    2
    """

    address: str = ""
    workers: int | None = None
    num_cpus: float = 1.0
    num_gpus: float = 0.0

    def __post_init__(self) -> None:
        for name, value, least in (
            ("num_cpus", self.num_cpus, 0.01),
            ("num_gpus", self.num_gpus, 0),
        ):
            if not value >= least:
                raise InputError(f"{name} is {value}, but must be {least} or more")


@dataclass(frozen=True)
class Network:
    """What a worker loads, and where it stands.

    Arguments
    ---------
    choice : Choice
        The network, and how it runs.
    head : dict
        What it must be, see `Choice.head`.
    folder : str, optional
        Where relative paths begin.
    output : Path, optional
        The folder of the results, locked, where all machines must see it.
    """

    choice: Choice
    head: dict
    folder: str | None = None
    output: Path | None = None


class Worker:
    """An actor: the network, and one task after the other."""

    def __init__(self) -> None:
        self._turn = threading.Lock()

    def load(self, network: Network, needed: str, threads: int) -> str:
        """Load the network; the identity of this machine in the cluster."""
        import ray

        machine = platform.node()
        if (here := version("bloomnet_sb")) != needed:
            raise InputError(f"{machine}: has bloomnet_sb {here}, but must have {needed}")
        if network.folder is not None:
            if not os.path.isdir(network.folder):
                raise InputError(
                    f"{machine}: has no folder {network.folder}, where this command runs; run it "
                    "in one that all machines see"
                )
            os.chdir(network.folder)
        if network.output is not None and not any(network.output.glob(".lock*")):
            raise InputError(
                f"{network.output}: not the same folder on {machine}; name one on a file system "
                "that all machines see, or in a store, such as s3://bucket/folder"
            )
        torch.set_num_threads(threads)
        self._choice, self._enhancer = network.choice, network.choice.load()
        if network.choice.head(self._enhancer) != network.head:
            raise InputError(f"{machine}: has another network of the name {network.choice.source}")
        return ray.get_runtime_context().get_node_id()

    def run(self, task: Task, alone: bool) -> Any:
        """The result of a task; read and written beside the computing of another."""
        task.prepare()
        run = partial(enhance_batches, self._enhancer)
        if alone:
            run = partial(enhance_in_processes, processes=1)
        with self._turn:
            result = task.run(self._enhancer, self._choice, run)
        return task.finish(result)


@dataclass
class _Ready:
    """A worker that has loaded the network, its machine, and the tasks that it has."""

    machine: str
    tasks: dict[Any, int] = field(default_factory=dict)


class Pool:
    """The workers, and which task is where."""

    def __init__(self, tasks: Sequence[Task], network: Network, options: RayOptions):
        import ray

        self._ray, self._tasks, self._network, self._options = ray, tasks, network, options
        # What a worker that died, alone or with its machine, leaves of its tasks
        self._lost = (
            ray.exceptions.RayActorError,
            ray.exceptions.OutOfMemoryError,
            ray.exceptions.WorkerCrashedError,
            ray.exceptions.NodeDiedError,
            ray.exceptions.ObjectLostError,
        )
        resources = {"num_cpus": options.num_cpus, "num_gpus": options.num_gpus}
        # One thread more, as a task is read or written while another is computed
        self._actor: Any = ray.remote(Worker).options(max_concurrency=TASKS_AHEAD, **resources)
        self._waiting = deque(range(len(tasks)))
        self._deaths: dict[int, int] = {}
        self._starting: dict[Any, Any] = {}
        self._ready: dict[Any, _Ready] = {}
        self._failed_starts = 0
        self._looked = self._seen = time.monotonic()
        self._here = ray.get_runtime_context().get_node_id()
        self._room = self._find_room()

    @property
    def left(self) -> bool:
        """Whether there are tasks without a result."""
        return bool(self._waiting) or any(worker.tasks for worker in self._ready.values())

    def step(self) -> Iterator[tuple[Task, Any]]:
        """Wait for something to be done, and give what is."""
        self._start_workers()
        self._hand_out()
        running = [task for worker in self._ready.values() for task in worker.tasks]
        done, _ = self._ray.wait([*self._starting, *running], timeout=LOOK_SECONDS)
        dead: dict[Any, None] = {}
        for reference in done:
            if reference in self._starting:
                self._started(reference)
                continue
            (actor,) = (a for a, worker in self._ready.items() if reference in worker.tasks)
            try:
                result = self._value(reference)
            except self._lost:
                dead[actor] = None
                continue
            yield self._tasks[self._ready[actor].tasks.pop(reference)], result
        for actor in dead:
            yield from self._bury(actor)

    def end(self) -> None:
        """End the workers, and what they have at hand."""
        for actor in (*self._starting.values(), *self._ready):
            self._ray.kill(actor)

    def _alive(self) -> dict[str, dict[str, float]]:
        """The machines of the cluster, and what each has."""
        machines = {n["NodeID"]: n["Resources"] for n in self._ray.nodes() if n["Alive"]}
        if self._here not in machines:
            raise Stopped("Ray has ended on this machine; start it, then this command, again")
        return machines

    def _find_room(self) -> int:
        """How many workers are to be."""
        machines = self._alive().values()
        if self._options.workers is not None:
            return self._options.workers
        asked = {"CPU": self._options.num_cpus, "GPU": self._options.num_gpus}
        asked = {name: count for name, count in asked.items() if count}
        return sum(min(int(has.get(name, 0) / asked[name]) for name in asked) for has in machines)

    def _start_workers(self) -> None:
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            self._looked, self._room = now, self._find_room()
        if self._ready:
            self._seen = now
        elif now - self._seen > PATIENCE_SECONDS:
            self._seen = now
            logger.warning(
                "no worker could be started yet: each asks the cluster for %g CPUs and %g GPUs",
                self._options.num_cpus, self._options.num_gpus,
            )  # fmt: skip
        most = min(max(self._room, 1), len(self._waiting) + len(self._ready))
        threads = max(int(self._options.num_cpus), 1)
        while len(self._starting) + len(self._ready) < most:
            actor = self._actor.remote()
            loading = actor.load.remote(self._network, version("bloomnet_sb"), threads)
            self._starting[loading] = actor

    def _hand_out(self) -> None:
        """Give each worker a task, and a second one while there are more of them than workers."""
        for _ in range(TASKS_AHEAD):
            for actor, worker in self._ready.items():
                enough = 0 if not worker.tasks else len(self._ready)
                if len(worker.tasks) < TASKS_AHEAD and len(self._waiting) > enough:
                    number = self._waiting.popleft()
                    alone = self._deaths.get(number, 0) >= DEATHS_TILL_ALONE
                    worker.tasks[actor.run.remote(self._tasks[number], alone)] = number

    def _started(self, reference: Any) -> None:
        """Take a worker that has loaded the network, or has died of it."""
        actor = self._starting.pop(reference)
        try:
            self._ready[actor] = _Ready(self._value(reference))
            self._failed_starts = 0
        except self._lost as error:
            self._ray.kill(actor)
            self._failed_starts += 1
            if self._failed_starts >= MOST_FAILED_STARTS:
                reason = str(error).strip().splitlines()[-1]
                raise Stopped(f"workers die as they start, {reason}; Ray's logs say more") from None

    def _bury(self, actor: Any) -> Iterator[tuple[Task, Any]]:
        """Have the tasks of a worker that died wait anew; give those that too many died over."""
        worker = self._ready.pop(actor)
        self._ray.kill(actor)  # which may live on where only the way to it is lost
        alive = self._alive()
        for number in sorted(worker.tasks.values(), reverse=True):
            deaths = self._deaths[number] = self._deaths.get(number, 0) + (worker.machine in alive)
            if deaths < MOST_DEATHS:
                self._waiting.appendleft(number)
            else:
                reason = f"{deaths} workers died over it, for want of memory perhaps"
                yield self._tasks[number], self._tasks[number].failed(reason)

    def _value(self, reference: Any) -> Any:
        """What a call of a worker gave; what it raised is raised as it was."""
        try:
            return self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, InputError):
                raise error.cause from None
            raise
