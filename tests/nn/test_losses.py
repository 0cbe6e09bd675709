import pytest
import torch
from speechbrain.nnet.losses import get_si_snr_with_pitwrapper

from bloomnet_sb.nn.losses import (
    best_order,
    in_order,
    level_difference_db,
    negative_si_sdr,
    spectral_error_db,
    training_loss,
)


@pytest.fixture
def target():
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(2, 8000, 1, generator=generator)
    return target - target.mean(1, keepdim=True)


def orthogonal_noise(target, snr_db):
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    noise -= noise.mean(1, keepdim=True)
    noise -= target * (noise * target).sum(1, keepdim=True) / target.square().sum(1, keepdim=True)
    power = target.square().sum(1, keepdim=True) / noise.square().sum(1, keepdim=True)
    return noise * (power * 10 ** (-snr_db / 10)).sqrt()


@pytest.mark.parametrize("snr_db", [-5.0, 10.0])
def test_si_sdr_is_the_snr_of_orthogonal_noise_at_any_gain(target, snr_db):
    estimate = target + orthogonal_noise(target, snr_db)
    loss = negative_si_sdr(torch.stack([estimate, 7 * estimate]), target)
    assert loss.shape == (2, 2, 1)
    torch.testing.assert_close(loss, torch.full_like(loss, -snr_db), atol=1e-3, rtol=0)


def test_estimates_are_left_as_they_are(target):
    estimates = torch.stack([target + 1])
    before = estimates.clone()
    negative_si_sdr(estimates, target)
    assert torch.equal(estimates, before)


def test_the_level_has_its_weight(target):
    estimates = torch.stack([target + orthogonal_noise(target, 20)])
    level = level_difference_db(10 * estimates, target)
    torch.testing.assert_close(level, torch.full_like(level, 20.0432), atol=1e-2, rtol=0)
    louder, right = (training_loss(g * estimates, target, 0.01) for g in (10.0, 1.0))
    assert float(louder - right) == pytest.approx(0.01 * 20.04**2, abs=0.01)
    free = [training_loss(g * estimates, target, 0.0) for g in (10.0, 1.0)]
    torch.testing.assert_close(*free, atol=1e-4, rtol=0)


def test_a_silent_estimate_has_a_finite_gradient(target):
    estimates = torch.zeros(1, *target.shape, requires_grad=True)
    training_loss(1.0 * estimates, target, 0.01).backward()
    assert torch.isfinite(estimates.grad).all()


@pytest.mark.parametrize("num_sources", [2, 3])
def test_the_order_is_that_of_speechbrains_permutation_invariant_loss(num_sources):
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(5, 4000, num_sources, generator=generator)
    estimate = torch.randn(5, 4000, num_sources, generator=generator)
    ordered = in_order(target, best_order(target, estimate[None]))
    loss = negative_si_sdr(estimate[None], ordered).mean((0, 2))
    torch.testing.assert_close(loss, get_si_snr_with_pitwrapper(target, estimate).squeeze())


def test_one_order_holds_for_all_depths():
    target = torch.randn(1, 4000, 2, generator=torch.Generator().manual_seed(0))
    clear, faint = target.flip(-1) + 0.1, target + target.flip(-1) * 0.5
    assert best_order(target, torch.stack([clear, faint])).tolist() == [[1, 0]]
    assert best_order(target, faint[None]).tolist() == [[0, 1]]


def test_the_spectral_error_knows_the_level_and_the_phase():
    target = torch.randn(3, 8000, 2)
    others = torch.stack([target, 0.5 * target, -target, target + torch.randn(3, 8000, 2)])
    error = spectral_error_db(others, target)
    assert error.shape == (4, 3, 2)
    assert (error[0] < -79).all()
    # The magnitudes have 0.9 of the weight, and -target has the right ones.
    assert (error[2] < -3.9).all() and (error[2] > -4.1).all()
    torch.testing.assert_close(spectral_error_db(7 * others, 7 * target), error, atol=0.1, rtol=0)


def test_the_spectral_error_of_silence_has_a_gradient():
    estimates = torch.zeros(1, 2, 4000, 1, requires_grad=True)
    spectral_error_db(estimates, torch.zeros(2, 4000, 1)).sum().backward()
    assert torch.isfinite(estimates.grad).all()


def test_the_window_of_the_spectral_error_is_in_seconds():
    target = torch.randn(2, 8000, 1)
    estimates = torch.stack([target + torch.randn(2, 8000, 1)])
    error = spectral_error_db(estimates, target, sample_rate=8000)
    torch.testing.assert_close(error, spectral_error_db(estimates, target, window_seconds=0.016))
    assert not torch.equal(error, spectral_error_db(estimates, target))
