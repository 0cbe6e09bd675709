"""A small share of what the fuzzers try, and files that would not fit into memory."""

import os
import resource
import struct

import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.utils.errors import InputError
from tests.faults import fuzz_audio, fuzz_pretrained
from tests.faults.fuzzing import fuzz
from tests.helpers.forked import run_forked
from tests.helpers.networks import conv_tasnet


@pytest.mark.parametrize(("fuzzer", "cases"), [(fuzz_audio, 100), (fuzz_pretrained, 100)])
def test_damaged_and_hostile_input_gives_a_result_or_one_line(fuzzer, cases, tmp_path):
    tried, findings = fuzz(fuzzer.prepare, cases, minutes=5, seed=0, kept=tmp_path / "kept")
    assert tried >= 100
    assert not findings


def test_a_fuzzer_keeps_what_goes_wrong(tmp_path):
    tried, findings = fuzz(wrong_now_and_then, cases=100, minutes=5, seed=0, kept=tmp_path)
    assert tried == 100
    assert len(findings) == 3
    assert findings[0].endswith("0_10: a finding")
    assert findings[1].endswith("0_20: ValueError: an error")
    assert findings[2].endswith("0_30: ended with -6")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0_10", "0_20", "0_30"]


def wrong_now_and_then():
    """A check that finds, raises and crashes."""

    def check(case, rng):
        if case.name == "0_20":
            raise ValueError("an error")
        if case.name == "0_30":
            os.abort()
        return "a finding" if case.name == "0_10" else None

    return check


def test_three_gigabytes_of_nothing_are_not_returned(tmp_path):
    path, size = tmp_path / "sparse.wav", 3_000_000_000
    layout = b"fmt " + struct.pack("<IHHIIHH", 16, 1, 1, 16000, 32000, 2, 16)
    with open(path, "wb") as file:
        file.write(b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + layout)
        file.write(b"data" + struct.pack("<I", size))
        file.truncate(44 + size)
    enhancer = BloomEnhancer({"model": conv_tasnet()}, {"sample_rate": 16000})
    with pytest.raises(InputError, match="sparse.wav: 1500000000 samples are too many"):
        enhancer.enhance_file(path)


def enhance_wide(path, output):
    """Enhance a file with a network of large activations; prints the most memory, in megabytes."""
    model = conv_tasnet(num_filters=256, bottleneck_channels=64, hidden_channels=256)
    BloomEnhancer({"model": model}, {"sample_rate": 16000}).enhance_file(path, output, blocks=1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def test_memory_does_not_grow_with_the_channels(tmp_path):
    megabytes = []
    for channels in (8, 32):
        path = tmp_path / f"{channels}.wav"
        sf.write(path, np.zeros((4 * 16000, channels)), 16000)
        result = run_forked(enhance_wide, path, tmp_path / "out.wav")
        megabytes.append(int(result.stdout.split()[-1]))
    # The samples of all channels, a few times, are held; the activations of eight.
    assert megabytes[1] - megabytes[0] < 250
