import pytest
import torch

from bloomnet_sb.losses import level_difference_db, negative_si_sdr, training_loss


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
