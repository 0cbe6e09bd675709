import signal
import sys

import numpy as np
import pytest
import soundfile as sf
from typer.testing import CliRunner

from bloomnet_sb.cli import app, main
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.streaming.devices import device_lines
from bloomnet_sb.streaming.live import run_live
from bloomnet_sb.streaming.policies import Fixed
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.polyphase import PolyphaseResampler
from tests.helpers.devices import Device, SoundDevices
from tests.helpers.networks import conv_tasnet

ENHANCER = BloomEnhancer({"model": conv_tasnet(norm="BN", causal=True)}, {"sample_rate": 16000})
CHUNKS = 20


@pytest.fixture
def use(monkeypatch):
    """Have the machine these sound devices; Ctrl-C comes after some chunks of an input."""

    def install(*devices: Device) -> None:
        monkeypatch.setitem(sys.modules, "sounddevice", SoundDevices(*devices))
        for device in devices:
            if device.inputs:
                device.at_call[CHUNKS] = lambda: signal.raise_signal(signal.SIGINT)

    return install


def noise(frames: int, channels: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((frames, channels)).astype(np.float32)


@pytest.mark.parametrize(
    ("hears", "plays"),
    [
        ({"rate": 48000, "counts": (1,)}, {"rate": 48000, "counts": (2,)}),
        ({"rate": 44100, "counts": (2,)}, {"rate": 44100, "counts": (1,)}),
        ({"rate": 16000, "counts": (1, 2)}, {"rate": 16000, "counts": (1, 2)}),
        ({"rate": 48000, "counts": (4,)}, {"rate": 44100, "counts": (2,)}),
        ({"rate": 44100, "counts": (1,)}, {"rate": 48000, "counts": (8,)}),
        ({"rate": 8000, "counts": (1,)}, {"rate": 96000, "counts": (2,)}),
        ({"rate": 22050, "counts": (1,)}, {"rate": 22050, "counts": (2,)}),
    ],
    ids=lambda side: f"{side['rate']} Hz x {side['counts']}",
)
def test_devices_of_one_rate_and_number_of_channels(hears, plays, use):
    most = max(hears["counts"])
    microphone, loud = (
        Device(
            name, **{side: max(kind["counts"])}, channels=kind["counts"], rates=(kind["rate"],),
            default_rate=kind["rate"],
        )
        for name, side, kind in (("Mic", "inputs", hears), ("Loud", "outputs", plays))
    )  # fmt: skip
    frames = CHUNKS * round(0.01 * hears["rate"])
    microphone.heard = noise(frames, most)
    use(microphone, loud)
    run_live(ENHANCER, Fixed(2), blocks=2)

    used = 1 if 1 in hears["counts"] else most
    stream = ENHANCER.stream(2, sample_rate=hears["rate"])
    expected = stream.process(microphone.heard[:, :used].mean(1))
    expected = np.concatenate([expected, stream.flush()])
    if plays["rate"] != hears["rate"]:
        resampler = PolyphaseResampler(hears["rate"], plays["rate"])
        expected = np.concatenate([resampler.process(expected), resampler.flush()])
    played = np.concatenate(loud.played)
    assert played.shape == (len(expected), 2 if 2 in plays["counts"] else max(plays["counts"]))
    np.testing.assert_allclose(played, np.repeat(expected[:, None], played.shape[1], 1), atol=1e-4)


@pytest.mark.parametrize(("default", "expected"), [(48000, 48000), (16000, 16000), (11025, 16000)])
def test_a_device_is_opened_at_its_own_rate(default, expected, use):
    rates = 16000, 44100, 48000
    microphone = Device("Mic", inputs=2, default_rate=default, rates=rates)
    loud = Device("Loud", outputs=2, default_rate=44100, rates=rates)
    use(microphone, loud)
    run_live(ENHANCER, Fixed(1))
    # The loudspeakers follow the microphone, so that nothing is resampled for them.
    assert microphone.opened == [(expected, 1)]
    assert loud.opened == [(expected, 2)]


DEVICES = (
    Device("USB microphone", inputs=1),
    Device("USB headset", inputs=1, outputs=2, default_rate=44100, hostapi=1),
    Device("Loudspeakers", outputs=2),
    Device("Taken", inputs=1, outputs=2, busy=True),
    Device("Odd", inputs=1, outputs=2, default_rate=11025, rates=(11111,)),
)
INPUTS = (
    "the input devices are: 0 USB microphone, ALSA (1 in, 0 out), 48000 Hz; "
    "1 USB headset, PulseAudio (1 in, 2 out), 44100 Hz; 3 Taken, "
)
OUTPUTS = "the output devices are: 1 USB headset, PulseAudio (1 in, 2 out), 44100 Hz; 2 Loud"


UNUSABLE = [
    ("none", "No {} device matching 'none'"),
    ("77", "77: Error querying device 77"),
    ("Taken", "3 Taken: busy or unplugged (Error opening"),
    ("3", "3 Taken: busy or unplugged (Error opening"),
    ("Odd", "4 Odd: takes no rate of "),
    ("d", "Multiple {} devices found for 'd': [1]"),
]
WRONG_SIDE = [
    ("input", "Loudspeakers", "No input device matching 'Loudspeakers'"),
    ("input", "2", "Not an input device: 'Loudspeakers'"),
    ("output", "USB micro", "No output device matching 'USB micro'"),
    ("output", "0", "Not an output device: 'USB microphone'"),
]


@pytest.mark.parametrize(
    ("side", "name", "says"),
    [(side, *case) for side in ("input", "output") for case in UNUSABLE] + WRONG_SIDE,
)
def test_a_device_that_cannot_be_used(side, name, says, use, noisy_file, tmp_path):
    use(*DEVICES)
    record = {"input_name": name, "output_name": str(tmp_path / "out.wav")}
    play = {"input_name": str(noisy_file), "output_name": name, "speed": "full"}
    with pytest.raises(InputError) as error:
        run_live(ENHANCER, Fixed(1), **(record if side == "input" else play))
    said = str(error.value)
    assert says.format(side) in said
    assert (INPUTS if side == "input" else OUTPUTS) in said
    assert "\n" not in said
    assert not list(tmp_path.iterdir())


def test_a_machine_without_devices(use):
    use()
    with pytest.raises(InputError, match="the default input device.* the input devices are: none"):
        run_live(ENHANCER, Fixed(1))
    result = CliRunner().invoke(app, ["live", "--list-devices"])
    assert (result.exit_code, result.stdout) == (0, "no sound devices\n")


def test_list_devices(use):
    use(*DEVICES)
    result = CliRunner().invoke(app, ["live", "--list_devices"])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines == device_lines()
    assert lines[0] == "> 0 USB microphone, ALSA (1 in, 0 out), 48000 Hz"
    assert lines[1] == "< 1 USB headset, PulseAudio (1 in, 2 out), 44100 Hz"
    assert lines[2].startswith("  2 Loudspeakers")


@pytest.mark.parametrize(
    ("missing", "says"),
    [(None, r"bloomnet_sb\[live\]"), (OSError("PortAudio library not found"), "PortAudio library")],
)
def test_without_sounddevice_or_portaudio(missing, says, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    if missing:
        monkeypatch.delitem(sys.modules, "sounddevice")
        monkeypatch.syspath_prepend(tmp_path)
        (tmp_path / "sounddevice.py").write_text(f"raise {missing!r}")
    with pytest.raises(InputError, match=says):
        run_live(ENHANCER, Fixed(1))


def test_the_command_records_a_device(use, tmp_path):
    use(Device("USB microphone", inputs=1, heard=noise(48000, 1)))
    out = tmp_path / "out.flac"
    command = ["live", "--output", str(out), "--blocks", "1"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{CHUNKS} chunks, ")
    assert sf.info(out).samplerate == 48000
    assert sf.info(out).frames == CHUNKS * 480


@pytest.mark.parametrize(
    ("fault", "code", "says"),
    [
        ({"busy": True}, 2, "error: 0 USB microphone: busy or unplugged"),
        ({"unplugged_at": 11}, 1, "stopped: 0 USB microphone: gives no sound any more"),
    ],
)
def test_the_command_says_in_one_line(fault, code, says, use, tmp_path, monkeypatch, capsys):
    use(Device("USB microphone", inputs=1, heard=noise(48000, 1), **fault))
    out = tmp_path / "out.wav"
    monkeypatch.setattr(sys, "argv", ["bloomnet", "live", "--output", str(out), "--blocks", "1"])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    assert ended.value.code == code
    assert said.err.startswith(says)
    assert said.err.count("\n") == 1
    assert not said.out.strip()
    assert out.exists() == (code == 1)
    assert code == 2 or sf.info(out).frames == 10 * 480
