"""A stand-in for sounddevice: devices that take some rates and channels, flag, hang and go away.

It raises what sounddevice 0.5 raises, with PortAudio's codes.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

HOST_APIS = ({"name": "ALSA"}, {"name": "PulseAudio"})
HANG_SECONDS = 30  # longer than anybody waits


class PortAudioError(Exception):
    """With a text, PortAudio's code, and of a host error what the driver says."""

    def __str__(self) -> str:
        text, code, *host = self.args
        said = f"{text} [PaErrorCode {code}]"
        return f"{said}: {host[0][2]!r} [ALSA error {host[0][1]}]" if host else said


@dataclass
class Device:
    """One device, and what it does at which call of `read` or `write`, counted from 1."""

    name: str
    inputs: int = 0
    outputs: int = 0
    default_rate: int = 48000
    rates: tuple[int, ...] = (48000,)
    channels: tuple[int, ...] = ()  # that it is opened with; any up to its number where empty
    hostapi: int = 0
    busy: bool = False
    flagged: tuple[int, ...] = ()
    unplugged_at: int | None = None
    hangs_at: int | None = None
    at_call: dict[int, Callable[[], object]] = field(default_factory=dict)
    # [time, inputs]
    heard: np.ndarray = field(default_factory=lambda: np.zeros((0, 1), np.float32))
    played: list[np.ndarray] = field(default_factory=list)
    opened: list[tuple[int, int]] = field(default_factory=list)  # rates and channels
    calls: int = 0
    released: threading.Event = field(default_factory=threading.Event)  # ends a call that hangs
    is_open: bool = False

    def call(self) -> bool:
        """Do what is to be done at this call; whether it is flagged."""
        self.calls += 1
        self.at_call.get(self.calls, lambda: None)()
        if self.hangs_at is not None and self.calls >= self.hangs_at:
            self.released.wait(HANG_SECONDS)
        if self.unplugged_at is not None and self.calls >= self.unplugged_at:
            host_error = (0, -19, "No such device")
            raise PortAudioError("Unanticipated host error", -9999, host_error)
        return self.calls in self.flagged


class _Stream:
    side = ""

    def __init__(self, module, device, samplerate, blocksize, channels, dtype):
        self.device = module.query_devices(device, self.side)["device"]
        most = self.device.inputs if self.side == "input" else self.device.outputs
        assert dtype == "float32"
        assert blocksize > 0
        opening = f"Error opening {self.side.capitalize()}Stream"
        if self.device.busy:
            raise PortAudioError(f"{opening}: Device unavailable", -9985)
        if channels not in (self.device.channels or range(1, most + 1)):
            raise PortAudioError(f"{opening}: Invalid number of channels", -9998)
        if samplerate not in self.device.rates:
            raise PortAudioError(f"{opening}: Invalid sample rate", -9997)
        self.samplerate, self.channels, self.blocksize = float(samplerate), channels, blocksize
        self.device.opened.append((samplerate, channels))
        self.device.is_open, self.started = True, False

    def start(self):
        self.started = True

    def stop(self):
        self.started = False

    abort = stop

    def close(self):
        self.device.is_open = False


class _InputStream(_Stream):
    side = "input"

    def read(self, frames):
        """What the device hears, and silence after it; mixed to the stream's channels by none."""
        assert self.started
        flagged = self.device.call()
        start = (self.device.calls - 1) * frames
        heard = self.device.heard[start : start + frames, : self.channels]
        sound = np.zeros((frames, self.channels), np.float32)
        sound[: len(heard)] = heard
        return sound, flagged


class _OutputStream(_Stream):
    side = "output"

    def write(self, data):
        assert self.started
        assert data.dtype == np.float32
        assert data.flags.c_contiguous
        assert data.shape[1] == self.channels
        flagged = self.device.call()
        self.device.played.append(data.copy())
        return flagged


class SoundDevices:
    """The module, with these devices; the first of each side is the default one."""

    PortAudioError = PortAudioError

    def __init__(self, *devices: Device):
        self.devices = devices
        firsts = {
            side: next((n for n, device in enumerate(devices) if getattr(device, f"{side}s")), -1)
            for side in ("input", "output")
        }
        self.default = type("default", (), {"device": firsts})

    def InputStream(self, **options):  # noqa: N802 (sounddevice's name)
        return _InputStream(self, **options)

    def OutputStream(self, **options):  # noqa: N802
        return _OutputStream(self, **options)

    def _exit_handler(self):
        """What closes everything at the end of the program."""

    def query_hostapis(self, index):
        return HOST_APIS[index]

    def query_devices(self, device=None, kind=None):
        if device is None and kind is None:
            return tuple(map(self._facts, range(len(self.devices))))
        facts = self._facts(self._number(device, kind))
        if not facts[f"max_{kind}_channels"]:
            raise ValueError(f"Not an {kind} device: {facts['name']!r}")
        return facts

    def _facts(self, number: int) -> dict:
        if not 0 <= number < len(self.devices):
            raise PortAudioError(f"Error querying device {number}", -9996)
        device = self.devices[number]
        return {
            "name": device.name,
            "index": number,
            "hostapi": device.hostapi,
            "max_input_channels": device.inputs,
            "max_output_channels": device.outputs,
            "default_samplerate": float(device.default_rate),
            "device": device,  # not sounddevice's
        }

    def _number(self, name, kind: str) -> int:
        if name is None or isinstance(name, int):
            return self.default.device[kind] if name is None else name
        found = [
            (number, f"{device.name}, {HOST_APIS[device.hostapi]['name']}")
            for number, device in enumerate(self.devices)
            if getattr(device, f"{kind}s") and name.lower() in device.name.lower()
        ]
        if not found:
            raise ValueError(f"No {kind} device matching {name!r}")
        if len(found) > 1:
            lines = "\n".join(f"[{number}] {full}" for number, full in found)
            raise ValueError(f"Multiple {kind} devices found for {name!r}:\n{lines}")
        return found[0][0]
