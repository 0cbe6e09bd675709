"""What ends a run from outside leaves a clear line and a run that can go on."""

import os
import signal
import socket
import subprocess
import sys
import time

import pytest

from bloomnet_sb.utils.atomic_files import lock_folder
from tests.faults.runs import OFTEN, assert_same_weights, leftovers, run_broken
from tests.helpers.recipes import RECIPE, run_here, run_python, run_recipe, tiny_arguments

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
    resumed = run_here(tmp_path, **RARELY)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_weights(tmp_path, finished_run)
    assert not leftovers(tmp_path)


def test_a_worker_of_the_loader_is_killed(finished_run, tmp_path):
    stopped = run_broken(tmp_path, "worker", "update", 5)
    assert stopped.returncode == 1
    assert last_line(stopped).startswith("stopped: a worker of the data loader died")
    assert run_here(tmp_path, **OFTEN).returncode == 0
    assert_same_weights(tmp_path, finished_run)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path):
    (tmp_path / "save").mkdir()
    with lock_folder(tmp_path / "save"):
        refused = run_recipe(tmp_path)
        assert refused.returncode == 2
    owner = os.getpid()
    assert last_line(refused).startswith(f"error: {tmp_path}/save: in use by process {owner};")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["save"]


def test_a_full_disk(finished_run, tmp_path):
    """The optimizer of the fine-tuning is the first file that does not fit."""
    largest = max(path.stat().st_size for path in finished_run.glob("save/*/optimizer.ckpt"))
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({largest - 1},) * 2); "
        "import sys; from tests.helpers.recipes import recipe_module; "
        "recipe_module().main(sys.argv[1:])"
    )
    # Without workers: the limit would hold for the memory that they share, too.
    full = run_python("-c", code, *tiny_arguments(tmp_path, **OFTEN, num_workers=0))
    assert full.returncode == 1, full.stderr
    assert last_line(full).startswith(f"stopped: {tmp_path}/save: a checkpoint could not be")
    assert not leftovers(tmp_path)
    assert run_here(tmp_path, **OFTEN).returncode == 0
    assert_same_weights(tmp_path, finished_run)


def test_one_of_two_processes_is_killed(tmp_path):
    options = {"distributed_backend": "gloo", "device": "cpu"}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pair = [start_rank(rank, port, tiny_arguments(tmp_path, **OFTEN, **options)) for rank in (0, 1)]
    began = time.monotonic()
    try:
        _, stderr = pair[0].communicate(timeout=120)
        assert pair[1].wait(timeout=10) == -signal.SIGKILL
    finally:
        for process in pair:
            process.kill()
    assert pair[0].returncode == 1
    assert stderr.strip().splitlines()[-1].startswith("stopped: another process of this run was")
    assert time.monotonic() - began < 60
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    arguments = tiny_arguments(tmp_path, **OFTEN, **options)
    resumed = run_python(*launcher, RECIPE / "train.py", *arguments)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "results.json").is_file()


def start_rank(rank: int, port: int, arguments: list[str]) -> subprocess.Popen:
    """One of two processes of a run; the second kills itself after five updates."""
    program = [RECIPE / "train.py"]
    if rank == 1:
        program = ["-m", "tests.faults.broken_run", "SIGKILL", "update", 5]
    return subprocess.Popen(
        [sys.executable, *map(str, program), *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "2",
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        },
    )
