"""A small share of what fuzz_audio.py tries, and files that would not fit into memory."""

import struct
import time

import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.errors import InputError
from tests.conftest import make_model, run_python
from tests.faults.fuzz_audio import fuzz


def test_damaged_audio_gives_a_result_or_one_line(tmp_path):
    tried, findings = fuzz(files=200, minutes=5, seed=int(time.time()), kept=tmp_path / "kept")
    assert tried >= 100
    assert not findings


def test_three_gigabytes_of_nothing_are_not_returned(tmp_path):
    path, size = tmp_path / "sparse.wav", 3_000_000_000
    layout = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    with open(path, "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + layout)
        file.write(b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    enhancer = BloomEnhancer({"model": make_model()}, {"sample_rate": 16000})
    with pytest.raises(InputError, match="sparse.wav: 1500000000 samples are too many"):
        enhancer.enhance_file(path)


def test_memory_does_not_grow_with_the_channels(tmp_path):
    code = (
        "import resource, sys; from bloomnet_sb import BloomEnhancer; "
        "from tests.conftest import make_model; "
        "model = make_model(num_filters=256, bottleneck_channels=64, hidden_channels=256); "
        "enhancer = BloomEnhancer({'model': model}, {'sample_rate': 16000}); "
        "enhancer.enhance_file(sys.argv[1], sys.argv[2], blocks=1); "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)"
    )
    megabytes = []
    for channels in (8, 64):
        path = tmp_path / f"{channels}.wav"
        sf.write(path, np.zeros((4 * 16000, channels)), 16000)
        result = run_python("-c", code, path, tmp_path / "out.wav")
        megabytes.append(int(result.stdout.split()[-1]))
    # The samples of all channels, a few times, are held; the activations of eight.
    assert megabytes[1] - megabytes[0] < 250
