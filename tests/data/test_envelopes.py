import numpy as np
import pytest

from bloomnet_sb.data.envelopes import gate, level_step, pauses_silenced, speech_snr_db

RATE = 16000


def spoken_and_pauses(snr_db, seconds=4):
    """Bursts of half a second with pauses of half a second, over a steady noise."""
    rng = np.random.default_rng(0)
    frames = seconds * RATE
    bursts = (np.arange(frames) // (RATE // 2)) % 2
    noise = 10 ** (-snr_db / 20) * rng.normal(size=frames)
    return np.sqrt(2) * bursts * rng.normal(size=frames) + noise, bursts.astype(bool)


@pytest.mark.parametrize("snr_db", [15, 25, 45])
def test_the_snr_of_a_recording_is_found(snr_db):
    recording, _ = spoken_and_pauses(snr_db)
    # The quietest frames of noise are a little quieter than the noise.
    assert speech_snr_db(recording + 0.3, RATE) == pytest.approx(snr_db, abs=1.5)


def test_the_snr_of_silence_and_of_digital_pauses_is_finite():
    assert speech_snr_db(np.zeros(RATE), RATE) == 0
    assert speech_snr_db(np.repeat([0.0, 1.0, -1.0], RATE), RATE) == 100
    assert 0 <= speech_snr_db(np.ones(3), RATE) <= 100


@pytest.mark.parametrize("snr_db", [10, 20, 30])
def test_pauses_are_silenced_and_speech_is_not(snr_db):
    recording, bursts = spoken_and_pauses(snr_db)
    gains = pauses_silenced(recording, speech_snr_db(recording, RATE), RATE)
    assert gains[bursts].min() > 0.99
    middles = np.arange(RATE // 4, len(gains), RATE)
    if snr_db < 15:  # within 15 dB of the speech nothing is taken for a pause
        assert gains.min() > 0.99
    else:
        assert gains[middles].max() < 0.011
    assert np.abs(np.diff(20 * np.log10(gains))).max() < 0.1


@pytest.mark.parametrize("frames", [2, 500, 64000])
def test_a_gate_lets_something_through(frames):
    for seed in range(50):
        gains = gate(frames, RATE, np.random.default_rng(seed))
        assert gains.shape == (frames,)
        assert 0 <= gains.min() <= gains.max() <= 1
        assert gains.max() > 0


def test_a_level_step():
    gains = level_step(8000, -20.0, RATE, RATE)
    assert gains[7999] == 1
    np.testing.assert_allclose(gains[8320:], 0.1)
