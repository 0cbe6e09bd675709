import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.utils.audio_files import audio_info, read_audio, read_pieces, writing
from bloomnet_sb.utils.errors import InputError


def test_a_part_equals_the_whole(noisy_file):
    whole = read_audio(noisy_file)
    assert np.array_equal(read_audio(noisy_file, 12345, 2000), whole[12345:14345])
    assert np.array_equal(read_audio(noisy_file, len(whole) - 10, 2000), whole[-10:])


@pytest.mark.parametrize("read", [audio_info, read_audio])
def test_unreadable_files_are_named(read, tmp_path):
    with pytest.raises(InputError, match="missing.wav: no such file"):
        read(tmp_path / "missing.wav")
    (tmp_path / "text.flac").write_text("not audio")
    with pytest.raises(InputError, match="text.flac: not a readable audio file"):
        read(tmp_path / "text.flac")


def test_a_wrong_call_is_not_the_files_fault(noisy_file):
    with pytest.raises(TypeError):
        read_audio(noisy_file, start="1")


def test_a_truncated_file_is_named(noisy_file, tmp_path):
    broken = tmp_path / "broken.flac"
    content = noisy_file.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="broken.flac: "):
        read_audio(broken)


def test_nan_is_named(tmp_path):
    path = tmp_path / "nan.wav"
    sf.write(path, np.array([0.0, np.nan]), 16000, subtype="FLOAT")
    with pytest.raises(InputError, match="nan.wav: holds NaN"):
        read_audio(path)


@pytest.mark.parametrize("size", [1e13, -3e38])
def test_absurdly_large_samples_are_named(size, tmp_path):
    path = tmp_path / "loud.wav"
    sf.write(path, np.array([0.0, size]), 16000, "FLOAT")
    with pytest.raises(InputError, match=r"loud.wav: holds NaN, infinite or absurdly large"):
        read_audio(path)


def test_a_file_without_a_header_is_named(tmp_path):
    path = tmp_path / "samples.raw"
    path.write_bytes(bytes(1000))
    with pytest.raises(InputError, match=r"samples.raw: not a readable audio file"):
        audio_info(path)


LENGTH_CHANGERS = [("wav", "IMA_ADPCM"), ("wav", "GSM610"), ("wav", "G721_32"), ("aiff", "ALAW")]


@pytest.mark.parametrize(("suffix", "subtype"), [*LENGTH_CHANGERS, ("wav", "ALAW")])
def test_the_length_is_kept_whatever_the_type(suffix, subtype, tmp_path):
    like = tmp_path / f"like.{suffix}"
    sf.write(like, np.zeros(2385), 8000, subtype)
    path = tmp_path / f"out.{suffix}"
    with writing(path, audio_info(like), channels=1) as write:
        write(np.zeros((2385, 1)))
    assert audio_info(path).frames == 2385
    assert (audio_info(path).subtype == subtype) == ((suffix, subtype) not in LENGTH_CHANGERS)


@pytest.mark.parametrize(("rate", "channels"), [(384_000, 1), (16_000, 256)])
def test_what_ogg_cannot_hold_is_refused(rate, channels, tmp_path):
    """libsndfile would end the process."""
    like = tmp_path / "like.wav"
    sf.write(like, np.zeros((10, channels)), rate)
    path = tmp_path / "out.ogg"
    with (
        pytest.raises(InputError, match=r"out.ogg: cannot write .ogg of"),
        writing(path, audio_info(like), channels) as write,
    ):
        write(np.zeros((10, channels)))
    assert not path.exists()


def test_pieces_of_many_channels_are_short(tmp_path):
    path = tmp_path / "wide.wav"
    sf.write(path, np.zeros((40_000, 500)), 768_000)
    assert [len(piece) for piece in read_pieces(path)] == [33_554, 6_446]


def test_mp3_of_absurdly_loud_samples(tmp_path):
    """LAME would end the process."""
    sf.write(tmp_path / "like.wav", np.zeros(10), 48000)
    loud = np.full((5000, 1), 1e11)
    with writing(tmp_path / "out.mp3", audio_info(tmp_path / "like.wav"), channels=1) as write:
        write(loud)
    assert audio_info(tmp_path / "out.mp3").frames == 5000
