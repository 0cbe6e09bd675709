"""What ends a run from outside leaves a clear line and a run that can go on."""

import os
import resource
import signal

import pytest

from bloomnet_sb.utils.atomic_files import lock_folder
from tests.faults.broken_run import broken_run
from tests.faults.runs import OFTEN, assert_same_weights, leftovers, run_broken, train_on
from tests.helpers.forked import Forked, ranks, run_forked
from tests.helpers.recipes import recipe_main, tiny_arguments

RARELY = {"ckpt_interval_minutes": 15}
SIGNALS = [
    ("SIGTERM", "update", 5, 143),
    ("group SIGINT", "update", 3, 130),
    ("group SIGTERM", "validation", 4, 143),
    ("group SIGINT", "test", 2, 130),
]


def last_line(result) -> str:
    return result.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("what", "moment", "number", "code"), SIGNALS)
def test_a_signal_saves_and_says_how_to_go_on(finished_run, tmp_path, what, moment, number, code):
    # No checkpoint within an epoch but the one that the signal asks for.
    stopped = run_broken(tmp_path, what, moment, number, RARELY)
    assert stopped.returncode == code, stopped.stderr
    name = what.split()[-1]
    assert last_line(stopped).startswith(f"stopped: by {name}; start it again with the same")
    assert "Traceback" not in stopped.stderr
    resumed = train_on(tmp_path, finished_run, **RARELY)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_weights(tmp_path, finished_run)
    assert not leftovers(tmp_path)


def test_a_worker_of_the_loader_is_killed(finished_run, tmp_path):
    stopped = run_broken(tmp_path, "worker", "update", 5, {**OFTEN, "num_workers": 1})
    assert stopped.returncode == 1
    assert last_line(stopped).startswith("stopped: a worker of the data loader died")
    assert train_on(tmp_path, finished_run, **OFTEN).returncode == 0
    assert_same_weights(tmp_path, finished_run)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    (tmp_path / "save").mkdir()
    with lock_folder(tmp_path / "save"):
        refused = run_forked(recipe_main, tiny_arguments(tmp_path))
        assert refused.returncode == 2
    owner = os.getpid()
    assert last_line(refused).startswith(f"error: {tmp_path}/save: in use by process {owner};")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["save"]


def test_a_full_disk(finished_run, tmp_path):
    """The optimizer of the fine-tuning is the first file that does not fit."""
    largest = max(path.stat().st_size for path in finished_run.glob("save/*/optimizer.ckpt"))
    # Without workers: the limit would hold for the memory that they share, too.
    arguments = tiny_arguments(tmp_path, **OFTEN)
    full = run_forked(run_with_small_files, largest - 1, arguments)
    assert full.returncode == 1, full.stderr
    assert last_line(full).startswith(f"stopped: {tmp_path}/save: a checkpoint could not be")
    assert not leftovers(tmp_path)
    assert train_on(tmp_path, finished_run, **OFTEN).returncode == 0
    assert_same_weights(tmp_path, finished_run)


def run_with_small_files(most_bytes: int, arguments: list[str]) -> None:
    """Run the recipe where no file can be larger."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
    recipe_main(arguments)


def test_one_of_two_processes_is_killed(tmp_path):
    arguments = tiny_arguments(tmp_path, **OFTEN, distributed_backend="gloo", device="cpu")
    first, second = ranks()
    kept = Forked(recipe_main, arguments, **first)
    killed = Forked(broken_run, "SIGKILL", "update", 5, arguments, **second)
    try:
        stopped = kept.finish(timeout=120)
        assert killed.finish(timeout=10).returncode == -signal.SIGKILL
    finally:
        kept.kill()
        killed.kill()
    assert stopped.returncode == 1
    assert last_line(stopped).startswith("stopped: another process of this run was")
    pair = [Forked(recipe_main, arguments, **rank) for rank in ranks()]
    for resumed in pair:
        assert resumed.finish().returncode == 0
    assert (tmp_path / "results.json").is_file()
