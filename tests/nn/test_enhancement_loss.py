import shutil

import pytest
import torch

from bloomnet_sb.nn.enhancement_loss import (
    EnhancementLoss,
    compressed_spectrum_error,
    thresholded_snr_db,
)
from bloomnet_sb.utils.errors import InputError

SAMPLE_RATE = 16000


def noise_at(dbfs, seed=0, seconds=2.0, batch=2):
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(batch, round(seconds * SAMPLE_RATE), 1, generator=generator)
    return 10 ** (dbfs / 20) * noise


def snr_db(estimate, target, mix=None):
    """Of one depth, for each mixture."""
    mix = target if mix is None else mix
    return thresholded_snr_db(estimate[None], target, mix.squeeze(-1), SAMPLE_RATE, 1.0)[0, :, 0]


def loss_and_gradient(estimates, target, mix, **options):
    estimates = estimates.clone().requires_grad_()
    loss = EnhancementLoss(SAMPLE_RATE, **options)(estimates, target, mix.squeeze(-1))
    loss.backward()
    return loss.detach(), estimates.grad


SILENCE = torch.zeros(2, 2 * SAMPLE_RATE, 1)
SPEECH, NOISE, OFFSET = noise_at(-26), noise_at(-30, seed=1), torch.full_like(SILENCE, 0.1)


@pytest.mark.parametrize("pesq_weight", [0.0, 1.0])
@pytest.mark.parametrize(
    ("target", "noise"),
    [(SPEECH, NOISE), (SPEECH, SILENCE), (SILENCE, NOISE), (SILENCE, SILENCE), (SILENCE, OFFSET)],
    ids=["noisy speech", "clean speech", "noise alone", "silence", "an offset alone"],
)
def test_loss_and_gradient_are_finite(target, noise, pesq_weight):
    mix = target + noise
    estimates = torch.stack([mix, target, 0 * mix, target + 1e-3 * SPEECH])
    loss, gradient = loss_and_gradient(estimates, target, mix, pesq_weight=pesq_weight)
    assert torch.isfinite(loss) and torch.isfinite(gradient).all()


def test_estimates_of_noise_alone_learn_to_be_silent():
    estimates = torch.stack([NOISE, 0.1 * NOISE])
    _, gradient = loss_and_gradient(estimates, SILENCE, NOISE)
    assert ((gradient * estimates).sum((2, 3)) > 1e-3).all()
    left = [snr_db(gain * NOISE, SILENCE, NOISE).mean().item() for gain in (1.0, 0.1, 0.0)]
    assert left == pytest.approx([0.0, 19.6, 30.0], abs=0.05)


def test_the_snr_has_a_ceiling():
    ratios = [snr_db(SPEECH * (1 + 10 ** (-r / 20)), SPEECH).mean().item() for r in (0, 10, 30, 60)]
    assert ratios == pytest.approx([0, 10, 27, 30], abs=0.05)


def test_what_is_taken_from_the_speech_may_count_more_than_noise_that_is_left():
    window, mix = torch.hann_window(512), SPEECH.squeeze(-1)
    estimates = torch.stack([0.5 * SPEECH, 2.0 * SPEECH])
    less, more = compressed_spectrum_error(estimates, SPEECH, mix, window, 1.0).unbind()
    heavier = compressed_spectrum_error(estimates, SPEECH, mix, window, 1.0, oversuppression=3.0)
    torch.testing.assert_close(heavier, torch.stack([3 * less, more]))
    with pytest.raises(InputError, match="oversuppression is 0.0, but must be above 0"):
        EnhancementLoss(SAMPLE_RATE, oversuppression=0.0)


def test_a_quiet_talker_counts_as_much_as_a_loud_one():
    quiet = torch.cat([noise_at(-26, seconds=1), noise_at(-51, seconds=1)], dim=1)
    target, mix = quiet, quiet + 0.3 * NOISE
    first, second = target.clone(), target.clone()
    first[:, :SAMPLE_RATE] *= 0.5
    second[:, SAMPLE_RATE:] *= 0.5
    torch.testing.assert_close(snr_db(first, target, mix), snr_db(second, target, mix))


def test_what_is_left_in_a_pause_of_the_talker_counts():
    target = SPEECH.clone()
    target[:, SAMPLE_RATE:] = 0
    mix, estimate = target + NOISE, target.clone()
    estimate[:, SAMPLE_RATE:] = 0.1 * NOISE[:, SAMPLE_RATE:]
    torch.testing.assert_close(snr_db(estimate, target, mix), torch.full((2,), 24.8), **close(0.05))


@pytest.mark.parametrize(("seconds", "segments"), [(0.3, 1), (1.4, 1), (1.6, 2)])
def test_a_short_remainder_joins_the_segment_before(seconds, segments):
    target = noise_at(-26, seconds=seconds)
    estimate = target.clone()
    estimate[:, SAMPLE_RATE:] = 0  # 0 dB there, if anything is
    last = max(seconds - 1, 0) / seconds
    expected = -10 * torch.tensor(last + 1e-3).log10() if segments == 1 else torch.tensor(15.0)
    torch.testing.assert_close(snr_db(estimate, target), expected.expand(2), **close(0.1))


@pytest.mark.parametrize("gain_db", [-50, 20])
@pytest.mark.parametrize("target", [SPEECH, SILENCE], ids=["speech", "noise alone"])
def test_a_common_gain_changes_nothing(target, gain_db):
    gain = 10 ** (gain_db / 20)
    estimates, mix = torch.stack([target + 0.3 * NOISE, target + NOISE]), target + NOISE
    loss, gradient = loss_and_gradient(estimates, target, mix)
    same, scaled = loss_and_gradient(gain * estimates, gain * target, gain * mix)
    torch.testing.assert_close(same, loss, rtol=1e-3, atol=0)
    torch.testing.assert_close(gain * scaled, gradient, rtol=0, atol=1e-2 * gradient.abs().max())


def test_the_level_and_the_phase_count():
    def error(estimate, share=0.7):
        window, mix = torch.hann_window(512), SPEECH.squeeze(-1)
        return compressed_spectrum_error(estimate[None], SPEECH, mix, window, share).mean()

    assert error(SPEECH) == 0 and error(0.5 * SPEECH) > 0.1
    # The magnitudes are right, the complex values twice their size off.
    torch.testing.assert_close(error(-SPEECH), 0.3 * 4 * error(SILENCE, share=0.0))


def test_the_spectrum_is_that_of_torch_and_its_gradient_too():
    """At sizes that are no multiple of the hop, for two sources, against torch's own."""
    generator = torch.Generator().manual_seed(0)
    target, estimate = torch.randn(2, 2, 203, 2, generator=generator, dtype=torch.double)
    window = torch.hann_window(32, dtype=torch.double)
    mix = target.sum(-1)
    estimates = estimate[None].requires_grad_()
    error = compressed_spectrum_error(estimates, target, mix, window)
    reference = error_by_torch(estimates, target, mix, window)
    torch.testing.assert_close(error, reference)
    gradient, expected = (torch.autograd.grad(e.sum(), estimates)[0] for e in (error, reference))
    torch.testing.assert_close(gradient, expected)


def error_by_torch(estimates, target, mix, window):
    level = (mix.square().mean(-1) + 1e-11).sqrt()[:, None, None]

    def spectrum(signals):
        padded = torch.nn.functional.pad((signals / level).transpose(-1, -2), (16, 16 + 5))
        return torch.fft.rfft(padded.unfold(-1, 32, 16) * window)

    clean, estimated = spectrum(target), spectrum(estimates)
    magnitudes = [(s.abs().square() + 1e-6).pow(0.15) for s in (estimated, clean)]
    values = [s * (s.abs().square() + 1e-6).pow(-0.35) for s in (estimated, clean)]
    errors = 0.7 * (magnitudes[0] - magnitudes[1]) ** 2 + 0.3 * (values[0] - values[1]).abs() ** 2
    return errors.mean((-1, -2))


def test_estimates_in_bfloat16_have_the_loss_of_their_values():
    estimates, mix = torch.stack([SPEECH + 0.3 * NOISE]).bfloat16(), SPEECH + NOISE
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss, _ = loss_and_gradient(estimates, SPEECH, mix)
    torch.testing.assert_close(loss, loss_and_gradient(estimates.float(), SPEECH, mix)[0])


@pytest.mark.xdist_group("compiled")  # what the compiler needs once, it makes once
@pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")
def test_compiled_it_is_the_same():
    loss = EnhancementLoss(SAMPLE_RATE)
    estimates, mix = torch.stack([SPEECH + 0.3 * NOISE, SPEECH + NOISE]), SPEECH + NOISE
    expected, expected_gradient = loss_and_gradient(estimates, SPEECH, mix)
    loss.compile()
    estimates.requires_grad_()
    compiled = loss(estimates, SPEECH, mix.squeeze(-1))
    compiled.backward()
    torch.testing.assert_close(compiled, expected)
    torch.testing.assert_close(estimates.grad, expected_gradient)


def test_pesq_is_refused_at_another_rate():
    with pytest.raises(InputError, match="pesq_weight is 0.1 with a sample_rate of 8000"):
        EnhancementLoss(8000, pesq_weight=0.1)


def close(atol):
    return {"rtol": 0, "atol": atol}
