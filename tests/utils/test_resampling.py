import numpy as np
import pytest
import soundfile as sf
import torch

from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.resampling import read_resampled, resampled


def whole(signal, from_rate, to_rate):
    return torch.cat(list(resampled([signal], from_rate, to_rate)), dim=-1)


def test_every_channel_of_pieces_is_resampled_as_the_whole():
    signal = torch.randn(2, 4321, generator=torch.Generator().manual_seed(0))
    pieces = list(resampled(signal.split(700, dim=1), 44100, 16000))
    assert torch.equal(torch.cat(pieces, dim=1), whole(signal, 44100, 16000))
    assert torch.equal(torch.cat(pieces, dim=1)[1], whole(signal[1], 44100, 16000))


def test_a_file_at_another_rate_and_mixed_to_one_channel(tmp_path):
    signal = torch.rand(3, 44100, generator=torch.Generator().manual_seed(0)) - 0.5
    sf.write(tmp_path / "in.wav", signal.T.numpy(), 44100, subtype="FLOAT")
    for mono, expected in ((False, signal), (True, signal.mean(0, keepdim=True))):
        pieces = list(read_resampled(tmp_path / "in.wav", 44100, 16000, mono))
        torch.testing.assert_close(
            torch.cat(pieces, dim=1), whole(expected, 44100, 16000), atol=1e-6, rtol=0
        )


@pytest.mark.parametrize(
    ("rate", "reason"), [(1, "within 1000"), (767_999, "too little in common")]
)
def test_rates_that_are_no_audios_are_refused_before_anything_is_read(tmp_path, rate, reason):
    sf.write(tmp_path / "in.wav", np.zeros(100), rate)
    with pytest.raises(InputError, match=reason):
        read_resampled(tmp_path / "in.wav", rate, 16000)
