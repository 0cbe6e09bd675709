import signal
from contextlib import suppress
from functools import partial

import pytest
import torch

from bloomnet_sb.training.resilience import ResilientBrain, StopSignals
from bloomnet_sb.utils.errors import InputError, Stopped


def swallow(number):
    """As ruamel.yaml does with whatever is raised while it looks for a constructor."""
    with suppress(BaseException):
        signal.raise_signal(number)
    raise InputError("could not determine a constructor")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_that_a_library_swallows_still_stops_the_program(number, code):
    with pytest.raises(Stopped, match=number.name) as stopped, StopSignals().caught():
        swallow(number)
    assert stopped.value.exit_code == code


def test_an_error_without_a_signal_is_its_own():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(InputError, match="no such key"), StopSignals().caught():
        raise InputError("no such key")
    assert signal.getsignal(signal.SIGINT) is before


def step_of(max_grad_norm, **options):
    """How far an update goes, at a rate of 1 and with gradients of 3 and 4."""
    layer = torch.nn.Linear(1, 1)
    options = {"device": "cpu", "max_grad_norm": max_grad_norm, **options}
    brain = ResilientBrain({"layer": layer}, partial(torch.optim.SGD, lr=1.0), run_opts=options)
    brain.init_optimizers()
    before = [parameter.detach().clone() for parameter in layer.parameters()]
    layer.weight.grad, layer.bias.grad = torch.full((1, 1), 3.0), torch.full((1,), 4.0)
    brain.optimizers_step()
    assert brain.optimizer_step == 1 and layer.weight.grad is None
    after = layer.parameters()
    return [(old - new).item() for old, new in zip(before, after, strict=True)]


@pytest.mark.parametrize("grouped", [False, True])
def test_the_norm_of_all_gradients_is_clipped(grouped):
    assert step_of(1.0, remove_vector_weight_decay=grouped) == pytest.approx([0.6, 0.8])


def test_a_negative_norm_clips_nothing():
    assert step_of(-1.0) == pytest.approx([3.0, 4.0])
