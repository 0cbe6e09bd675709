import pytest
import soundfile as sf
import torch

from bloomnet_sb.scoring import DepthScores
from tests.conftest import SAMPLES


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
    for metric in ("si_sdr", "pesq", "stoi"):
        assert unprocessed[metric] < better[metric] < perfect[metric]
    assert perfect["pesq"] > 4.5
    assert perfect["level_db"] == pytest.approx(0.0, abs=1e-3)
    assert scores.failures == []


def test_a_metric_that_fails_is_named_and_left_out():
    scores = DepthScores([1], 16000)
    click = torch.randn(1, 1600)
    scores.add("click", click, click[..., None], click[None, ..., None])
    speech = demo("clean_0dB")
    scores.add("speech", speech, speech[..., None], speech[None, ..., None])
    for metric in ("PESQ", "STOI"):
        assert any(f.startswith(f"{metric} of click at 1 blocks: ") for f in scores.failures)
    assert scores.summary()[1]["pesq"] > 4.5
    assert scores.summary()[1]["stoi"] == pytest.approx(1.0)


def test_pesq_has_no_mode_for_other_rates():
    scores = DepthScores([1], 44100)
    speech = torch.randn(1, 44100)
    scores.add("speech", speech, speech[..., None], speech[None, ..., None])
    assert scores.summary()[1]["pesq"] is None
    assert scores.failures == []
