import pytest
import torch

from bloomnet_sb.nn.running_mean import running_mean

ZERO, NONE = torch.zeros(2, 1), torch.zeros(2, 1, dtype=torch.long)


@pytest.mark.parametrize("window", [None, 2, 7, 50, 1000])
@pytest.mark.parametrize("size", [1, 13, 500])
@pytest.mark.parametrize("some_count", [False, True])
def test_a_running_mean_is_its_recursion(window, size, some_count):
    torch.manual_seed(0)
    x = torch.rand(2, 500)
    counts = torch.rand(2, 500) > 0.3 if some_count else torch.ones(2, 500, dtype=torch.bool)
    mean, number, expected = torch.full((2,), 9.0, dtype=torch.double), torch.zeros(2), []
    for value, counted in zip(x.t().double(), counts.t(), strict=True):
        number += counted
        share = counted / number.clamp(min=1, max=window)
        mean = mean + share * (value - mean)
        expected.append(mean)
    means, last, frames = [], ZERO + 9, NONE
    for piece, counted in zip(x.split(size, 1), counts.split(size, 1), strict=True):
        given = counted if some_count else None
        some, last, frames = running_mean(piece, last, frames, window, given)
        means.append(some)
    torch.testing.assert_close(torch.cat(means, 1), torch.stack(expected, 1).float())
    assert frames[:, 0].tolist() == number.tolist()


def test_a_fading_mean_stays_right_for_a_day():
    means, _, _ = running_mean(torch.full((2, 10**6), 3.0), ZERO, NONE, window=10)
    assert means.sub(3).abs().max() < 1e-6


def test_gradients_reach_every_frame():
    x = torch.rand(2, 9, dtype=torch.double, requires_grad=True)
    zero = ZERO.double()
    assert torch.autograd.gradcheck(lambda x: running_mean(x, zero, NONE, 4)[0], x)
