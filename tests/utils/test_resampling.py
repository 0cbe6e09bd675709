import numpy as np
import pytest
import soundfile as sf
import torch
from torchaudio.transforms import Resample

from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.resampling import read_resampled, resampled


@pytest.mark.parametrize(
    ("from_rate", "to_rate"),
    [(16000, 16000), (44100, 16000), (16000, 44100), (48000, 16000), (8000, 16000), (11025, 8000)],
)
@pytest.mark.parametrize("sizes", [[1], [3, 1000, 17], [10000]])
@pytest.mark.parametrize("samples", [1, 500, 4321])
def test_resampled_pieces_are_the_resampled_whole(from_rate, to_rate, sizes, samples):
    signal = torch.randn(2, samples, generator=torch.Generator().manual_seed(0))
    pieces, start = [], 0
    while start < samples:
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(signal[:, start : start + size])
        start += size
    expected = Resample(from_rate, to_rate)(signal)
    result = torch.cat(list(resampled(pieces, from_rate, to_rate)), dim=-1)
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_a_file_at_another_rate_and_mixed_to_one_channel(tmp_path):
    signal = torch.rand(3, 44100, generator=torch.Generator().manual_seed(0)) - 0.5
    sf.write(tmp_path / "in.wav", signal.T.numpy(), 44100, subtype="FLOAT")
    for mono, expected in ((False, signal), (True, signal.mean(0, keepdim=True))):
        pieces = list(read_resampled(tmp_path / "in.wav", 44100, 16000, mono))
        torch.testing.assert_close(
            torch.cat(pieces, dim=1), Resample(44100, 16000)(expected), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize(("rate", "reason"), [(1, "within 1000"), (15_991, "too little in common")])
def test_rates_that_are_no_audios_are_refused_before_anything_is_read(tmp_path, rate, reason):
    sf.write(tmp_path / "in.wav", np.zeros(100), rate)
    with pytest.raises(InputError, match=reason):
        read_resampled(tmp_path / "in.wav", rate, 16000)
