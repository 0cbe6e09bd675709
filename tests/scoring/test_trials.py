import pytest
import torch

from bloomnet_sb.data import eval_dataset, prepare_librispeech_musan
from bloomnet_sb.data.manifests import load_manifest, write_manifest
from bloomnet_sb.scoring.conditions import CONDITIONS, condition_pairs
from bloomnet_sb.scoring.trials import TestPart
from tests.helpers.recipes import SAMPLES


def level_db(signal):
    return float(10 * torch.log10(signal.double().square().mean()))


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    """Those of the samples, where speakers are of two kinds and noises of two categories."""
    folder = str(tmp_path_factory.mktemp("manifests"))
    prepare_librispeech_musan(str(SAMPLES), folder)
    for name, key, kinds in (
        ("speech_test", "kind", ("read", "acted")),
        ("noise_test", "category", ("rain", "wind")),
    ):
        entries = load_manifest(folder, str(SAMPLES), name)
        voices = sorted({entry.get("spk_id", name) for name, entry in entries.items()})
        for name_, entry in entries.items():
            entry[key] = kinds[voices.index(entry.get("spk_id", name_)) % 2]
        write_manifest(folder, name, entries)
    return folder


@pytest.fixture(scope="module")
def part(manifests):
    return TestPart(manifests, str(SAMPLES), "test", 16000, max_seconds=2.0)


def test_mixtures_are_those_of_eval_dataset_at_an_ordinary_level(manifests, part):
    data = eval_dataset(manifests, str(SAMPLES), "test", 2.0, (-5, 10), 16000)
    items = {item["id"]: item for item in data}
    trials = list(part.mixtures((-5, 10)))
    assert [trial.name for trial in trials] == sorted(items)
    for trial in trials:
        gain = 10 ** (-26 / 20)
        torch.testing.assert_close(trial.mix, gain * items[trial.name]["mix"])
        torch.testing.assert_close(trial.target, gain * items[trial.name]["target"][:, 0])
        assert trial.noise == items[trial.name]["noise"]
    assert {trial.kind for trial in trials} == {"read", "acted"}
    assert {trial.category for trial in trials} == {"rain", "wind"}


def test_another_band_has_the_same_voices_and_noises(part):
    for low, high in zip(part.mixtures((-5, 10)), part.mixtures((10, 25)), strict=True):
        assert (low.name, low.noise) == (high.name, high.noise)
        ratio = low.target.norm() / high.target.norm()
        torch.testing.assert_close(low.target, ratio * high.target, atol=1e-5, rtol=1e-4)
        snr_db = level_db(high.target) - level_db(high.mix - high.target)
        assert snr_db == pytest.approx(
            level_db(low.target) - level_db(low.mix - low.target) + 15, abs=0.1
        )


def test_clean_speech_and_noises(part):
    for trial in part.clean_speech():
        assert torch.equal(trial.mix, trial.target)
        assert level_db(trial.mix) == pytest.approx(-26, abs=0.01)
    noises = list(part.noises())
    assert [trial.name for trial in noises] == sorted(part.noise)
    assert all(len(trial.mix) == 32000 and not trial.target.any() for trial in noises)
    assert all(level_db(trial.mix) == pytest.approx(-26, abs=0.01) for trial in noises)


def test_a_limit_takes_from_every_kind(manifests):
    part = TestPart(manifests, str(SAMPLES), "test", 16000, max_seconds=0.5, limit=4)
    kinds = [trial.kind for trial in part.mixtures((-5, 10))]
    assert sorted(kinds) == ["acted", "acted", "read", "read"]
    assert len(list(part.noises())) == 4
    assert part.fingerprint() != TestPart(manifests, str(SAMPLES), "test", 16000).fingerprint()


def test_a_condition_differs_only_before_the_speech(part):
    frames = 4 * 16000
    pairs = list(condition_pairs(part, pairs=2))
    assert [pair.condition for pair in pairs] == [*CONDITIONS] * 2
    assert {pair.kind for pair in pairs} == {"read", "acted"}
    for pair in pairs:
        offset = 0.1 if pair.condition == "offset" else 0.0
        after = pair.after_noise[-frames:]
        torch.testing.assert_close(pair.disturbed[-frames:], after + offset)
        assert level_db(pair.target) - level_db(after - pair.target) == pytest.approx(10, abs=0.1)
        assert level_db(pair.target[:8000]) > level_db(pair.target) - 10
    louder, softer, silence, offset = pairs[:4]
    assert level_db(louder.disturbed[:frames]) - level_db(louder.target) == pytest.approx(20, abs=1)
    talker = softer.disturbed - softer.after_noise
    assert level_db(talker[:frames]) - level_db(softer.target) == pytest.approx(-20, abs=0.1)
    assert len(silence.disturbed) == 14 * 16000
    assert not silence.disturbed[: 10 * 16000].any()
    torch.testing.assert_close(offset.disturbed, offset.after_noise + 0.1)


def test_trials_are_the_same_in_every_run(manifests, part):
    again = TestPart(manifests, f"{SAMPLES}/../samples", "test", 16000, max_seconds=2.0)
    for one, other in zip(condition_pairs(part, 1), condition_pairs(again, 1), strict=True):
        assert torch.equal(one.disturbed, other.disturbed)
    assert again.fingerprint() == part.fingerprint()
    for one, other in zip(part.noises(), again.noises(), strict=True):
        assert torch.equal(one.mix, other.mix)
