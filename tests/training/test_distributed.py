"""Two processes train as one with twice the batch."""

import signal

import pytest
import torch

from tests.faults.broken_run import broken_run
from tests.helpers.forked import Forked, ranks
from tests.helpers.ranks import watched_run
from tests.helpers.recipes import tiny_arguments

pytestmark = pytest.mark.xdist_group("distributed")

GLOO = {"distributed_backend": "gloo", "device": "cpu"}
# Four updates an epoch, of two utterances in all; none of the eight twice.
SIZES = {"segments_per_epoch": 8, "block_epochs": 1, "finetune_epochs": 2}


def arguments_of(folder, processes: int, **options) -> list[str]:
    """The command line of a run in as many processes, of two utterances an update in all."""
    sizes = {**SIZES, "batch_size": 2 // processes, **(GLOO if processes == 2 else {})}
    return tiny_arguments(folder / "run", **sizes, **options)


def exit_codes(function, *arguments, processes: int) -> list[int]:
    """Of a run in as many processes."""
    environments = ranks() if processes == 2 else [{}]
    started = [Forked(function, *arguments, **environment) for environment in environments]
    finished = [process.finish() for process in started]
    return [process.returncode for process in finished]


def train(folder, processes: int, scored: bool = True, **options) -> list[dict]:
    """What `watched_run` wrote for each process."""
    folder.mkdir(exist_ok=True)
    arguments = arguments_of(folder, processes, **options)
    assert not any(exit_codes(watched_run, folder, arguments, scored, processes=processes))
    files = [folder / f"rank{rank}.pt" for rank in range(processes)]
    return [torch.load(file, weights_only=True) for file in files]


def losses(folder) -> list[float]:
    """The validation losses of a run."""
    lines = (folder / "run" / "train_log.txt").read_text().splitlines()
    return [float(line.split("valid loss: ")[1].split(",")[0]) for line in lines]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ranks")


@pytest.fixture(scope="module")
def alone(folder):
    return train(folder / "alone", processes=1)


@pytest.fixture(scope="module")
def pair(folder):
    return train(folder / "pair", processes=2)


def assert_close(one: dict, other: dict) -> None:
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], atol=2e-3, rtol=2e-2)


def test_all_processes_have_the_same_weights(pair):
    one, other = (rank["weights"] for rank in pair)
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_each_utterance_is_seen_once_in_an_epoch(alone, pair):
    assert list(alone[0]["seen"]) == list(pair[0]["seen"]) == [1, 2, 3, 4]
    for epoch, ids in alone[0]["seen"].items():
        shared = pair[0]["seen"][epoch] + pair[1]["seen"][epoch]
        assert len(set(shared)) == len(shared) == 8
        assert sorted(shared) == sorted(ids)


def test_they_train_as_one_process_with_their_batches_together(alone, pair, folder):
    assert_close(alone[0]["weights"], pair[0]["weights"])
    assert losses(folder / "alone") == pytest.approx(losses(folder / "pair"), abs=0.05)


def test_only_one_of_them_writes(pair, alone, folder):
    listed = [
        sorted(path.name for path in (folder / kind / "run").iterdir())
        for kind in ("alone", "pair")
    ]
    assert listed[0] == listed[1]
    assert len((folder / "pair" / "run" / "train_log.txt").read_text().splitlines()) == 4


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_another_number_of_processes_goes_on(alone, tmp_path, before, after):
    often = {"ckpt_interval_steps": 1, "ckpt_interval_minutes": 0}
    arguments = arguments_of(tmp_path, before, **often)
    killed = exit_codes(broken_run, "SIGKILL", "update", 7, arguments, processes=before)
    assert -signal.SIGKILL in killed
    resumed = train(tmp_path, after, scored=False, **often)
    assert_close(alone[0]["weights"], resumed[0]["weights"])
