import os
import pty
import sys
import termios
import time
from contextlib import nullcontext
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile as sf
import torch

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.streaming import live
from bloomnet_sb.streaming.live import run_live
from bloomnet_sb.streaming.policies import Fixed, Policy, RealTime
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import conv_tasnet

ENHANCER = BloomEnhancer({"model": conv_tasnet(norm="BN", causal=True)}, {"sample_rate": 16000})


def written(path):
    samples, rate = sf.read(path, dtype="float32")
    assert rate == 16000
    return samples


@pytest.fixture
def short_file(noisy_file, tmp_path):
    samples, _ = sf.read(noisy_file, dtype="float32")
    sf.write(tmp_path / "in.wav", samples[:8050], 16000, subtype="FLOAT")
    return str(tmp_path / "in.wav")


def test_a_file_to_a_file_is_the_offline_result(short_file, tmp_path):
    report = run_live(
        ENHANCER.stream(2), Fixed(2), short_file, str(tmp_path / "out.wav"), speed="full"
    )
    assert report.chunks == 51
    assert report.blocks == 2
    assert report.audio_seconds == pytest.approx(8050 / 16000)
    whole = ENHANCER.enhance_file(short_file, blocks=2)
    out = written(tmp_path / "out.wav")
    assert len(out) == 8050
    np.testing.assert_allclose(out, whole.clamp(-1, 1), atol=1e-4)


def test_in_real_time(short_file, tmp_path):
    start = time.perf_counter()
    run_live(ENHANCER.stream(), RealTime(), short_file, str(tmp_path / "out.wav"))
    assert time.perf_counter() - start >= 0.5


def test_another_rate_and_channels(noisy_file, tmp_path):
    samples, _ = sf.read(noisy_file, dtype="float32")
    sf.write(tmp_path / "in.flac", np.stack([samples, samples], 1)[:44100], 44100)
    run_live(
        ENHANCER.stream(3),
        Fixed(3),
        str(tmp_path / "in.flac"),
        str(tmp_path / "o.wav"),
        speed="full",
    )
    assert len(written(tmp_path / "o.wav")) == 16000


class Three(Policy):
    """All blocks, and a note of what was seen."""

    def __init__(self):
        self.seen = []

    def choose(self, observed):
        self.seen.append(observed.blocks)
        return 3


def test_keys_choose_the_blocks_and_end(short_file, tmp_path, monkeypatch):
    typed = iter(["", "", "2", "", "x", "9", "a", "", "q"])
    monkeypatch.setattr(live, "_keys", lambda: nullcontext(lambda: next(typed)))
    policy = Three()
    report = run_live(
        ENHANCER.stream(), policy, short_file, str(tmp_path / "out.wav"), speed="full"
    )
    assert report.chunks == 9
    assert len(policy.seen) == 5
    assert report.blocks == pytest.approx((4 * 3 + 5 * 2) / 9)
    assert len(written(tmp_path / "out.wav")) == 9 * 160


def test_keys_of_a_terminal(monkeypatch):
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "r", buffering=1) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(terminal)
        with live._keys() as pressed:
            assert pressed() == ""
            os.write(controller, b"2")
            assert pressed() == "2"
            assert pressed() == ""
        assert termios.tcgetattr(terminal) == before
    os.close(controller)


@pytest.fixture
def devices(monkeypatch):
    """A sounddevice that hears noise for 20 chunks and keeps what it plays."""
    played, opened = [], []

    class Stream:
        def __init__(self, device, samplerate, blocksize, channels, dtype):
            if device == "none":
                raise ValueError("No such device")
            opened.append((device, samplerate, blocksize, channels, dtype))
            self.left = 20

        def __enter__(self):
            return self

        def __exit__(self, *error):
            opened.append("closed")

        def read(self, frames):
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt
            return np.random.randn(frames, 1).astype(np.float32), False

        def write(self, signal):
            played.append(signal.copy())

    fake = SimpleNamespace(InputStream=Stream, OutputStream=Stream, PortAudioError=OSError)
    monkeypatch.setitem(sys.modules, "sounddevice", fake)
    return played, opened


def test_a_microphone_to_loudspeakers(devices):
    played, opened = devices
    assert run_live(ENHANCER.stream(1), Fixed(1), "4", None).chunks == 20
    assert opened[0] == (4, 16000, 160, 1, "float32")
    assert opened[1] == (None, 16000, 160, 1, "float32")
    assert opened[2:] == ["closed", "closed"]
    assert sum(map(len, played)) == 20 * 160
    assert {signal.shape[1] for signal in played} == {1}


def test_a_recording_that_is_interrupted_is_kept(devices, tmp_path):
    run_live(ENHANCER.stream(1), Fixed(1), None, str(tmp_path / "out.wav"))
    assert len(written(tmp_path / "out.wav")) == 20 * 160


def test_a_device_that_is_not_there(devices, tmp_path):
    with pytest.raises(InputError, match="none: No such device"):
        run_live(ENHANCER.stream(1), Fixed(1), "none", str(tmp_path / "out.wav"))
    assert not list(tmp_path.iterdir())


def test_without_sounddevice(monkeypatch):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(InputError, match=r"bloomnet_sb\[live\]"):
        run_live(ENHANCER.stream(1), Fixed(1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": "slow"}, "speed is 'slow'"),
        ({"chunk_seconds": 0}, "chunk_seconds is 0"),
        ({"input_name": "gone.wav"}, "gone.wav: no such file"),
        ({"output_name": "no/such.mp9"}, "a sound device needs|no/such.mp9"),
    ],
)
def test_wrong_options(options, message, short_file):
    with pytest.raises(InputError, match=message):
        run_live(ENHANCER.stream(1), Fixed(1), **{"input_name": short_file, **options})


def test_the_first_chunk_may_be_all_there_is(tmp_path):
    sf.write(tmp_path / "in.wav", np.full(5, 0.5), 16000)
    report = run_live(
        ENHANCER.stream(1), Fixed(1), str(tmp_path / "in.wav"), str(tmp_path / "out.wav")
    )
    assert report.chunks == 1
    assert len(written(tmp_path / "out.wav")) == 5
    assert torch.isfinite(torch.from_numpy(written(tmp_path / "out.wav"))).all()


def test_keys_typed_together_are_all_seen(monkeypatch):
    controller, terminal = pty.openpty()
    with os.fdopen(terminal, "r", buffering=1) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with live._keys() as pressed:
            os.write(controller, b"2q")
            assert [pressed() for _ in range(3)] == ["2", "q", ""]
    os.close(controller)
