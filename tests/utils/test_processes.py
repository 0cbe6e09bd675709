import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor

import pytest

from bloomnet_sb.utils.processes import ENDING, end_with_parent, ending_noted, worker_context


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_of_every_kind_work(method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
        assert pool.submit(max, 1, 2).result() == 2


OF_A_POOL = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from bloomnet_sb.utils.processes import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    pool = ProcessPoolExecutor(2, context, initializer=end_with_parent)
    print(*[pool.submit(os.getpid).result() for _ in range(2)], flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_of_every_kind_end_with_a_parent_that_is_killed(tmp_path, method):
    (tmp_path / "main.py").write_text(OF_A_POOL.format(method=method))
    command = [sys.executable, str(tmp_path / "main.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        workers = set(parent.stdout.readline().split())
        parent.kill()
    for _ in range(200):
        if not any(os.path.exists(f"/proc/{worker}") for worker in workers):
            break
        time.sleep(0.1)
    else:
        pytest.fail(f"{workers} are there still")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere each imports it")
def test_what_workers_need_is_imported_once():
    here = multiprocessing.get_context("spawn")  # a process without a server
    with ProcessPoolExecutor(1, here) as pool:
        first, second = pool.submit(workers_that_import, "statistics").result()
    assert first == second != os.getpid()


def workers_that_import(module):
    """The parents of two workers that have a module without importing it."""
    with worker_context(module).Pool(2) as pool:
        return pool.map(parent_with, [module] * 2)


def parent_with(module):
    assert module in sys.modules
    return os.getppid()


@pytest.mark.parametrize("number", ENDING)
def test_a_second_signal_does_what_it_did(number):
    came = []
    before = signal.signal(number, lambda *_: came.append(number))
    try:
        with ending_noted() as ending:
            signal.raise_signal(number)
            assert (ending(), came) == (True, [])
            signal.raise_signal(number)
            assert came == [number]
        signal.raise_signal(number)
        assert came == [number, number]
    finally:
        signal.signal(number, before)


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_noted() as ending:
            signal.raise_signal(signal.SIGHUP)
            assert not ending()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_other_threads_note_nothing():
    seen = []

    def work():
        with ending_noted() as ending:
            seen.append(ending())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [False]
