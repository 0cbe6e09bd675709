import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.data import reading
from bloomnet_sb.data.mixing import draw_mixture, fixed_mixture, mix_at_snr
from bloomnet_sb.data.reading import File
from bloomnet_sb.utils.errors import InputError

RATE = 16000


@pytest.fixture
def write(tmp_path):
    def write(name, samples):
        path = tmp_path / f"{name}.wav"
        sf.write(path, samples, RATE, subtype="FLOAT")
        return File(str(path), len(samples))

    return write


def ramp(length, start=0.1):
    """A signal whose samples tell their place."""
    return start + np.arange(length, dtype=np.float32) / length / 2


def snr_db(mix, target):
    return 10 * np.log10(np.mean(target**2) / np.mean((mix - target) ** 2))


def draw(speech, noises, frames=1000, snr=(0, 0), seed=0):
    return draw_mixture(speech, noises, frames, snr, np.random.default_rng(seed))[:2]


@pytest.mark.parametrize("snr", [-5.0, 0.0, 10.0])
def test_mixture_has_the_snr_and_unit_variance(snr):
    rng = np.random.default_rng(0)
    mix, target = mix_at_snr(0.01 * rng.standard_normal(9000), rng.standard_normal(9000), snr)
    assert snr_db(mix, target) == pytest.approx(snr, abs=1e-3)
    assert np.mean(mix**2) == pytest.approx(1, abs=1e-4)


def test_drawn_snr_covers_the_range_evenly(write):
    speech, noise = write("speech", ramp(4000)), write("noise", ramp(4000))
    drawn = [snr_db(*draw(speech, [noise], 100, (-5, 10), seed)) for seed in range(300)]
    assert min(drawn) >= -5.01
    assert max(drawn) <= 10.01
    assert np.histogram(drawn, bins=3, range=(-5.01, 10.01))[0].min() > 70


def test_segments_come_from_everywhere_and_only_they_are_read(write, monkeypatch):
    speech, noise = write("speech", ramp(100 * RATE)), write("noise", ramp(50 * RATE))
    read = []
    original = reading.read_audio
    monkeypatch.setattr(
        reading, "read_audio", lambda p, s, f: (read.append((p, s, f)), original(p, s, f))[1]
    )
    for seed in range(40):
        draw(speech, [noise], RATE, seed=seed)
    starts = [start for path, start, _ in read if path == speech[0]]
    assert max(frames for *_, frames in read) == RATE
    assert min(starts) < 20 * RATE
    assert max(starts) > 80 * RATE


def test_silent_segments_are_drawn_again(write):
    sound = np.concatenate([np.zeros(20000, np.float32), ramp(5000)])
    noise = write("noise", ramp(4000))
    for seed in range(20):
        _, target = draw(
            write("speech", sound), [noise, write("silent", np.zeros(4000))], seed=seed
        )
        assert np.abs(target).max() > 0


@pytest.mark.parametrize("place", [0, 123456, 199990])
def test_a_file_that_is_silent_nearly_everywhere_is_searched(write, place):
    sound = np.zeros(200000, np.float32)
    sound[place : place + 10] = ramp(10)
    speech, noise = write("speech", sound), write("noise", ramp(4000))
    assert draw(speech, [noise], 99)[1].any()
    assert np.array_equal(draw(speech, [noise], 99), draw(speech, [noise], 99))
    assert draw(noise, [speech], 99)[0].any()


def test_a_silent_file_is_named(write):
    with pytest.raises(InputError, match="silent.wav: silent"):
        draw(write("silent", np.zeros(5000)), [write("noise", ramp(4000))])


def test_a_constant_offset_is_no_noise(write):
    rng = np.random.default_rng(0)
    sound = 0.01 * rng.standard_normal(4000)
    speech = write("speech", 0.1 * rng.standard_normal(4000))
    for noise in (sound, sound + 0.5):
        mix, target = draw(speech, [write("noise", noise)], frames=2000)
        heard = mix - target
        assert snr_db(mix, target) == pytest.approx(0, abs=1e-3)
        assert abs(heard.mean()) < 1e-4
    with pytest.raises(InputError, match="offset.wav: silent"):
        draw(speech, [write("offset", np.full(4000, 0.5))])


def test_short_noise_is_looped(write):
    noise = ramp(300)
    mix, target = draw(write("speech", ramp(4000)), [write("noise", noise)], frames=1000)
    heard = mix - target
    np.testing.assert_allclose(heard[300:600], heard[:300], atol=1e-4)
    assert len(np.unique(heard[:300])) == 300


def test_short_speech_is_padded(write):
    _, target = draw(write("speech", ramp(400)), [write("noise", ramp(4000))], frames=1000)
    assert np.abs(target[:400]).min() > 0
    assert not target[400:].any()


def test_evaluation_mixture_depends_on_its_id_alone(write):
    speech, noises = write("speech", ramp(9000)), [write(f"n{i}", ramp(4000)) for i in range(9)]
    first = fixed_mixture("id-1", speech, noises, 5000, (-5, 10))
    again = fixed_mixture("id-1", speech, noises, 5000, (-5, 10))
    other = fixed_mixture("id-2", speech, noises, 5000, (-5, 10))
    assert np.array_equal(first[0], again[0])
    assert not np.array_equal(first[0], other[0])
    assert len(first[0]) == 5000
    assert first.noise == again.noise == "n" + first.noise[1]
    assert len(fixed_mixture("id-1", speech, noises, 10000, (-5, 10))[0]) == 9000


def test_nan_is_named(write):
    broken = np.full(4000, np.nan, np.float32)
    with pytest.raises(InputError, match="broken.wav: holds NaN"):
        draw(write("speech", ramp(4000)), [write("broken", broken)])
