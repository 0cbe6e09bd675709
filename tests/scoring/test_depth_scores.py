import pytest
import soundfile as sf
import torch

from bloomnet_sb.scoring.depth_scores import DepthScores, noise_name, snr_band
from tests.helpers.recipes import SAMPLES


def demo(name):
    samples, _ = sf.read(SAMPLES / "demo" / f"{name}.flac", dtype="float32")
    return torch.from_numpy(samples)[None]


def test_the_better_estimate_scores_better():
    clean, noisy = demo("clean_5dB"), demo("noisy_5dB")
    halfway = (clean + noisy) / 2
    scores = DepthScores([1, 2], 16000)
    scores.add("demo", noisy, clean[..., None], torch.stack([halfway, clean])[..., None])
    unprocessed, better, perfect = scores.summary()
    assert unprocessed["si_sdr"] == pytest.approx(5.0, abs=0.3)
    assert unprocessed["si_sdr_improvement"] == 0
    assert better["si_sdr_improvement"] == pytest.approx(6.02, abs=0.1)
    for metric in ("si_sdr", "pesq", "stoi", "dnsmos"):
        assert unprocessed[metric] < better[metric] < perfect[metric]
    assert perfect["pesq"] > 4.5
    assert perfect["level_db"] == pytest.approx(0.0, abs=1e-3)
    assert scores.failures == []


def test_a_metric_that_fails_is_named_and_left_out():
    scores = DepthScores([1], 16000, with_dnsmos=False)
    click = torch.randn(1, 1600)
    scores.add("click", click, click[..., None], click[None, ..., None])
    speech = demo("clean_0dB")
    scores.add("speech", speech, speech[..., None], speech[None, ..., None])
    for metric in ("PESQ", "STOI"):
        assert any(f.startswith(f"{metric} of click at 1 blocks: ") for f in scores.failures)
    assert scores.summary()[1]["pesq"] > 4.5
    assert scores.summary()[1]["stoi"] == pytest.approx(1.0)


def test_dnsmos_is_left_out_below_its_rate():
    scores = DepthScores([1], 8000)
    speech = torch.randn(1, 8000)
    scores.add("speech", speech, speech[..., None], speech[None, ..., None])
    assert scores.summary()[1]["dnsmos"] is None
    assert scores.failures == []


def test_improvement_by_snr_band_and_by_noise():
    scores = DepthScores([1, 2], 16000, with_dnsmos=False)
    generator = torch.Generator().manual_seed(0)
    for snr_db, noise in ((-3, "wind"), (-1, "rain"), (7, "rain")):
        target, rest = torch.randn(2, 1, 16000, generator=generator)
        rest *= 10 ** (-snr_db / 20)
        estimates = torch.stack([target + 0.5 * rest, target + 0.1 * rest])[..., None]
        scores.add(f"{snr_db}", target + rest, target[..., None], estimates, noise)
    bands = scores.improvement_by(snr_band)
    assert [(band["group"], band["mixtures"]) for band in bands] == [
        ("-5 to 0 dB", 2),
        ("5 to 10 dB", 1),
    ]
    for band in bands:
        assert band["si_sdr_improvement"] == pytest.approx([6, 20], abs=0.3)
    noises = scores.improvement_by(noise_name)
    assert [(noise["group"], noise["mixtures"]) for noise in noises] == [("rain", 2), ("wind", 1)]


def test_a_mixture_of_speech_alone_is_in_no_snr_band():
    scores = DepthScores([1], 16000, with_dnsmos=False)
    target = torch.randn(1, 16000, 2)
    scores.add("an-id", target.sum(-1), target, torch.randn(1, 1, 16000, 2))
    assert scores.improvement_by(snr_band) == scores.improvement_by(noise_name) == []
    assert scores.rows[0]["si_sdr_improvement"] == 0


def test_a_silent_target_is_left_out_of_the_means_that_it_has_none_of():
    scores = DepthScores([1], 16000, with_dnsmos=False)
    noise, voices = torch.randn(1, 16000), torch.randn(1, 16000, 2)
    silent = torch.zeros(1, 16000, 2)
    scores.add("voices", noise + voices.sum(-1), voices, voices[None], "rain")
    means = scores.summary()
    for target in (silent, torch.cat([voices[..., :1], silent[..., 1:]], -1)):
        scores.add("silent", noise + target.sum(-1), target, voices[None], "rain")
    for row, mean in zip(scores.summary(), means, strict=True):
        for metric in ("si_sdr", "si_sdr_improvement", "level_db"):
            assert row[metric] == mean[metric]
    assert [group["mixtures"] for group in scores.improvement_by(noise_name)] == [1]
    assert sum(group["mixtures"] for group in scores.improvement_by(snr_band)) == 1
    assert scores.rows[2]["snr_db"] is None


def test_a_mixture_too_short_for_a_metric_is_named_and_left_out():
    scores = DepthScores([1], 16000, with_dnsmos=False)
    noise = torch.randn(2, 300)
    scores.add("short", noise[:1], noise[1:, :, None], noise[None, 1:, :, None])
    assert scores.summary()[1]["stoi"] is None
    assert any("short" in line and "STOI" in line for line in scores.failures), scores.failures
