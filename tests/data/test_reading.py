import numpy as np
import pytest
import soundfile as sf
import soxr

from bloomnet_sb.data import reading
from bloomnet_sb.data.reading import File, frames_at, read_looped, read_segment

PAIRS = [(48000, 16000), (44100, 16000), (44100, 24000), (16000, 8000), (16000, 48000)]


@pytest.fixture
def write(tmp_path):
    def write(samples, rate, sample_rate):
        path = str(tmp_path / "file.wav")
        sf.write(path, samples, rate, subtype="FLOAT")
        return File(path, frames_at(len(samples), rate, sample_rate), (rate, sample_rate))

    return write


def noise(frames):
    return (0.1 * np.random.default_rng(0).standard_normal(frames)).astype(np.float32)


@pytest.mark.parametrize(("rate", "sample_rate"), PAIRS)
def test_a_segment_is_that_of_the_whole_resampled_file(write, rate, sample_rate):
    samples = noise(rate + 12)
    file = write(samples, rate, sample_rate)
    whole = soxr.resample(samples, rate, sample_rate)
    for start in (0, 1, 777, sample_rate // 2, file.frames - 1001):
        segment = whole[start : start + 1000]
        np.testing.assert_allclose(
            read_segment(file, start, 1000), segment - segment.mean(), atol=1e-5
        )


@pytest.mark.parametrize(("rate", "sample_rate"), PAIRS)
def test_the_end_is_padded_or_looped_at_the_rate_that_is_asked_for(write, rate, sample_rate):
    tone = np.sin(2 * np.pi * 400 * np.arange(rate // 4) / rate)  # a hundred periods
    file = write(tone, rate, sample_rate)
    assert file.frames == sample_rate // 4
    padded = read_segment(file, file.frames - 500, 1000)
    np.testing.assert_allclose(padded[500:], 0)
    assert np.abs(padded[:500]).max() > 0.9
    seconds = np.arange(3 * file.frames) / sample_rate
    looped = read_looped(file, 0, 3 * file.frames)
    inside = np.r_[200 : file.frames - 200, file.frames + 200 : 2 * file.frames - 200]
    expected = np.sin(2 * np.pi * 400 * seconds)[inside]
    np.testing.assert_allclose(looped[inside], expected, atol=5e-3)


def test_only_the_segment_and_a_margin_are_read(write, monkeypatch):
    file = write(noise(20 * 48000), 48000, 16000)
    read, original = [], reading.read_audio
    monkeypatch.setattr(
        reading, "read_audio", lambda p, s, f: (read.append((s, f)), original(p, s, f))[1]
    )
    read_segment(file, 160000, 16000)
    ((start, frames),) = read
    assert start == 3 * 160000 - 3 * 128
    assert frames == 3 * (16000 + 2 * 128)
