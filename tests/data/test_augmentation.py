import numpy as np
import pytest

from bloomnet_sb.data import Augmentation
from bloomnet_sb.data.mixing import draw_mixture, power
from bloomnet_sb.data.reading import File
from bloomnet_sb.utils.errors import InputError
from tests.helpers.recipes import SAMPLES

RATE = 16000
SPEECH = File(str(SAMPLES / "demo" / "clean_0dB.flac"), 99587)
NOISES = [
    File(str(path), 64000)
    for path in sorted((SAMPLES / "musan" / "noise" / "free-sound").glob("*.flac"))[:3]
]
PLAIN = {
    "speech_speeds": [100],
    "noise_speeds": [100],
    "eq_db": 0,
    "noise_eq_db": 0,
    "band_limits_hz": [8000],
}


def tone(hertz):
    return lambda frames: np.sin(2 * np.pi * hertz / RATE * np.arange(frames))


def loudest_hertz(signal):
    return np.abs(np.fft.rfft(signal)).argmax() * RATE / len(signal)


def draw(augment, seed):
    return draw_mixture(SPEECH, NOISES, 8000, (5, 5), np.random.default_rng(seed), augment)[:2]


@pytest.mark.parametrize("frames", [1000, 8000, 12345])
@pytest.mark.parametrize("speed", [60, 85, 100, 115, 150])
def test_speed_changes_the_pitch_not_the_length(frames, speed):
    augment = Augmentation(RATE, **{**PLAIN, "speech_speeds": [speed]})
    signal = augment.speech(tone(1000), frames, np.random.default_rng(0))
    assert signal.shape == (frames,)
    assert loudest_hertz(signal) == pytest.approx(10 * speed, abs=2 * RATE / frames)


def test_a_draw_is_a_function_of_its_generator():
    augment = Augmentation(RATE)
    for one, two in zip(draw(augment, 0), draw(augment, 0), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(draw(augment, 0)[0], draw(augment, 1)[0])


@pytest.mark.parametrize("seed", range(5))
def test_mixtures_keep_their_snr_and_unit_power(seed):
    augment = Augmentation(RATE, band_limits_hz=[8000])
    mix, target = draw(augment, seed)
    assert power(mix) == pytest.approx(1, rel=1e-4)
    assert 10 * np.log10(power(target) / power(mix - target)) == pytest.approx(5, abs=0.01)


def test_the_band_limit_is_the_same_for_mixture_and_target():
    mix, target = draw(Augmentation(RATE, band_limits_hz=[2000]), 0)
    for signal in (mix, target):
        spectrum = np.abs(np.fft.rfft(signal)) ** 2
        edge = round(2300 / RATE * len(signal))
        assert spectrum[edge:].sum() < 1e-6 * spectrum.sum()
    assert power(mix) == pytest.approx(1, rel=1e-4)


def test_without_changes_the_noise_is_itself_or_reversed():
    augment = Augmentation(RATE, **PLAIN, most_noises=1)
    ramp = lambda n: np.arange(n) - 500.0  # noqa: E731
    noise = augment.noise(ramp, tone(1000), 1000, np.random.default_rng(0))
    assert abs(np.corrcoef(noise, np.arange(1000))[0, 1]) == pytest.approx(1, abs=1e-4)


def test_silence_stays_finite():
    silent = Augmentation(RATE).noise(np.zeros, np.zeros, 1000, np.random.default_rng(0))
    assert not silent.any()


def test_a_babble_is_the_voices_and_nothing_else():
    augment = Augmentation(RATE, **PLAIN, most_noises=1, babble=1.0)
    noise = augment.noise(tone(3000), tone(1000), 8000, np.random.default_rng(0))
    assert loudest_hertz(noise) == 1000


def test_synthetic_noise_needs_no_recording():
    def no_recording(frames):
        raise AssertionError

    augment = Augmentation(RATE, synthetic=1.0, most_noises=3)
    noise = augment.noise(no_recording, no_recording, 8000, np.random.default_rng(0))
    assert noise.shape == (8000,) and noise.any()


def test_the_babble_of_a_mixture_is_of_other_utterances():
    augment = Augmentation(RATE, **PLAIN, most_noises=1, babble=1.0)
    mixtures = [
        draw_mixture(SPEECH, NOISES, 8000, (5, 5), np.random.default_rng(0), augment, voices)
        for voices in ((), [SPEECH], NOISES)
    ]
    np.testing.assert_array_equal(mixtures[0].mix, mixtures[1].mix)
    assert not np.array_equal(mixtures[0].mix, mixtures[2].mix)
    assert mixtures[0].noise == ""


def test_a_room_keeps_the_direct_sound_in_place_and_rings_after_it():
    augment = Augmentation(RATE, **PLAIN, reverb=1.0)
    click = lambda frames: np.eye(1, frames, 4000)[0]  # noqa: E731
    in_room = augment.speech(click, 32000, np.random.default_rng(0))
    assert np.abs(in_room).argmax() == 4000
    assert np.abs(in_room[:4000]).max() < 1e-5
    assert np.abs(in_room[4200:6000]).max() > 1e-3


@pytest.mark.parametrize("frames", [100, 8000])
def test_rooms_leave_the_length_and_silence_alone(frames):
    augment = Augmentation(RATE, reverb=1.0, synthetic=0.5, most_noises=3)
    rng = np.random.default_rng(0)
    assert augment.noise(tone(500), tone(500), frames, rng).shape == (frames,)
    assert not augment.speech(np.zeros, frames, rng).any()


def test_only_the_mixture_is_clipped():
    mix, target = tone(100)(8000), tone(200)(8000)
    augment = Augmentation(RATE, **PLAIN, clip=1.0)
    clipped, same = augment.recording(mix, target, np.random.default_rng(0))
    np.testing.assert_array_equal(same, target)
    at = np.abs(clipped).max()
    assert 0.2 <= at <= 0.8
    np.testing.assert_array_equal(clipped, np.clip(mix, -at, at))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speech_speeds": []}, "speech_speeds is"),
        ({"noise_speeds": [0, 100]}, "noise_speeds is"),
        ({"speech_speeds": [97.5]}, "speech_speeds is"),
        ({"most_noises": 0}, "most_noises is 0"),
        ({"eq_db": -1}, "eq_db is -1"),
        ({"noise_eq_db": -1}, "noise_eq_db is -1"),
        ({"synthetic": 0.6, "babble": 0.5}, "synthetic is 0.6 and babble 0.5"),
        ({"babble": -0.1}, "babble -0.1"),
        ({"babble_voices": (5, 3)}, "babble_voices is"),
        ({"reverb": 1.5}, "reverb is 1.5"),
        ({"clip": -0.1}, "clip is -0.1"),
        ({"band_limits_hz": [0]}, "band_limits_hz is"),
    ],
)
def test_wrong_options(options, message):
    with pytest.raises(InputError, match=message):
        Augmentation(RATE, **options)
