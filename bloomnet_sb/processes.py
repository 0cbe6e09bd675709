"""What worker processes have in common."""

import multiprocessing
import os
import threading

import torch


def start_worker() -> None:
    """Begin a worker process of a pool: one thread of torch, and the parent's end is its own.

    The workers of a `ProcessPoolExecutor` whose parent is killed would wait for work for ever.

    Example
    -------
    >>> from concurrent.futures import ProcessPoolExecutor
    >>> context = multiprocessing.get_context("spawn")
    >>> with ProcessPoolExecutor(1, context, initializer=start_worker) as pool:
    ...     pool.submit(torch.get_num_threads).result()
    1
    """
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
