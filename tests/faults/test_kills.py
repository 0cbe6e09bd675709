"""A run that is killed and started again ends with the weights of an undisturbed one."""

import contextlib
import json
import shutil
import signal
import time
from pathlib import Path

import pytest

from tests.conftest import run_recipe
from tests.faults.runs import OFTEN, assert_same_weights, run_broken

MOMENTS = [("update", 1), ("update", 5), ("update", 9), ("update", 17)]
MOMENTS += [("saving", 1), ("saving", 2), ("saving", 7), ("between", 1), ("between", 3)]


@pytest.mark.parametrize(("moment", "number"), MOMENTS)
def test_killed_and_started_again(finished_run, tmp_path, moment, number):
    killed = run_broken(tmp_path, "SIGKILL", moment, number)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (tmp_path / "results.json").exists()
    resumed = run_recipe(tmp_path, **OFTEN)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_weights(tmp_path, finished_run)
    assert not list(tmp_path.glob("save/.unfinished"))


def test_a_finished_run_only_evaluates(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    log = (folder / "train_log.txt").read_text()
    checkpoints = sorted(path.name for path in (folder / "save").iterdir())
    (folder / "results.json").unlink()
    again = run_recipe(folder)
    assert again.returncode == 0, again.stderr
    assert (folder / "train_log.txt").read_text() == log
    assert sorted(path.name for path in (folder / "save").iterdir()) == checkpoints
    scores = [
        [row["si_sdr"] for row in json.loads((run / "results.json").read_text())["depths"]]
        for run in (folder, finished_run)
    ]
    assert scores[0] == scores[1]
    assert_same_weights(folder, finished_run)


def test_more_epochs_train_on(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    epochs = len((folder / "train_log.txt").read_text().splitlines())
    longer = run_recipe(folder, finetune_epochs=3)
    assert longer.returncode == 0, longer.stderr
    assert len((folder / "train_log.txt").read_text().splitlines()) == epochs + 1


def test_a_checkpoint_of_another_network_is_refused(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    other = run_recipe(folder, hidden_channels=12)
    assert other.returncode == 2
    (line,) = [line for line in other.stderr.splitlines() if line.startswith("error: ")]
    assert "a checkpoint of another network" in line
    other = run_recipe(folder, training="joint")
    assert other.returncode == 2
    assert "error: the last checkpoint is of stage 'finetune'" in other.stderr


def test_a_kill_while_it_scores_leaves_no_process(tmp_path):
    """The pool that computes PESQ and STOI would wait for work for ever."""
    killed = run_broken(tmp_path, "SIGKILL", "test", 3)
    assert killed.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 30
    while children := processes_of(tmp_path):
        assert time.monotonic() < deadline, children
        time.sleep(0.5)
    assert run_recipe(tmp_path).returncode == 0


def processes_of(folder) -> list[int]:
    """The processes that were started with this folder as an argument."""
    lines = {int(p.name): p / "cmdline" for p in Path("/proc").iterdir() if p.name.isdigit()}
    found = []
    for pid, line in lines.items():
        with contextlib.suppress(OSError):
            found += [pid] if str(folder).encode() in line.read_bytes() else []
    return found
