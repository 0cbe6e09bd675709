"""Processes of their own that begin at once.

A process that imports torch, SpeechBrain and the package takes seconds before it begins. These are
forked from one that has done so and nothing else: signals, kills, exit codes and files are as those
of a started one. Where the start itself matters, see `tests.helpers.recipes.run_python`.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from multiprocessing import forkserver, get_all_start_methods, get_context, set_start_method
from multiprocessing.context import ForkServerContext
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent.parent
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


class Forked:
    """A function in a process of its own.

    Arguments
    ---------
    function : callable
        One that can be imported, as are all below tests/.
    *arguments
        Its arguments.
    new_session : bool
        Whether it gets a session of its own, so that signals to its group do not come here.
    **environment
        Variables of its environment.
    """

    def __init__(
        self, function: Callable, *arguments, new_session: bool = False, **environment: str
    ):
        self._folder = tempfile.TemporaryDirectory()
        self._files = [Path(self._folder.name) / name for name in ("stdout", "stderr")]
        self._process = fork_server().Process(
            target=_begin, args=(self._files, new_session, environment, function, arguments)
        )
        self._process.start()
        self.pid = self._process.pid

    def poll(self) -> int | None:
        """Its exit code, minus the signal's number if one ended it; None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: int) -> None:
        """Send it a signal."""
        os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it still runs."""
        if self.poll() is None:
            self.send_signal(signal.SIGKILL)

    def finish(self, timeout: float = 300) -> subprocess.CompletedProcess:
        """Wait for its end; its exit code and what it wrote."""
        self._process.join(timeout)
        if (code := self.poll()) is None:
            self.kill()
            raise subprocess.TimeoutExpired("a forked process", timeout)
        output, errors = (path.read_text() if path.exists() else "" for path in self._files)
        self._folder.cleanup()
        return subprocess.CompletedProcess([], code, output, errors)


def run_forked(
    function: Callable, *arguments, new_session: bool = False, **environment: str
) -> subprocess.CompletedProcess:
    """Run a function in a process of its own, see `Forked`."""
    return Forked(function, *arguments, new_session=new_session, **environment).finish()


def ranks(processes: int = 2) -> list[dict[str, str]]:
    """The environment of each of the processes of one training, as torchrun would set it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": processes, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [
        {name: str(value) for name, value in {**shared, "RANK": n, "LOCAL_RANK": n}.items()}
        for n in range(processes)
    ]


@cache
def fork_server() -> ForkServerContext:
    """Processes that a server forks, which is started by the first one."""
    context = get_context("forkserver")
    context.set_forkserver_preload(["tests.helpers.preloaded"])
    before = dict(os.environ)
    os.environ.update(ENVIRONMENT)
    try:
        forkserver.ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def _begin(files: list[Path], new_session: bool, environment: dict, function, arguments) -> None:
    # Not the fork server: as in a process that was started.
    set_start_method(get_all_start_methods()[0], force=True)
    if new_session:
        os.setsid()
    os.environ.update(environment)
    for stream, path in zip((sys.stdout, sys.stderr), files, strict=True):
        with open(path, "wb") as file:
            os.dup2(file.fileno(), stream.fileno())
    try:
        function(*arguments)
    finally:
        # As Python ends: pools of processes first. multiprocessing would wait for them before.
        threading._shutdown()
