"""What worker processes have in common."""

import multiprocessing
import os
import threading
import time


def end_with_parent() -> None:
    """Have this worker process of a pool end when its parent does, however that ends.

    The workers of a `ProcessPoolExecutor` whose parent is killed would wait for work for ever.

    Example
    -------
    >>> from concurrent.futures import ProcessPoolExecutor
    >>> context = multiprocessing.get_context("spawn")
    >>> with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
    ...     pool.submit(max, 1, 2).result()
    2
    """
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _wait_for_parent() -> None:
    parent = multiprocessing.parent_process()
    # Not parent.join(): processes forked later hold the other end of the pipe that it waits for.
    while parent is not None and os.getppid() == parent.pid:
        time.sleep(1)
    os._exit(1)
