import multiprocessing
import signal
import threading
from concurrent.futures import ProcessPoolExecutor

import pytest

from bloomnet_sb.utils.processes import ENDING, end_with_parent, ending_noted


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_of_every_kind_work(method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
        assert pool.submit(max, 1, 2).result() == 2


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
