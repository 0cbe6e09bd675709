"""A run that is killed and started again ends with the weights of an undisturbed one."""

import contextlib
import json
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from tests.faults.broken_run import broken_run
from tests.faults.runs import OFTEN, assert_same_weights, leftovers, run_broken, train_on
from tests.helpers.forked import Forked
from tests.helpers.recipes import RECIPE, error_line, run_here, run_main, tiny_arguments

# Before there is a checkpoint; while the first is written, and one that has others before it;
# after a stage. One within an epoch is `killed`. `make soak` has the rest.
MOMENTS = [("update", 1), ("saving", 1), ("saving", 7), ("between", 1)]
WITH_A_WORKER = {**OFTEN, "num_workers": 1}


def killed_run(folder, moment, number, options=OFTEN):
    killed = run_broken(folder, "SIGKILL", moment, number, options)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (folder / "results.json").exists()
    return folder


def assert_goes_on(folder, finished_run, options=OFTEN) -> str:
    """Train on in `folder`; what it wrote to its standard error."""
    resumed = train_on(folder, finished_run, **options)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_weights(folder, finished_run)
    assert not leftovers(folder)
    return resumed.stderr


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A run that was killed in an epoch of the second block, after a checkpoint within it."""
    folder = tmp_path_factory.mktemp("killed") / "run"
    return killed_run(folder, "update", 9, WITH_A_WORKER)


@pytest.mark.parametrize(("moment", "number"), MOMENTS)
def test_killed_and_started_again(finished_run, tmp_path, moment, number):
    assert_goes_on(killed_run(tmp_path, moment, number), finished_run)


def test_killed_after_the_last_stage_it_is_scored(finished_run, tmp_path):
    resumed = run_here(killed_run(tmp_path, "between", 3), **OFTEN)
    assert resumed.returncode == 0, resumed.stderr
    assert (tmp_path / "results.json").is_file()
    assert_same_weights(tmp_path, finished_run)
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("name", [None, "model.ckpt", "CKPT.yaml"])
def test_a_newest_checkpoint_that_is_whole_or_damaged(killed, finished_run, tmp_path, name):
    folder = shutil.copytree(killed, tmp_path / "run")
    newest = max((folder / "save").glob("CKPT*"), key=lambda path: path.stat().st_mtime)
    if name is not None:
        damaged = newest / name
        damaged.write_bytes(damaged.read_bytes()[:-100])
    errors = assert_goes_on(folder, finished_run, WITH_A_WORKER)
    set_aside = f"{newest} is damaged: set aside as damaged+{newest.name}"
    assert (set_aside in errors) == (name is not None)


def test_a_finished_run_only_evaluates(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    log = (folder / "train_log.txt").read_text()
    checkpoints = sorted(path.name for path in (folder / "save").iterdir())
    (folder / "results.json").unlink()
    again = run_here(folder)
    assert again.returncode == 0, again.stderr
    assert (folder / "train_log.txt").read_text() == log
    assert sorted(path.name for path in (folder / "save").iterdir()) == checkpoints
    scores = [
        [row["si_sdr"] for row in json.loads((run / "results.json").read_text())["depths"]]
        for run in (folder, finished_run)
    ]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)
    assert_same_weights(folder, finished_run)


def test_more_epochs_train_on(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    epochs = len((folder / "train_log.txt").read_text().splitlines())
    longer = run_here(folder, finetune_epochs=3)
    assert longer.returncode == 0, longer.stderr
    assert len((folder / "train_log.txt").read_text().splitlines()) == epochs + 1


@pytest.mark.parametrize(("options", "is_best"), [({}, True), ({"level_weight": 0.5}, False)])
def test_the_best_checkpoint_is_one_of_the_same_loss(finished_run, tmp_path, options, is_best):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    newest = max((folder / "save").glob("CKPT*"))
    meta = yaml.safe_load((newest / "CKPT.yaml").read_text())
    (newest / "CKPT.yaml").write_text(yaml.safe_dump({**meta, "loss": -1e9}))
    longer = run_here(folder, finetune_epochs=3, **options)
    assert longer.returncode == 0, longer.stderr
    log = (folder / "log.txt").read_text().splitlines()
    best = next(line for line in reversed(log) if "Stage finetune: best checkpoint" in line)
    assert best.endswith(newest.name) == is_best


def test_a_checkpoint_of_another_network_is_refused(finished_run, tmp_path):
    """Also one whose weights have the same shapes, which would be written over the trained one."""
    folder = shutil.copytree(finished_run, tmp_path / "run")
    kept = [folder / "pretrained" / "hyperparams.yaml", folder / "hyperparams.yaml"]
    trained = [file.read_text() for file in kept]
    for options, now in (
        ({"hidden_channels": 12}, "hidden_channels: 12"),
        ({"mask_activation": "relu"}, "mask_activation: relu"),
        ({"norm": "cLN", "test_only": True}, "norm: cLN"),
    ):
        line = error_line(run_here(folder, **options))
        assert f"and now has {now!r}; give the options that it began with" in line
    assert [file.read_text() for file in kept] == trained
    other = error_line(run_here(folder, training="joint"))
    assert "the last checkpoint is of stage 'finetune'" in other


def test_a_run_goes_on_by_the_yaml_that_it_left(finished_run, tmp_path):
    folder = shutil.copytree(finished_run, tmp_path / "run")
    shutil.copy(folder / "hyperparams.yaml", tmp_path / "copy.yaml")
    again = run_main(RECIPE / "train.py", [tmp_path / "copy.yaml", "--output_folder", folder])
    assert again.returncode == 0, again.stderr


def test_a_kill_while_it_scores_leaves_no_process(tmp_path):
    """The pool that computes PESQ and STOI would wait for work for ever."""
    arguments = tiny_arguments(tmp_path, **OFTEN)
    process = Forked(broken_run, "SIGKILL", "test", 3, arguments, new_session=True)
    assert process.finish().returncode == -signal.SIGKILL
    deadline = time.monotonic() + 120
    while children := processes_of(process.pid):
        assert time.monotonic() < deadline, children
        time.sleep(0.5)
    assert run_here(tmp_path).returncode == 0


def processes_of(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, _, of_session = path.read_text().rpartition(")")[2].split()[:4]
            if int(of_session) == session and state != "Z":
                found.append(int(path.parent.name))
    return found
