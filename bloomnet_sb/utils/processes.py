"""How worker processes start, and what ends a process: its parent, and signals."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import BaseContext

# Ctrl-C, `kill` or a system that shuts down, and a terminal that was closed (not on Windows)
ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


def worker_context(module: str) -> BaseContext:
    """How worker processes of a pool start.

    On Linux a server, which has imported a module and run nothing, forks them: what each would
    import in seconds of a core is imported once, and is once in memory. (A fork of a process that
    has run torch itself may hang.) Elsewhere each starts anew.

    Arguments
    ---------
    module : str
        What workers need, by its whole name. The first pool of a process decides.

    Example
    -------
    >>> context = worker_context("bloomnet_sb.utils.processes")
    >>> with context.Pool(1) as pool:
    ...     pool.apply(max, (1, 2))
    2
    """
    if sys.platform != "linux":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([module])
    return context


def end_with_parent() -> None:
    """Have this worker process of a pool end when its parent does, however that ends.

    The workers of a `ProcessPoolExecutor` whose parent is killed would wait for work for ever.

    Example
    -------
    >>> from concurrent.futures import ProcessPoolExecutor
    >>> import multiprocessing
    >>> context = multiprocessing.get_context("spawn")
    >>> with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
    ...     pool.submit(max, 1, 2).result()
    2
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    # Of a fork server's child the parent is that server, which lives on with its children; then the
    # pipe that only the process itself holds says it. A process that forks shares that pipe with
    # what it forks later, but is the parent of its children.
    parent = os.getppid()
    process = multiprocessing.parent_process()
    pipes = [] if process is None else [process.sentinel]
    while os.getppid() == parent and not wait(pipes, timeout=1):
        pass
    os._exit(1)


@contextmanager
def ending_noted() -> Iterator[Callable[[], bool]]:
    """Note the first of the signals that end a program, in place of ending.

    A second one does what it did before, so that a program that hangs can be ended. Signals that
    the program was started to ignore (by nohup, or in a shell's background) stay ignored; those of
    other threads than the main one cannot be noted.

    Yields
    ------
    callable
        Whether a signal came.

    Example
    -------
    >>> with ending_noted() as ending:
    ...     before = ending()
    ...     signal.raise_signal(signal.SIGTERM)
    ...     before, ending()
    (False, True)
    """
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in ENDING}
    ours = [number for number in ENDING if before[number] not in (signal.SIG_IGN, None)]
    if threading.current_thread() is not threading.main_thread():
        ours = []

    def restore() -> None:
        for number in ours:
            signal.signal(number, before[number])

    def receive(number: int, frame: object) -> None:
        received.append(number)
        restore()

    for number in ours:
        signal.signal(number, receive)
    try:
        yield lambda: bool(received)
    finally:
        restore()
