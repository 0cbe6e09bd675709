import pytest
import soundfile as sf
import soxr
import torch

from bloomnet_sb.scoring.metrics import (
    OCTAVES,
    octave_powers,
    perceptual_scores,
    pesq_score,
    speech_level_db,
)
from tests.helpers.recipes import SAMPLES

# DNSMOS takes seconds to import.
dnsmos = pytest.mark.xdist_group("dnsmos")


@pytest.fixture(scope="module")
def signals():
    """Three seconds of clean and of noisy speech at 16 kHz."""
    return [
        sf.read(SAMPLES / "demo" / f"{name}_5dB.flac", dtype="float32")[0][None, :48000]
        for name in ("clean", "noisy")
    ]


@pytest.fixture(scope="module")
def scores(signals):
    """Those of the noisy speech."""
    return perceptual_scores(*signals, 16000, with_dnsmos=True)[0]


@dnsmos
@pytest.mark.parametrize("sample_rate", [24000, 44100, 48000])
def test_scores_of_higher_rates_are_those_at_16_khz(signals, scores, sample_rate):
    resampled = [soxr.resample(signal[0], 16000, sample_rate)[None] for signal in signals]
    found, failures = perceptual_scores(*resampled, sample_rate, with_dnsmos=True)
    assert failures == {}
    assert found == pytest.approx(scores, abs=0.02)


@pytest.mark.parametrize(("sample_rate", "least"), [(8000, 1.02), (16000, 1.04)])
def test_silence_in_place_of_speech_has_the_least_pesq(signals, sample_rate, least):
    """It is not left out of a mean, which would be better for it."""
    clean = soxr.resample(signals[0][0], 16000, sample_rate)
    assert pesq_score(clean, 0 * clean, sample_rate) == pytest.approx(least, abs=0.005)


@dnsmos
def test_dnsmos_does_not_follow_the_level(signals, scores):
    clean, noisy = signals
    quiet, failures = perceptual_scores(clean, 0.01 * noisy, 16000, with_dnsmos=True)
    assert failures == {}
    assert quiet["dnsmos"] == pytest.approx(scores["dnsmos"], abs=1e-3)
    assert 1 < scores["dnsmos"] < 5


def test_noise_that_is_left_does_not_count_as_level():
    target = torch.randn(1, 16000, 1)
    noise = torch.randn(1, 16000, 1)
    noise -= (noise * target).sum() / target.square().sum() * target
    levels = speech_level_db(torch.stack([target, 0.5 * target + 3 * noise, -target]), target)
    assert levels.flatten().tolist() == pytest.approx([0.0, -6.02, -60.0], abs=0.01)


def test_octaves_hold_all_the_power_between_their_edges():
    noise = torch.randn(160000)
    powers = octave_powers(noise, 16000)
    assert OCTAVES[len(powers) - 1] == 8000
    assert sum(powers) == pytest.approx(float(noise.square().mean()), rel=0.03)
    # Of white noise, each has twice the power of the one below; the last is cut at 8 kHz.
    assert powers[5] / powers[4] == pytest.approx(2, rel=0.1)


def test_octaves_above_half_the_rate_are_left_out():
    assert len(octave_powers(torch.randn(8000), 8000)) == OCTAVES.index(4000) + 1
    assert len(octave_powers(torch.randn(8000), 48000)) == len(OCTAVES)
