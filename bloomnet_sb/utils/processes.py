"""What worker processes have in common."""

import os
import threading
import time


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
