import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.data.audio import audio_info, read_audio
from bloomnet_sb.errors import InputError


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
