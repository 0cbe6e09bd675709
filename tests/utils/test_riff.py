import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.utils.riff import carry_chunks, speaker_mask
from tests.helpers.recordings import with_mask


@pytest.mark.parametrize("channels", [1, 6])
def test_a_speaker_mask_goes_to_files_of_as_many_channels(tmp_path, channels):
    source, target = tmp_path / "six.wav", tmp_path / "out.wav"
    source.write_bytes(with_mask(0x60F)())
    sf.write(target, np.zeros((10, channels)), 16000, format="WAVEX")
    own = speaker_mask(target)
    carry_chunks(source, target)
    assert speaker_mask(target) == (0x60F if channels == 6 else own)
