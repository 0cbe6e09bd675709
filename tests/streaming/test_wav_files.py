import io

import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.streaming.wav_files import read_wav, write_wav

SAMPLES = np.array([[0.0, 0.5], [-1.0, 0.25], [0.75, -0.5]])


@pytest.mark.parametrize("container", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_every_kind_of_wav_is_read(container, subtype, tmp_path):
    sf.write(tmp_path / "a.wav", SAMPLES, 22050, subtype, format=container)
    wav = read_wav(tmp_path / "a.wav")
    assert wav.samples.tolist() == SAMPLES.tolist()
    assert (wav.rate, wav.is_float) == (22050, subtype in ("FLOAT", "DOUBLE"))


@pytest.mark.parametrize("is_float", [False, True])
def test_what_is_written_is_read_by_others(is_float, tmp_path):
    write_wav(tmp_path / "deeper" / "a.wav", 1.5 * SAMPLES, 16000, is_float)
    read, rate = sf.read(tmp_path / "deeper" / "a.wav")
    expected = 1.5 * SAMPLES if is_float else (1.5 * SAMPLES).clip(-1, 32767 / 32768)
    np.testing.assert_allclose(read, expected, atol=1e-7)
    assert rate == 16000
    assert [path.name for path in (tmp_path / "deeper").iterdir()] == ["a.wav"]


@pytest.mark.parametrize("size", [0, 2**32 - 1, 0x7FFFF000, 10**6])
def test_sizes_that_are_not_what_they_say(size, tmp_path):
    sf.write(tmp_path / "a.wav", SAMPLES, 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = size.to_bytes(4, "little")
    (tmp_path / "a.wav").write_bytes(data)
    assert len(read_wav(tmp_path / "a.wav").samples) == len(SAMPLES)


@pytest.mark.parametrize("frames", [1, 6])  # less than the head of a chunk, and more
def test_a_file_whose_size_was_never_written_has_all_its_samples(frames, tmp_path):
    content = encoded("WAV", frames=frames)
    (tmp_path / "a.wav").write_bytes(content[:40] + bytes(4) + content[44:])
    assert len(read_wav(tmp_path / "a.wav").samples) == frames


@pytest.mark.parametrize("container", ["WAV", "RF64"])
@pytest.mark.parametrize("name", [b"LIST", b"iXML"])
def test_what_is_kept_behind_the_sound_is_not_heard(container, name, tmp_path):
    behind = name + (5).to_bytes(4, "little") + b"words"
    (tmp_path / "a.wav").write_bytes(encoded(container) + behind + bytes(1))
    assert len(read_wav(tmp_path / "a.wav").samples) == 1000
    (tmp_path / "none.wav").write_bytes(encoded(container, frames=0) + behind)
    with pytest.raises(ValueError, match="none.wav: a WAV file without samples"):
        read_wav(tmp_path / "none.wav")


def encoded(container, subtype=None, frames=1000):
    file = io.BytesIO()
    sf.write(file, np.zeros(frames), 16000, subtype, format=container)
    return file.getvalue()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (encoded("FLAC"), "no WAV file; convert it to one first"),
        (encoded("MP3"), "no WAV file; convert it to one first"),
        (encoded("WAV", "ULAW"), "WAV of kind 7 and 8 bits; convert it to 8, 16, 24 or 32 bits"),
        (encoded("WAV", "IMA_ADPCM"), "WAV of kind 17 and 4 bits; convert it"),
        (encoded("WAV")[:30], "without its header or its samples"),
        (encoded("WAV")[:44], "a WAV file without samples"),
        (b"", "no WAV file"),
    ],
)
def test_what_is_no_such_file_is_named(data, message, tmp_path):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(ValueError, match=f"a.wav: .*{message}"):
        read_wav(tmp_path / "a.wav")


def test_what_is_not_there_or_cannot_be_written_is_named(tmp_path):
    with pytest.raises(ValueError, match="a.wav: cannot be read"):
        read_wav(tmp_path / "a.wav")
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="cannot be written"):
        write_wav(tmp_path / "file" / "a.wav", SAMPLES, 16000)
