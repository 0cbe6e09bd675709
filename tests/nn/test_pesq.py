import pytest
import soundfile as sf
import torch
from pesq import pesq
from torchaudio.functional import resample

from bloomnet_sb.nn.pesq import SAMPLE_RATE, pesq_mos
from tests.helpers.recipes import SAMPLES


@pytest.fixture
def clean():
    file = sorted((SAMPLES / "LibriSpeech" / "test-clean").rglob("*.flac"))[0]
    speech, rate = sf.read(file, dtype="float32")
    assert rate == SAMPLE_RATE
    return torch.from_numpy(speech)


def noise(like, snr_db, seed=0):
    noise = torch.randn(like.shape, generator=torch.Generator().manual_seed(seed))
    return noise * like.std() / noise.std() * 10 ** (-snr_db / 20)


def mos(estimate, clean):
    return pesq_mos(estimate[None, None, :, None], clean[None, :, None]).item()


@pytest.mark.parametrize("snr_db", [-5, 0, 10, 20, 30, 40])
def test_it_is_the_score_of_the_package_pesq(clean, snr_db):
    noisy = clean + noise(clean, snr_db)
    score = pesq(SAMPLE_RATE, clean.numpy(), noisy.numpy(), "wb")
    assert mos(noisy, clean) == pytest.approx(score, abs=0.1)


def test_the_level_does_not_count(clean):
    noisy = clean + noise(clean, 20)
    assert mos(0.1 * noisy, clean) == pytest.approx(mos(noisy, clean), abs=1e-3)
    assert mos(-3 * clean, clean) == pytest.approx(4.644, abs=1e-3)


@pytest.mark.parametrize("sample_rate", [24000, 48000])
def test_signals_of_higher_rates_are_resampled(clean, sample_rate):
    clean, noisy = clean[:32000], clean[:32000] + noise(clean[:32000], 10)
    at_rate = [resample(signal, SAMPLE_RATE, sample_rate) for signal in (noisy, clean)]
    estimate = at_rate[0].requires_grad_()
    score = pesq_mos(estimate[None, None, :, None], at_rate[1][None, :, None], sample_rate)
    assert score.item() == pytest.approx(mos(noisy, clean), abs=0.05)
    score.sum().backward()
    assert estimate.grad.abs().max() > 0


def test_each_estimate_has_its_own(clean):
    target = torch.stack([clean[:16000], clean[4000:20000]])[..., None].repeat(1, 1, 2)
    estimates = torch.stack([target + noise(target, snr_db) for snr_db in (5, 15, 25)])
    scores = pesq_mos(estimates, target)
    assert scores.shape == (3, 2, 2)
    one = pesq_mos(estimates[1:2, 1:, :, 1:], target[1:, :, 1:])
    torch.testing.assert_close(scores[1, 1, 1], one[0, 0, 0])
    assert (scores[0] < scores[1]).all() and (scores[1] < scores[2]).all()


@pytest.mark.parametrize("samples_long", [1, 400, 5375, 5376, 16000])
@pytest.mark.parametrize("estimate_level", [0, 1e-20, 0.1, 1e6])
@pytest.mark.parametrize("target_level", [0, 0.1])
def test_it_has_a_gradient_for_any_signal(samples_long, estimate_level, target_level):
    target = target_level * torch.randn(1, samples_long, 1)
    estimate = estimate_level * torch.randn(1, 1, samples_long, 1)
    estimate.requires_grad_()
    score = pesq_mos(estimate, target)
    score.sum().backward()
    assert 0.99 < score.item() < 4.65
    assert torch.isfinite(estimate.grad).all()


def test_following_the_gradient_raises_the_score_of_the_package_pesq(clean):
    clean = clean[:32000]
    noisy = clean + noise(clean, 15)
    before = pesq(SAMPLE_RATE, clean.numpy(), noisy.numpy(), "wb")
    estimate = noisy.clone().requires_grad_()
    optimizer = torch.optim.Adam([estimate], lr=1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        (-pesq_mos(estimate[None, None, :, None], clean[None, :, None])).sum().backward()
        optimizer.step()
    after = pesq(SAMPLE_RATE, clean.numpy(), estimate.detach().numpy(), "wb")
    assert after > before + 0.3
