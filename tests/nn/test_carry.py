from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from bloomnet_sb.nn.carry import RunningMean, carrying
from tests.conftest import make_model

NORMS = pytest.mark.parametrize("norm", ["cLN", "cgLN", "BN"])


def in_pieces(separator, features, sizes):
    """The masks of a network that gets the frames piece by piece."""
    memory, masks = {}, []
    for piece in features.split(sizes, dim=-1):
        with carrying(memory):
            state = separator.enter(piece)
            for block in separator.blocks:
                state = block(state)
            masks.append(separator.heads[-1](state))
    return torch.cat(masks, dim=-1)


@NORMS
@pytest.mark.parametrize("sizes", [[100], [1] * 100, [40, 60], [3, 90, 7]])
@pytest.mark.parametrize("skip_channels", [None, 6])
@pytest.mark.parametrize("with_autograd", [True, False])
def test_pieces_give_what_the_whole_gives(norm, sizes, with_autograd, skip_channels):
    model = make_model(norm=norm, causal=True, dilation_cycle=4, skip_channels=skip_channels)
    for module in model.modules():
        if hasattr(module, "running_mean"):
            torch.nn.init.normal_(module.running_mean)
    features = torch.rand(2, 16, 100)
    with torch.set_grad_enabled(with_autograd):
        expected = in_pieces(model.separator, features, [100])
        torch.testing.assert_close(in_pieces(model.separator, features, sizes), expected)


@NORMS
def test_two_threads_carry_two_signals_through_one_network(norm):
    model = make_model(norm=norm, causal=True)
    signals = [torch.rand(1, 16, 500, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    expected = [in_pieces(model.separator, signal, [500]) for signal in signals]
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda s: in_pieces(model.separator, s, [5] * 100), signals))
    torch.testing.assert_close(results, expected)


def test_nothing_is_carried_outside():
    model = make_model(norm="cgLN", causal=True)
    features = torch.rand(1, 16, 50)
    before = in_pieces(model.separator, features, [50])
    memory = {}
    with carrying(memory):
        model.separator.enter(features)
    assert memory
    torch.testing.assert_close(in_pieces(model.separator, features, [50]), before)


@pytest.mark.parametrize("window", [None, 2, 7, 50, 1000])
@pytest.mark.parametrize("size", [1, 13, 500])
def test_a_running_mean_is_its_recursion(window, size):
    x = torch.rand(2, 500)
    mean, expected = torch.zeros(2, dtype=torch.double), []
    for frame, value in enumerate(x.t().double(), 1):
        mean = mean + (value - mean) / min(frame, window or frame)
        expected.append(mean)
    running = RunningMean(window)
    means = torch.cat([running.over(piece) for piece in x.split(size, dim=1)], dim=1)
    torch.testing.assert_close(means, torch.stack(expected, dim=1))


def test_a_fading_mean_stays_right_for_a_day():
    running = RunningMean(window=10)
    assert running.over(torch.full((10**6,), 3.0)).sub(3).abs().max() < 1e-9


def test_a_stream_and_a_training_may_share_what_is_cached():
    with torch.inference_mode():
        RunningMean(window=2).over(torch.rand(1, 9))
    x = torch.rand(1, 9, requires_grad=True)
    RunningMean(window=2).over(x).sum().backward()
    assert x.grad.isfinite().all()
