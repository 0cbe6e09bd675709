import json

import numpy as np
import pytest

from bloomnet_sb.data import Augmentation, TrainingDraws, prepare_librispeech_musan
from bloomnet_sb.data.draws import GroupedFiles
from bloomnet_sb.data.mixing import power
from bloomnet_sb.utils.errors import InputError
from tests.helpers.recipes import SAMPLES

RATE = 16000
PLAIN = {"speech_speeds": [100], "noise_speeds": [100], "eq_db": 0.0, "noise_eq_db": 0.0}
RICH = {"most_noises": 3, "synthetic": 0.2, "babble": 0.1, "reverb": 0.5}
STILL = {"second_talker": 0.0, "level_change": 0.0}


@pytest.fixture(scope="module")
def manifests(tmp_path_factory):
    folder = tmp_path_factory.mktemp("manifests")
    prepare_librispeech_musan(str(SAMPLES), str(folder), estimate_snr=True)
    return folder


def training_draws(manifests, augmentation=(), **options):
    augment = Augmentation(RATE, **dict(augmentation))
    return TrainingDraws(str(manifests), str(SAMPLES), augment, **{"segment_seconds": 2, **options})


def drawn(draws, seed):
    return draws(np.random.default_rng(seed))


@pytest.mark.parametrize("seed", range(5))
def test_draws_have_their_lengths_levels_and_types(manifests, seed):
    draws = training_draws(manifests, {**RICH, "modulate": 0.5, "gate": 0.5})
    for signal in (draw := drawn(draws, seed)):
        assert signal.shape == (2 * RATE,)
        assert signal.dtype == np.float32
        assert np.isfinite(signal).all()
    assert power(draw.heard) == pytest.approx(1, rel=1e-3)
    assert power(draw.noise) == pytest.approx(1, rel=1e-3)
    for one, two in zip(draw, drawn(draws, seed), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(draw.heard, drawn(draws, seed + 100).heard)


def test_a_fingerprint_is_that_of_what_is_drawn(manifests, tmp_path):
    fingerprint = training_draws(manifests).fingerprint()
    (tmp_path / "corpora").symlink_to(SAMPLES)
    elsewhere = TrainingDraws(str(manifests), str(tmp_path / "corpora"), Augmentation(RATE), 2)
    assert elsewhere.fingerprint() == fingerprint
    others = [
        training_draws(manifests, second_talker=0.2),
        training_draws(manifests, segment_seconds=3),
        training_draws(manifests, {"reverb": 0.5}),
    ]
    assert len({fingerprint, *(draws.fingerprint() for draws in others)}) == 4


def test_without_a_room_the_target_is_what_is_heard(manifests):
    draws = training_draws(manifests, silence_pauses_below_db=-1.0)
    for seed in range(5):
        draw = drawn(draws, seed)
        np.testing.assert_array_equal(draw.heard, draw.target)


def test_in_a_room_the_target_has_the_early_reflections_at_their_level(manifests):
    draws = training_draws(manifests, {"reverb": 1.0}, silence_pauses_below_db=-1.0, **STILL)
    for seed in range(5):
        heard, target, _ = drawn(draws, seed)
        late = heard - target
        assert 1e-3 < power(late) < power(target) * 2
        # No level of its own: the heard signal has the target in it once.
        assert np.vdot(heard, target) / np.vdot(target, target) == pytest.approx(1, abs=0.2)


def test_pauses_of_noisy_recordings_are_silent_in_the_target_only(manifests, tmp_path):
    for name in ("speech_train", "noise_train"):
        manifest = json.loads((manifests / f"{name}.json").read_text())
        for entry in manifest.values():
            entry["snr_db"] = 20.0
        (tmp_path / f"{name}.json").write_text(json.dumps(manifest))
    draws = training_draws(tmp_path, PLAIN, **STILL)
    silenced = 0
    for seed in range(5):
        heard, target, _ = drawn(draws, seed)
        silenced += np.mean(np.abs(target) < 0.011 * np.abs(heard))
        assert power(heard - target) < 10 ** (-15 / 10)
        assert (np.abs(target) <= np.abs(heard) * (1 + 1e-6)).all()
    assert 0.005 < silenced / 5 < 0.5


def test_the_level_changes_by_as_much_as_it_may(manifests):
    plain = {**PLAIN, "most_noises": 1}
    options = {"second_talker": 0.0, "silence_pauses_below_db": -1.0}
    even = training_draws(manifests, plain, level_change=0.0, **options)
    changed = training_draws(manifests, plain, level_change=1.0, level_change_db=25.0, **options)
    steps_db = []
    for seed in range(20):
        # The same choices before the change, so that the ratio is the change itself.
        one, two = drawn(even, seed).heard, drawn(changed, seed).heard
        heard = np.abs(one) > 1e-2
        gains_db = 20 * np.log10(np.abs(two[heard]) / np.abs(one[heard]))
        steps_db.append(abs(gains_db[-1] - gains_db[0]))
    assert max(steps_db) < 25.1
    assert max(steps_db) > 15


def test_another_talker_takes_over(manifests):
    wavs = []
    draws = training_draws(manifests, PLAIN, second_talker=1.0)
    entry = draws.speech.entry
    draws.speech.entry = lambda member, rng: wavs.append(member) or entry(member, rng)
    for seed in range(10):
        wavs.clear()
        draws._talk(np.random.default_rng(seed))
        if len(set(wavs)) > 1:
            return
    pytest.fail("never")


def test_a_noise_has_no_seam_where_it_begins_anew(manifests):
    draws = training_draws(manifests, PLAIN)
    draws.augment.noise = lambda noise, voice, frames, rng: np.sin(np.arange(frames) * 0.01)
    noise = draws._noise(np.random.default_rng(0))
    assert abs(noise[0] - noise[-1]) < 0.02


def test_shares_go_to_groups_and_are_even_within_them():
    files = [("listed", str(n), {"wav": n}) for n in range(30)]
    files += [("studio", "a", {}), ("studio", "b", {})] + [("studio", "a", {})] * 50
    grouped = GroupedFiles(files, {"listed": 0.4})
    shares = dict(zip(grouped.members, grouped.shares, strict=True))
    assert sum(shares[str(n)] for n in range(30)) == pytest.approx(0.4)
    assert shares["a"] == shares["b"] == pytest.approx(0.3)
    rng = np.random.default_rng(0)
    found = [grouped.member(rng) for _ in range(2000)]
    assert found.count("a") / 2000 == pytest.approx(0.3, abs=0.05)
    without = GroupedFiles(files, {"listed": 0.4, "another corpus's": 0})
    assert without.shares.tolist() == grouped.shares.tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speaker_shares": {"sung": 0.3}}, "shares name sung, but there is speech"),
        ({"noise_shares": {"noise": 0.3}}, "must be shares of one whole"),
        ({"noise_shares": {"noise": 1.3}}, "must be shares of one whole"),
        ({"second_talker": 1.5}, "second_talker is 1.5"),
        ({"level_change_db": -1.0}, "level_change_db is -1.0, but must be 0 or more"),
        ({"segment_seconds": 0.0}, "segment_seconds is 0.0, but must be"),
    ],
)
def test_what_cannot_be_is_named(manifests, options, message):
    with pytest.raises(InputError, match=message):
        training_draws(manifests, **options)


def test_manifests_without_speakers_are_named(manifests, tmp_path):
    noise = (manifests / "noise_train.json").read_text()
    for name in ("noise_train", "speech_train"):
        (tmp_path / f"{name}.json").write_text(noise)
    with pytest.raises(InputError, match="has no wav or no spk_id"):
        training_draws(tmp_path)
