import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import pytest

from bloomnet_sb.utils.processes import end_with_parent


@pytest.mark.parametrize("method", multiprocessing.get_all_start_methods())
def test_workers_of_every_kind_work(method):
    context = multiprocessing.get_context(method)
    with ProcessPoolExecutor(1, context, initializer=end_with_parent) as pool:
        assert pool.submit(max, 1, 2).result() == 2
