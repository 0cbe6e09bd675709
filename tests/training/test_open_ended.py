import re
import shutil
import signal
import time
import zipfile

import pytest
import torch
import yaml
from safetensors.torch import load_file
from speechbrain.utils.checkpoints import Checkpointer

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.nn.levels import LogLevel
from bloomnet_sb.separators import BandRNNSeparator
from bloomnet_sb.training.averaging import WeightAverage
from bloomnet_sb.training.checkpointer import AtomicCheckpointer, note_sizes
from bloomnet_sb.training.open_ended import OpenEndedBrain
from bloomnet_sb.training.run_state import pack_state, start_from_state
from tests.helpers.forked import Forked, ranks, run_forked
from tests.helpers.ranks import watched_listeners
from tests.helpers.recipes import REPOSITORY, SAMPLES, error_line, recipe_main, run_main

pytestmark = pytest.mark.xdist_group("listeners")

RECIPE = REPOSITORY / "recipes" / "BandRNN"
SCRIPT = RECIPE / "train_listeners.py"
TINY = {
    "data_folder": SAMPLES,
    "pool_files": 1,
    "draw_seconds": 30.0,
    "speaker_shares": None,
    "noise_shares": None,
    "valid_parts": [{"name": "all", "mixtures": 1, "clean": 1}],
    "updates_per_epoch": 4,
    "number_of_epochs": 3,
    "batch_size": 2,
    "segment_seconds": 1.0,
    "num_blocks": 2,
    "channels": 8,
    "compile_parts": False,
}
# A checkpoint at every second update, too.
OFTEN = ["--ckpt_interval_minutes=0", "--ckpt_interval_steps=2", "--noprogressbar"]


def arguments_of(folder, pool, **overrides):
    options = {**TINY, "output_folder": folder, "pool_folder": pool, **overrides}
    dumped = {
        name: yaml.safe_dump(
            value if isinstance(value, int | float | list | None) else str(value),
            default_flow_style=True,
        ).split("\n")[0]
        for name, value in options.items()
    }
    overriding = [f"--{name}={value}" for name, value in dumped.items()]
    return [str(RECIPE / "hparams" / "listeners.yaml"), *OFTEN, *overriding]


def finish(folder, pool, **overrides):
    result = run_forked(recipe_main, arguments_of(folder, pool, **overrides), SCRIPT)
    assert result.returncode == 0, result.stderr
    return state_of(folder)


def state_of(folder):
    """All tensors of the newest checkpoint."""
    newest = newest_of(folder)
    state = {}
    for name in ("model", "average", "optimizer"):
        loaded = torch.load(newest / f"{name}.ckpt", weights_only=True)
        if name == "optimizer":
            loaded = {
                f"{n}.{k}": v for n, values in loaded["state"].items() for k, v in values.items()
            }
        state |= {f"{name}.{key}": value for key, value in loaded.items()}
    return updates_of(newest)[0], state


def newest_of(folder):
    return max((folder / "save").glob("CKPT+*"), key=lambda path: updates_of(path)[::-1])


def updates_of(checkpoint):
    meta = yaml.safe_load((checkpoint / "CKPT.yaml").read_text())
    return meta["updates"], meta["unixtime"]


def assert_same(one, two):
    assert one[0] == two[0]
    assert one[1].keys() == two[1].keys()
    assert [name for name in one[1] if not torch.equal(one[1][name], two[1][name])] == []


def stop_after_a_checkpoint(folder, pool, number):
    process = Forked(recipe_main, arguments_of(folder, pool), SCRIPT)
    while not list((folder / "save").glob("CKPT+*")):
        assert process.poll() is None, process.finish().stderr
        time.sleep(0.01)
    process.send_signal(number)
    return process.finish()


def network_of(num_blocks):
    """What the recipe makes of these options."""
    filterbank = STFTFilterbank(window=512, hop=256, sample_rate=16000)
    separator = BandRNNSeparator(channels=TINY["channels"], num_blocks=num_blocks)
    return BloomNet(filterbank, separator, level=LogLevel(filterbank, fall_seconds=0.25)).eval()


@pytest.fixture(scope="module")
def pool(tmp_path_factory):
    return tmp_path_factory.mktemp("pool") / "pool"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, pool):
    folder = tmp_path_factory.mktemp("whole")
    result = run_main(SCRIPT, arguments_of(folder, pool))
    assert result.returncode == 0, result.stderr
    return folder


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_stopped_run_goes_on_as_if_it_had_not_been(number, tmp_path, pool, whole):
    stopped = stop_after_a_checkpoint(tmp_path, pool, number)
    assert stopped.returncode == (-9 if number == signal.SIGKILL else 143), stopped.stderr
    assert state_of(tmp_path)[0] < 12
    assert_same(finish(tmp_path, pool), state_of(whole))


def test_a_checkpoint_has_what_one_of_a_run_that_goes_on_had(whole):
    """Of a run that began with other code: these are the names that it is to load."""
    parts = {path.stem for path in newest_of(whole).glob("*.ckpt")}
    assert parts == {"average", "brain", "counter", "model", "optimizer", "progress"}


def test_whole_modules_are_not_compiled(tmp_path, pool):
    refused = run_main(SCRIPT, [*arguments_of(tmp_path, pool), "--compile"])
    assert "--compile: here compile_parts says" in error_line(refused)


def test_there_is_no_test_to_run_alone(tmp_path, pool):
    """It would leave the weights of a network that was never trained in pretrained/."""
    refused = run_main(SCRIPT, [*arguments_of(tmp_path, pool), "--test_only"])
    assert "--test_only: this run has no test" in error_line(refused)
    assert not (tmp_path / "pretrained").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth_weights": [0, 1]}, "depth_weights is [0, 1], but each must be above 0"),
        ({"depth_weights": 3}, "depth_weights is 3, but must be a list of numbers"),
        ({"random_depths": -1}, "random_depths is -1, but must be a whole number of 0 or more"),
        ({"pauses": 3}, "pauses is 3, but must be a share, from 0 to 1"),
        ({"lr": "fast"}, "lr is 'fast', but must be a number of 0 or more"),
        ({"segment_seconds": 31}, "segment_seconds is 31, but draw_seconds, 30.0, at most"),
        ({"start_state": "nowhere.zip"}, "nowhere.zip: cannot be read as the state of a run"),
    ],
)
def test_options_that_cannot_be_are_refused_before_the_pool_is_filled(tmp_path, options, message):
    refused = run_main(SCRIPT, arguments_of(tmp_path / "run", tmp_path / "pool", **options))
    assert message in error_line(refused)
    assert not (tmp_path / "pool").exists()


def test_a_pool_is_drawn_anew_between_epochs(tmp_path, pool, whole):
    own = shutil.copytree(pool, tmp_path / "pool")
    _, state = finish(tmp_path / "run", own, pool_refresh=1)
    assert [path.name for path in own.glob("draws-*")] == ["draws-000002.npy"]
    _, other = state_of(whole)
    name = "model.separator.entry.first.weight"
    assert not torch.equal(state[name], other[name])


def test_batches_of_one_update_are_mixed_each_in_its_way(tmp_path, pool, monkeypatch):
    """And the average follows an update, not a batch."""
    drawn, averaged = [], []
    numbers, update = OpenEndedBrain.generator, WeightAverage.update

    def watched(brain):
        generator = numbers(brain)
        drawn.append(generator.initial_seed())
        return generator

    def counted(average, *args):
        averaged.append(args)
        return update(average, *args)

    monkeypatch.setattr(OpenEndedBrain, "generator", watched)
    monkeypatch.setattr(WeightAverage, "update", counted)
    options = {"number_of_epochs": 1, "grad_accumulation_factor": 2}
    result = run_main(SCRIPT, arguments_of(tmp_path, pool, **options))
    assert result.returncode == 0, result.stderr
    assert len(set(drawn)) == len(drawn) == 4 and len(averaged) == 2


def test_several_processes_train_together(tmp_path, pool):
    """Each on batches of its own, by the mean of their gradients; the run counts all they hear."""
    gloo = {"distributed_backend": "gloo", "device": "cpu", "number_of_epochs": 1}
    arguments = arguments_of(tmp_path / "run", pool, **gloo)
    started = [
        Forked(watched_listeners, tmp_path, arguments, SCRIPT, **environment)
        for environment in ranks()
    ]
    results = [process.finish() for process in started]
    assert [result.returncode for result in results] == [0, 0], results[0].stderr
    one, other = (torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in range(2))
    for name, weights in one["weights"].items():
        assert torch.equal(weights, other["weights"][name])
    for name, gradient in one["together"].items():
        if name in one["alone"]:
            mean = (one["alone"][name] + other["alone"][name]) / 2
            torch.testing.assert_close(gradient, mean, atol=1e-5, rtol=1e-3)
    newest = newest_of(tmp_path / "run")
    hours = yaml.safe_load((newest / "progress.ckpt").read_text())["audio_hours"]
    audio = TINY["updates_per_epoch"] * TINY["batch_size"] * TINY["segment_seconds"]
    assert hours == pytest.approx(2 * audio / 3600)
    assert updates_of(newest)[0] == TINY["updates_per_epoch"]


def test_a_packed_state_goes_on_elsewhere(tmp_path, pool, whole):
    finish(tmp_path / "first", pool, number_of_epochs=2)
    pack_state(tmp_path / "first", tmp_path / "state.zip")
    assert (tmp_path / "state.zip").stat().st_size < 4e6
    state = finish(tmp_path / "second", pool, start_state=tmp_path / "state.zip")
    assert_same(state, state_of(whole))


def test_a_run_that_has_begun_refuses_another_state(tmp_path, pool, whole):
    finish(tmp_path / "first", pool, number_of_epochs=1)
    pack_state(tmp_path / "first", tmp_path / "first.zip")
    pack_state(whole, tmp_path / "whole.zip")
    finish(tmp_path / "run", pool, start_state=tmp_path / "first.zip", number_of_epochs=2)
    arguments = arguments_of(tmp_path / "run", pool, start_state=tmp_path / "whole.zip")
    refused = run_main(SCRIPT, arguments)
    assert f"was started from {tmp_path / 'first.zip'}" in error_line(refused)
    state = finish(tmp_path / "run", pool, start_state=tmp_path / "first.zip")
    assert_same(state, state_of(whole))


def test_debugging_from_a_state_is_short_and_leaves_nothing(tmp_path, pool, whole):
    pack_state(whole, tmp_path / "state.zip")
    options = {"start_state": tmp_path / "state.zip", "number_of_epochs": 100}
    arguments = [*arguments_of(tmp_path / "run", pool, **options), "--debug"]
    assert run_main(SCRIPT, arguments).returncode == 0
    log = (tmp_path / "run" / "train_log.txt").read_text()
    assert re.findall(r"epoch: (\d+), updates", log) == ["4", "5"]
    assert not list((tmp_path / "run" / "save").glob("CKPT*"))


def test_a_state_with_fewer_blocks_grows(tmp_path, pool, whole):
    """No estimate changes at first, and what the state knew of each parameter is kept."""
    pack_state(whole, tmp_path / "state.zip")
    model = network_of(3)
    checkpointer = Checkpointer(tmp_path / "save")
    start_from_state(tmp_path / "state.zip", checkpointer, model)
    folder = tmp_path / "save" / "CKPT+start"
    small, mix = network_of(2), torch.randn(1, 8000)
    small.load_state_dict(torch.load(newest_of(whole) / "average.ckpt", weights_only=True))
    model.load_state_dict(torch.load(folder / "average.ckpt", weights_only=True))
    with torch.no_grad():
        before, grown = small(mix), model(mix)
    assert torch.equal(grown, torch.cat([before, before[1:]]))
    moments = [
        torch.load(path / "optimizer.ckpt", weights_only=True)["state"]
        for path in (newest_of(whole), folder)
    ]
    old, new = (dict(network.named_parameters()) for network in (small, model))
    for number, name in enumerate(old):
        there = moments[1][list(new).index(name)]
        assert torch.equal(there["exp_avg"], moments[0][number]["exp_avg"])
    assert AtomicCheckpointer(tmp_path / "save").find_checkpoint().path == folder


@pytest.mark.parametrize("blocks", [2, 3])
def test_a_state_of_a_run_on_a_gpu_goes_on_without_one(blocks, tmp_path, whole, monkeypatch):
    shutil.copytree(newest_of(whole), tmp_path / "gpu" / "save" / "CKPT+1")
    with monkeypatch.context() as patched:
        patched.setattr(torch.serialization, "location_tag", lambda storage: "cuda:0")
        for file in (tmp_path / "gpu").rglob("*.ckpt"):
            if zipfile.is_zipfile(file):
                torch.save(torch.load(file, weights_only=True), file)
    note_sizes(tmp_path / "gpu" / "save" / "CKPT+1")
    pack_state(tmp_path / "gpu", tmp_path / "state.zip")
    model = network_of(blocks)
    checkpointer = AtomicCheckpointer(tmp_path / "save", recoverables={"model": model})
    start_from_state(tmp_path / "state.zip", checkpointer, model)
    checkpointer.recover_if_possible()
    trained = torch.load(newest_of(whole) / "model.ckpt", weights_only=True)
    name = "separator.entry.first.weight"
    assert torch.equal(model.state_dict()[name], trained[name])


def test_a_grown_run_trains_its_new_blocks(tmp_path, pool, whole):
    pack_state(whole, tmp_path / "state.zip")
    options = {"num_blocks": 3, "start_state": tmp_path / "state.zip", "number_of_epochs": 4}
    _, state = finish(tmp_path / "grown", pool, **options)
    assert state["model.separator.blocks.2.0.band_norm.weight"].abs().min() > 0


def test_a_state_of_another_width_does_not_grow(tmp_path, pool, whole):
    pack_state(whole, tmp_path / "state.zip")
    options = {"num_blocks": 3, "channels": 16, "start_state": tmp_path / "state.zip"}
    refused = run_main(SCRIPT, arguments_of(tmp_path / "run", pool, **options))
    assert "state.zip: the state of another network than this run's" in error_line(refused)


def test_a_decay_ends_by_itself_and_leaves_the_average(tmp_path, pool, whole):
    pack_state(whole, tmp_path / "state.zip")
    updates, state = finish(
        tmp_path / "decayed",
        pool,
        start_state=tmp_path / "state.zip",
        decay=0.25,
        number_of_epochs=100,
    )
    assert updates == 15
    exported = load_file(tmp_path / "decayed" / "pretrained" / "model.safetensors")
    assert all(torch.equal(tensor, state[f"average.{name}"]) for name, tensor in exported.items())


def test_a_run_goes_on_at_a_constant_rate_from_the_state_of_a_decay(tmp_path, pool, whole):
    pack_state(whole, tmp_path / "whole.zip")
    decay = {"start_state": tmp_path / "whole.zip", "decay": 0.25, "number_of_epochs": 100}
    decayed, _ = finish(tmp_path / "decayed", pool, **decay)
    pack_state(tmp_path / "decayed", tmp_path / "state.zip")
    on = {"start_state": tmp_path / "state.zip", "number_of_epochs": 5, "warm_up_updates": 1}
    updates, _ = finish(tmp_path / "on", pool, **on, lr=0.002)
    newest = newest_of(tmp_path / "on")
    optimizer = torch.load(newest / "optimizer.ckpt", weights_only=True)
    assert updates == decayed + TINY["updates_per_epoch"]
    assert optimizer["param_groups"][0]["lr"] == 0.002
    assert yaml.safe_load((newest / "progress.ckpt").read_text())["decay_from"] is None
    again = {"start_state": tmp_path / "state.zip", "decay": 0.2, "number_of_epochs": 100}
    assert finish(tmp_path / "again", pool, **again)[0] == decayed + decayed // 5
