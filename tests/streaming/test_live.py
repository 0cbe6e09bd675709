import re
import resource
import signal
import sys
import time
from functools import partial

import numpy as np
import pytest
import soundfile as sf
import torch
from typer.testing import CliRunner

from bloomnet_sb.cli import app
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.streaming import live, recorder
from bloomnet_sb.streaming.live import run_live
from bloomnet_sb.streaming.policies import BudgetedStream, Fixed, Policy, RealTime
from bloomnet_sb.utils.errors import InputError, Stopped
from tests.helpers.devices import Device, SoundDevices
from tests.helpers.networks import band_rnn, conv_tasnet, interface

ENHANCER = BloomEnhancer({"model": conv_tasnet(norm="BN", causal=True)}, {"sample_rate": 16000})
CHUNK = 160


def written(path, rate=16000):
    samples, file_rate = sf.read(path, dtype="float32")
    assert file_rate == rate
    return samples


def enhanced(samples, blocks, rate=16000):
    """What a stream makes of a whole signal."""
    stream = ENHANCER.stream(blocks, sample_rate=rate)
    return np.concatenate([stream.process(samples.astype(np.float32)), stream.flush()])


@pytest.fixture
def short_file(noisy_file, tmp_path):
    samples, _ = sf.read(noisy_file, dtype="float32")
    sf.write(tmp_path / "in.wav", samples[:8050], 16000, subtype="FLOAT")
    return str(tmp_path / "in.wav")


@pytest.fixture
def microphone(monkeypatch, noisy_file):
    """A microphone of the network's rate that hears noisy speech."""
    heard, _ = sf.read(noisy_file, dtype="float32", always_2d=True)
    device = Device("USB microphone", inputs=1, default_rate=16000, rates=(16000,), heard=heard)
    loud = Device("Loudspeakers", outputs=1, default_rate=16000, rates=(16000,))
    monkeypatch.setitem(sys.modules, "sounddevice", SoundDevices(device, loud))
    return device


def test_a_file_to_a_file_is_the_offline_result(short_file, tmp_path):
    report = run_live(
        ENHANCER, Fixed(2), short_file, str(tmp_path / "out.wav"), speed="full", blocks=2
    )
    assert report.chunks == 51
    assert report.blocks == 2
    assert report.audio_seconds == pytest.approx(8050 / 16000)
    whole = ENHANCER.enhance_file(short_file, blocks=2)
    out = written(tmp_path / "out.wav")
    assert len(out) == 8050
    np.testing.assert_allclose(out, whole.clamp(-1, 1), atol=1e-4)


def test_chunks_shorter_than_a_hop_count_as_they_are(short_file, tmp_path):
    enhancer = interface(band_rnn())
    out = str(tmp_path / "out.wav")
    report = run_live(enhancer, Fixed(1), short_file, out, speed="full", chunk_seconds=0.001)
    assert report.audio_seconds == pytest.approx(8050 / 16000)


def test_in_real_time(short_file, tmp_path):
    start = time.perf_counter()
    run_live(ENHANCER, RealTime(), short_file, str(tmp_path / "out.wav"))
    assert time.perf_counter() - start >= 0.5


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (16000, 3), (8000, 2)])
def test_a_file_keeps_its_rate_and_is_mixed_to_one(rate, channels, noisy_file, tmp_path, caplog):
    samples, _ = sf.read(noisy_file, dtype="float32")
    noisy = samples[:rate, None] * np.linspace(0.2, 1, channels, dtype=np.float32)
    sf.write(tmp_path / "in.wav", noisy, rate, subtype="FLOAT")
    names = str(tmp_path / "in.wav"), str(tmp_path / "o.wav")
    run_live(ENHANCER, Fixed(3), *names, speed="full", blocks=3)
    expected = enhanced(noisy.mean(1), 3, rate).clip(-1, 1)
    assert len(expected) == len(noisy)
    np.testing.assert_allclose(written(tmp_path / "o.wav", rate), expected, atol=1e-4)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == (channels > 1)
    assert all(f"in.wav: its {channels} channels are mixed to one" in line for line in said)


class Three(Policy):
    """All blocks, and a note of what was seen."""

    def __init__(self):
        self.seen = []

    def choose(self, observed):
        self.seen.append(observed.blocks)
        return 3


def test_keys_choose_the_blocks_and_end(short_file, tmp_path, monkeypatch):
    typed = iter(["", "", "2", "", "x", "9", "a", "", "q"])
    monkeypatch.setattr("bloomnet_sb.streaming.live.Terminal.key", lambda self: next(typed))
    policy = Three()
    report = run_live(ENHANCER, policy, short_file, str(tmp_path / "out.wav"), speed="full")
    assert report.chunks == 9
    assert len(policy.seen) == 5
    assert report.blocks == pytest.approx((4 * 3 + 5 * 2) / 9)
    assert len(written(tmp_path / "out.wav")) == 9 * CHUNK


def test_the_key_a_is_for_the_automatic_where_blocks_were_given(short_file, tmp_path, monkeypatch):
    typed = iter(["", "1", "a", *[""] * 5, "q"])
    monkeypatch.setattr("bloomnet_sb.streaming.live.Terminal.key", lambda self: next(typed))
    automatic = Three()
    options = {"blocks": 2, "speed": "full", "automatic": automatic}
    run_live(ENHANCER, Fixed(2), short_file, str(tmp_path / "out.wav"), **options)
    assert automatic.seen[0] == 1 and automatic.seen[-1] == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speed": "slow"}, "speed is 'slow'"),
        ({"chunk_seconds": 0}, "chunk_seconds is 0"),
        ({"input_name": "gone.wav"}, "gone.wav: no such file"),
        ({"output_name": "out.txt"}, "out.txt: no name of an audio file"),
        ({"output_name": "out.wav", "virtual": True}, "output is out.wav, but"),
    ],
)
def test_wrong_options(options, message, short_file):
    with pytest.raises(InputError, match=message):
        run_live(ENHANCER, Fixed(1), **{"input_name": short_file, **options})


@pytest.mark.parametrize("place", ["in.wav", "sub/../in.wav", "link.wav", "hard.wav", "dir/in.wav"])
def test_an_input_is_never_the_output(place, short_file, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "link.wav").symlink_to(short_file)
    (tmp_path / "hard.wav").hardlink_to(short_file)
    (tmp_path / "dir").symlink_to(tmp_path, target_is_directory=True)
    before = written(short_file)
    with pytest.raises(InputError, match=f"{place}: is the input"):
        run_live(ENHANCER, Fixed(1), short_file, str(tmp_path / place), speed="full")
    command = ["live", "--input", short_file, "--output", str(tmp_path / place)]
    result = CliRunner().invoke(app, command)
    assert "is the input" in str(result.exception)
    assert (written(short_file) == before).all()


def test_a_recording_that_is_there_is_overwritten_on_demand_only(short_file, tmp_path):
    out = tmp_path / "out.wav"
    out.write_text("a recording")
    command = ["live", "--input", short_file, "--output", str(out), "--speed", "full"]
    result = CliRunner().invoke(app, command)
    assert "is there already; with --force" in str(result.exception)
    assert out.read_text() == "a recording"
    assert CliRunner().invoke(app, [*command, "--force"]).exit_code == 0
    assert len(written(out)) == 8050


def test_the_first_chunk_may_be_all_there_is(tmp_path):
    sf.write(tmp_path / "in.wav", np.full(5, 0.5), 16000)
    names = str(tmp_path / "in.wav"), str(tmp_path / "out.wav")
    assert run_live(ENHANCER, Fixed(1), *names).chunks == 1
    out = torch.from_numpy(written(tmp_path / "out.wav"))
    assert len(out) == 5
    assert torch.isfinite(out).all()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda n: n.name
)
def test_a_signal_ends_a_recording_that_is_whole(number, microphone, tmp_path):
    before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    microphone.at_call[20] = lambda: signal.raise_signal(number)
    report = run_live(ENHANCER, Fixed(1), None, str(tmp_path / "out.wav"), blocks=1)
    assert report.chunks == 20
    expected = enhanced(microphone.heard[: 20 * CHUNK, 0], 1)
    np.testing.assert_allclose(written(tmp_path / "out.wav"), expected.clip(-1, 1), atol=1e-4)
    assert not microphone.is_open
    assert before == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]


def test_a_second_signal_ends_at_once_and_the_recording_is_kept(microphone, tmp_path):
    class Impatient(Policy):
        def choose(self, seen):
            if microphone.calls >= 20:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            return 1

    with pytest.raises(KeyboardInterrupt):
        run_live(ENHANCER, Impatient(), None, str(tmp_path / "out.wav"))
    assert len(written(tmp_path / "out.wav")) >= 18 * CHUNK


def test_drivers_flags_are_late(microphone, monkeypatch):
    monkeypatch.setattr(live, "BudgetedStream", partial(BudgetedStream, clock=lambda: 0.0))
    loud = sys.modules["sounddevice"].devices[1]
    microphone.flagged = 3, 7
    # Its first call is for the second chunk; before it, it had nothing to play.
    loud.flagged = 1, 6, 8, 9
    microphone.at_call[20] = lambda: signal.raise_signal(signal.SIGINT)
    report = run_live(ENHANCER, Fixed(1), "USB", "1")
    calls_of_chunks = 20 - loud.calls + 1  # less the flush
    assert calls_of_chunks in (0, 1)
    late = {3, 7} | {call + calls_of_chunks for call in (6, 8, 9)}
    assert report.missed == len(late)


@pytest.mark.parametrize("how", ["unplugged_at", "hangs_at"])
def test_a_lost_microphone_leaves_what_is_recorded(how, microphone, tmp_path, monkeypatch):
    monkeypatch.setattr("bloomnet_sb.streaming.devices.PATIENCE_SECONDS", 0.2)
    setattr(microphone, how, 21)
    out = str(tmp_path / "out.wav")
    with pytest.raises(Stopped) as stopped:
        run_live(ENHANCER, Fixed(1), None, out, blocks=1)
    microphone.released.set()
    assert str(stopped.value).startswith("0 USB microphone: gives no sound any more (")
    assert str(stopped.value).endswith(f"was it unplugged?; {out} holds the 0.2 s before it")
    assert "\n" not in str(stopped.value)
    expected = enhanced(microphone.heard[: 20 * CHUNK, 0], 1)
    np.testing.assert_allclose(written(out), expected.clip(-1, 1), atol=1e-4)
    # To close a device that hangs would hang.
    assert microphone.is_open == (how == "hangs_at")


@pytest.mark.parametrize("how", ["unplugged_at", "hangs_at"])
def test_lost_loudspeakers(how, microphone, monkeypatch):
    monkeypatch.setattr("bloomnet_sb.streaming.devices.PATIENCE_SECONDS", 0.2)
    loud = sys.modules["sounddevice"].devices[1]
    setattr(loud, how, 21)
    with pytest.raises(Stopped, match="^1 Loudspeakers: takes no sound any more"):
        run_live(ENHANCER, Fixed(1), blocks=1)
    assert len(loud.played) == 20
    loud.released.set()
    assert not microphone.is_open


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3"])
def test_a_full_disk_leaves_what_is_recorded(suffix, microphone, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / f"out{suffix}"
    # Python ignores SIGXFSZ: a write fails, as on a disk that is full.
    microphone.at_call[1] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, before[1]))
    microphone.at_call[900] = lambda: signal.raise_signal(signal.SIGINT)
    try:
        with pytest.raises(
            Stopped, match=f"out{suffix}: cannot be written any more .* holds"
        ) as stopped:
            run_live(ENHANCER, Fixed(1), None, str(out), blocks=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    # Not to its end: a compressed file has none then, and a header that promises too much.
    recorded, _ = sf.read(out, dtype="float32", frames=8000)
    assert len(recorded) == 8000
    held = re.search(r"holds the ([\d.]+) s before it", str(stopped.value)).group(1)
    assert 0.5 < float(held) <= 0.01 * microphone.calls
    if suffix in (".wav", ".flac"):
        expected = enhanced(microphone.heard[:, 0], 1)[:8000]
        np.testing.assert_allclose(recorded, expected.clip(-1, 1), atol=1e-4)


@pytest.mark.parametrize("suffix, is_warned_of", [(".wav", True), (".rf64", False)])
def test_a_recording_that_cannot_say_its_length_is_warned_of(
    suffix, is_warned_of, tmp_path, monkeypatch, caplog
):
    monkeypatch.setattr(recorder, "MOST_BYTES", 10_000)
    with recorder.recording(str(tmp_path / f"out{suffix}"), 16000) as record:
        record.play(torch.zeros(8000))
    assert ("out.wav: is beyond the 4 GiB" in caplog.text) == is_warned_of


def test_a_defect_keeps_its_traceback_and_the_recording(microphone, tmp_path):
    class Broken(Policy):
        def choose(self, seen):
            return 1 / 0 if microphone.calls == 20 else 1

    with pytest.raises(ZeroDivisionError):
        run_live(ENHANCER, Broken(), None, str(tmp_path / "out.wav"), blocks=1)
    assert len(written(tmp_path / "out.wav")) >= 18 * CHUNK


def test_samples_that_are_no_numbers_leave_what_is_recorded(microphone, tmp_path):
    microphone.heard[20 * CHUNK] = np.nan
    with pytest.raises(InputError, match="NaN.*out.wav holds the 0.2 s before it"):
        run_live(ENHANCER, Fixed(1), None, str(tmp_path / "out.wav"), blocks=1)
    assert len(written(tmp_path / "out.wav")) == 20 * CHUNK
