import logging

import pytest
from safetensors.torch import load_file, save_file
from speechbrain.utils.checkpoints import Checkpointer

from bloomnet_sb.training.run_state import pack_state, start_from_state
from bloomnet_sb.training.starting import start_from
from bloomnet_sb.utils.errors import InputError
from tests.helpers.command import write_network
from tests.helpers.networks import conv_tasnet


def weights_of(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(one, other):
    return all((value == other[name]).all() for name, value in one.items())


@pytest.fixture
def checkpointer(tmp_path):
    return Checkpointer(tmp_path / "run" / "save", recoverables={})


def test_a_run_that_has_begun_keeps_what_it_started_from(tmp_path, checkpointer):
    first, second = (write_network(tmp_path / name) for name in "ab")
    others = {name: 2 * value for name, value in load_file(second / "model.safetensors").items()}
    save_file(others, second / "model.safetensors")
    model = conv_tasnet(norm="BN")
    start_from(str(first), model, checkpointer)
    started = weights_of(model)
    checkpointer.save_checkpoint()
    start_from(str(first), model, checkpointer)
    with pytest.raises(InputError, match=f"start_from {second}: the run in .*from {first}"):
        start_from(str(second), model, checkpointer)
    assert same(weights_of(model), started)


def test_a_run_that_has_begun_from_nothing_says_so(tmp_path, checkpointer, caplog):
    network = write_network(tmp_path / "network")
    model = conv_tasnet(norm="BN")
    before = weights_of(model)
    checkpointer.save_checkpoint()
    with caplog.at_level(logging.WARNING):
        start_from(str(network), model, checkpointer)
    assert "is not used: the run in" in caplog.text
    assert same(weights_of(model), before)


def test_a_state_of_another_network_leaves_no_checkpoint(tmp_path, checkpointer):
    run = Checkpointer(tmp_path / "other" / "save", recoverables={"model": conv_tasnet()})
    run.save_checkpoint()
    pack_state(tmp_path / "other", tmp_path / "state.zip")
    model = conv_tasnet(num_blocks=3, bottleneck_channels=6)
    with pytest.raises(InputError, match="state.zip: the state of another network than this run"):
        start_from_state(tmp_path / "state.zip", checkpointer, model)
    assert checkpointer.find_checkpoint() is None
    start_from_state(tmp_path / "state.zip", checkpointer, conv_tasnet())
    assert checkpointer.find_checkpoint() is not None
