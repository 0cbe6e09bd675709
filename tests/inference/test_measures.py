import numpy as np
import pyloudnorm
import pytest
import soundfile as sf
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.inference.measures import FileMeasures, LoudnessMeter
from tests.helpers.networks import conv_tasnet
from tests.helpers.recipes import SAMPLES

NOISY = SAMPLES / "demo" / "noisy_0dB.flac"


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (16000, 2), (48000, 5)])
def test_loudness_in_pieces_is_that_of_pyloudnorm(rate, channels):
    generator = np.random.default_rng(0)
    signal = generator.standard_normal((6 * rate, channels)) * np.linspace(0.05, 0.2, channels)
    signal[rate : 3 * rate] *= 1e-3  # below the gate
    meter = LoudnessMeter(rate, channels)
    for piece in np.array_split(signal, 17):
        meter.add(piece.T)
    expected = pyloudnorm.Meter(rate).integrated_loudness(signal)
    assert meter.loudness() == pytest.approx(expected, abs=1e-6)


def test_the_loudness_of_six_channels_leaves_out_that_of_low_frequencies():
    rate, generator = 16000, np.random.default_rng(0)
    left, right, centre, low, *surround = 0.1 * generator.standard_normal((6, 2 * rate))
    meter = LoudnessMeter(rate, 6)
    meter.add(np.stack([left, right, centre, 9 * low, *surround]))
    five = np.stack([left, right, centre, *surround], axis=1)
    expected = pyloudnorm.Meter(rate).integrated_loudness(five)
    assert meter.loudness() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("signal", [np.zeros((1, 16000)), np.ones((1, 6000))])
def test_what_is_silent_or_too_short_has_no_loudness(signal):
    meter = LoudnessMeter(16000, 1)
    meter.add(signal)
    assert meter.loudness() is None


@pytest.mark.parametrize("together", [False, True])
def test_what_is_measured_is_what_the_files_hold(pretrained, tmp_path, together):
    enhancer = BloomEnhancer.from_hparams(source=str(pretrained))
    enhancer.measuring = True
    enhancer.window_seconds = 2.0  # several windows, which wait for each other
    noisy, rate = sf.read(NOISY)
    noisy[1000:1010] = 1.0
    sf.write(tmp_path / "in.wav", noisy, rate, "FLOAT")
    if together:
        other = tmp_path / "other.wav"
        sf.write(other, 0.1 * noisy, rate, "FLOAT")
        pairs = [(path, path.with_suffix(".out.wav")) for path in (other, tmp_path / "in.wav")]
        enhancer.enhance_alike(pairs)
    else:
        enhancer.enhance_file(tmp_path / "in.wav", tmp_path / "in.out.wav")
    result, _ = sf.read(tmp_path / "in.out.wav")
    found = enhancer.measures[str(tmp_path / "in.wav")]
    assert found["seconds"] == round(len(noisy) / rate, 3)
    assert found["clipped"] == 10
    expected = {
        "noisy_level_db": np.mean(noisy**2),
        "level_db": np.mean(result**2),
        "removed_over_kept_db": np.mean((noisy - result) ** 2) / np.mean(result**2),
    }
    for name, power in expected.items():
        assert found[name] == pytest.approx(10 * np.log10(power), abs=0.01), name


@pytest.mark.parametrize("alike", [False, True])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_U8", "ULAW", "ALAW"])
def test_samples_at_the_full_scale_of_their_type_are_clipped(tmp_path, subtype, alike):
    samples = np.zeros(1000)
    samples[:3], samples[3:5], samples[5] = 1, -1, 0.9
    first, path, out = (tmp_path / name for name in ("first.wav", "in.wav", "out.wav"))
    sf.write(first, 0 * samples, 16000, "FLOAT")
    sf.write(path, samples, 16000, subtype)
    enhancer = BloomEnhancer({"model": conv_tasnet()}, {"sample_rate": 16000})
    enhancer.measuring = True
    if alike:
        enhancer.enhance_alike([(first, tmp_path / "first.out.wav"), (path, out)])
    else:
        enhancer.enhance_file(path, out)
    assert enhancer.measures[str(path)]["clipped"] == 5


def test_what_has_no_number_is_none():
    measures = FileMeasures(16000, 1)
    measures.hear(torch.zeros(1, 100))
    measures.keep(torch.zeros(1, 100))
    assert measures.as_dict()["level_db"] is measures.as_dict()["removed_over_kept_db"] is None


def test_a_call_that_is_not_measured_leaves_none(pretrained, tmp_path):
    enhancer = BloomEnhancer.from_hparams(source=str(pretrained))
    enhancer.measuring = True
    enhancer.enhance_file(NOISY, tmp_path / "a.wav")
    enhancer.measuring = False
    enhancer.enhance_file(NOISY, tmp_path / "b.wav")
    assert enhancer.measures == {}
