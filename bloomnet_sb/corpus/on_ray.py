"""Enhancing a corpus on Ray: the cluster, and what runs tasks on it."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bloomnet_sb.corpus.ray_workers import Network, Pool, RayOptions
from bloomnet_sb.corpus.tasks import GroupTask, Task
from bloomnet_sb.inference.choice import Choice
from bloomnet_sb.inference.report import Result
from bloomnet_sb.inference.workers import Batch, groups_of
from bloomnet_sb.utils.errors import InputError

# For the cluster that is started here, and holds no audio
OBJECT_STORE_BYTES = 100 * 10**6
CONNECT_SECONDS = 10.0


@dataclass
class RayEngine:
    """What runs tasks on a cluster.

    Arguments
    ---------
    options : RayOptions
        What of the cluster.
    head : dict
        What the network must be, see `Choice.head`.
    output : Path, optional
        The folder of the results, where machines share a file system.

    Example
    -------
    See `ray_engine`.
    """

    options: RayOptions
    head: dict
    output: Path | None = None

    def run_tasks(self, tasks: Sequence[Task], choice: Choice) -> Iterator[tuple[Any, Any]]:
        """Run tasks.

        A task whose worker or machine dies is given to another.

        Arguments
        ---------
        tasks : sequence of Task
            The tasks.
        choice : Choice
            The network, and how it runs.

        Yields
        ------
        (Task, object)
            Each with its result, as they are done.

        Raises
        ------
        InputError
            If a machine of the cluster has another version or network, or does not see the folder.
        Stopped
            If workers die whenever they start.
        """
        folder = None if self.output is None else os.getcwd()
        network = Network(choice, self.head, folder, self.output)
        pool = Pool(tasks, network, self.options)
        try:
            while pool.left:
                yield from pool.step()
        finally:
            pool.end()

    def run_batches(self, batches: list[Batch], choice: Choice) -> Iterator[Result]:
        """Enhance batches of files, as `bloomnet_sb.inference.workers.enhance_batches` does."""
        tasks = [GroupTask(group) for group in groups_of(batches)]
        for task, results in self.run_tasks(tasks, choice):
            jobs = (job for batch in task.group for job in batch)
            for job, (_, outcome) in zip(jobs, results, strict=True):
                yield job, outcome


@contextmanager
def ray_engine(options: RayOptions, head: dict, output: Path | None = None) -> Iterator[RayEngine]:
    """Connect to a cluster, or start one, for the block.

    Arguments
    ---------
    options : RayOptions
        Which, and what of it.
    head, output
        As `RayEngine` takes them.

    Yields
    ------
    RayEngine
        What runs tasks on it.

    Raises
    ------
    InputError
        If Ray is not installed, there is no cluster of that address, or the one that is started
        here has less than a worker asks for.

    Example
    -------
    See `bloomnet_sb.corpus.run.enhance_corpus`, which takes the options.
    """
    try:
        import ray
    except ImportError:
        raise InputError("--ray needs Ray: pip install 'bloomnet_sb[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        _connect(options)
    try:
        yield RayEngine(options, head, output)
    finally:
        if ours:
            ray.shutdown()


def _connect(options: RayOptions) -> None:
    import ray

    about: dict[str, Any] = {
        "log_to_driver": False, "logging_level": logging.ERROR, "configure_logging": False
    }  # fmt: skip
    asked = options.address or os.environ.get("RAY_ADDRESS", "")
    if asked not in ("", "auto", "local"):
        _check_address(asked)
    if asked != "local":
        try:
            ray.init(asked or "auto", **about)
            return
        except ConnectionError as error:
            if asked:
                raise InputError(f"--ray {asked}: no cluster to be found ({error})") from None
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray.init("local", include_dashboard=False, object_store_memory=OBJECT_STORE_BYTES, **about)
    has = ray.cluster_resources()
    for name, count in (("CPU", options.num_cpus), ("GPU", options.num_gpus)):
        if has.get(name, 0) < count:
            ray.shutdown()
            raise InputError(f"a worker asks for {count:g} {name}s; here are {has.get(name, 0):g}")


def _check_address(address: str) -> None:
    """Refuse an address that nobody answers at, for which Ray would wait for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        raise InputError(f"--ray {address}: must be HOST:PORT, ray://HOST:PORT, auto or local")
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise InputError(f"--ray {address}: no cluster answers there ({error})") from None
