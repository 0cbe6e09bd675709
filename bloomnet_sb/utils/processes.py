"""What ends a process: its parent, and signals."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Ctrl-C, `kill` or a system that shuts down, and a terminal that was closed (not on Windows)
ENDING = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


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
    # Not multiprocessing.parent_process(): processes forked later hold the pipe by which its join()
    # waits, and a fork server's child has another parent, which ends when the one it serves does.
    parent = os.getppid()
    while os.getppid() == parent:
        time.sleep(1)
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
