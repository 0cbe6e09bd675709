"""Sound devices of any rate and number of channels, as one signal: microphones and loudspeakers."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import product
from typing import Any, NoReturn

import numpy as np
import torch

from bloomnet_sb.utils.errors import InputError, Stopped
from bloomnet_sb.utils.polyphase import PolyphaseResampler

# In Hz, tried in this order after those that are preferred
RATES = (48000, 44100, 96000, 32000, 16000, 8000)
# A device that gives or takes no sound for so long is gone: not every driver says so.
PATIENCE_SECONDS = 5.0
# PaErrorCode of what a device does not have; another may do. Some drivers say "host error".
INVALID_RATE, INVALID_CHANNELS, HOST_ERROR = -9997, -9998, -9999
UNAVAILABLE = -9985


class Microphone:
    """An input device, opened; what comes is mixed to one signal.

    Arguments
    ---------
    name : str
        What messages call it.
    stream : sounddevice.InputStream
        It, not started.
    """

    def __init__(self, name: str, stream: Any):
        self.name, self._stream = name, stream
        self.rate = round(stream.samplerate)

    def chunks(self, size: int) -> Iterator[tuple[torch.Tensor, bool]]:
        """Start it, and give chunks [size] without an end.

        Yields
        ------
        (torch.Tensor, bool)
            A chunk, and whether sound before it was lost, as the driver says.

        Raises
        ------
        Stopped
            If it is unplugged, or gives no more sound.
        """
        lost = f"{self.name}: gives no sound"
        _calling(self._stream.start, lost)
        while True:
            _wait(lambda: self._stream.read_available, size / self.rate, lost)
            frames, overflowed = _calling(lambda: self._stream.read(size), lost)
            yield torch.from_numpy(frames.mean(axis=1)), overflowed


class Loudspeakers:
    """An output device, opened; it gets one signal in all of its channels.

    Arguments
    ---------
    name : str
        What messages call it.
    stream : sounddevice.OutputStream
        It, not started.
    rate : int
        The signal's, in Hz; it is resampled where that is not the device's.
    """

    def __init__(self, name: str, stream: Any, rate: int):
        self.name, self._stream = name, stream
        self._resampler: PolyphaseResampler | None = None
        if stream.samplerate != rate:
            self._resampler = PolyphaseResampler(rate, round(stream.samplerate))
        self._started = False

    def play(self, signal: torch.Tensor) -> bool:
        """Play the next samples [time]; waits until the device has room for them.

        Returns
        -------
        bool
            Whether it had nothing to play before them, as the driver says.

        Raises
        ------
        Stopped
            If it is unplugged, or takes no more sound.
        """
        samples = signal.numpy()
        return self._play(self._resampler.process(samples) if self._resampler else samples)

    def finish(self) -> None:
        """Play what the resampler holds back, and wait for the end."""
        if self._resampler:
            self._play(self._resampler.flush())
        self._stream.stop()

    def _play(self, samples: np.ndarray) -> bool:
        if not len(samples):
            return False
        lost = f"{self.name}: takes no sound"
        started, self._started = self._started, True
        if not started:
            _calling(self._stream.start, lost)
        _wait(lambda: self._stream.write_available, len(samples) / self._stream.samplerate, lost)
        frames = np.repeat(samples[:, None], self._stream.channels, axis=1)
        underflowed = _calling(lambda: self._stream.write(frames), lost)
        return underflowed and started


@contextmanager
def microphone(name: str | None, network_rate: int, chunk_seconds: float) -> Iterator[Microphone]:
    """Open an input device, at its own rate if that can be, and with as few channels as it has.

    Arguments
    ---------
    name : str, optional
        Its number, or a part of its name. Default: the system's default.
    network_rate : int
        In Hz; the rate that is tried after the device's own.
    chunk_seconds : float
        How much is read at a time.

    Yields
    ------
    Microphone
        It; closed afterwards.

    Raises
    ------
    InputError
        If there is no such device, naming those there are; if it is busy, or cannot be opened.
    """
    name, stream = _opened("input", name, chunk_seconds, second=network_rate)
    try:
        yield Microphone(name, stream)
    finally:
        stream.abort()
        stream.close()


@contextmanager
def loudspeakers(name: str | None, rate: int, chunk_seconds: float) -> Iterator[Loudspeakers]:
    """Open an output device, at the signal's rate if that can be, and with two channels.

    Arguments
    ---------
    name : str, optional
        Its number, or a part of its name. Default: the system's default.
    rate : int
        The signal's, in Hz.
    chunk_seconds : float
        How much is played at a time.

    Yields
    ------
    Loudspeakers
        It; closed afterwards, when it has played all unless an exception ends it.

    Raises
    ------
    InputError
        As `microphone`.
    """
    name, stream = _opened("output", name, chunk_seconds, first=rate)
    try:
        speakers = Loudspeakers(name, stream, rate)
        yield speakers
        speakers.finish()
    finally:
        stream.abort()
        stream.close()


def device_lines(side: str | None = None) -> list[str]:
    """The sound devices of this machine, a line for each.

    Arguments
    ---------
    side : str, optional
        "input" or "output", for such devices only.

    Returns
    -------
    list of str
        ">" for the default microphone, "<" for the default loudspeakers, "*" for both; then the
        number, the name and the sound system, the channels, and the device's own rate.

    Raises
    ------
    InputError
        If sounddevice or PortAudio is not installed.
    """
    sounddevice = _sounddevice()
    defaults = sounddevice.default.device
    lines = []
    for device in sounddevice.query_devices():
        if side and not device[f"max_{side}_channels"]:
            continue
        number = device["index"]
        mark = " <>*"[(number == defaults["output"]) + 2 * (number == defaults["input"])]
        system = sounddevice.query_hostapis(device["hostapi"])["name"]
        lines.append(
            f"{mark} {number} {device['name']}, {system} ({device['max_input_channels']} in, "
            f"{device['max_output_channels']} out), {device['default_samplerate']:.0f} Hz"
        )
    return lines


def _opened(
    side: str, name: str | None, chunk_seconds: float, first: int = 0, second: int = 0
) -> tuple[str, Any]:
    """The label and the stream of a device, of the first rate and channels that it takes."""
    sounddevice = _sounddevice()
    failures = (sounddevice.PortAudioError, ValueError)
    try:
        number = int(name) if name is not None and name.isdecimal() else name
        device = sounddevice.query_devices(number, side)
    except failures as error:
        _refuse(f"{name or f'the default {side} device'}: {_line(error)}", side, error)
    label = f"{device['index']} {device['name']}"
    opening = sounddevice.InputStream if side == "input" else sounddevice.OutputStream
    rates = _unique(first, round(device["default_samplerate"]), second, *RATES)
    most = device[f"max_{side}_channels"]
    # Of a microphone, one is enough; loudspeakers would play one on the left alone.
    counts = _unique(1, min(2, most), most) if side == "input" else _unique(min(2, most), 1, most)
    refused = None
    for rate, count in product(rates, counts):
        options = {"device": device["index"], "channels": count, "dtype": "float32"}
        try:
            return label, opening(samplerate=rate, blocksize=round(chunk_seconds * rate), **options)
        except failures as error:
            code = error.args[1] if len(error.args) > 1 else None
            if code == UNAVAILABLE:
                _refuse(f"{label}: busy or unplugged ({_line(error)})", side, error)
            if code not in (INVALID_RATE, INVALID_CHANNELS, HOST_ERROR):
                _refuse(f"{label}: cannot be opened ({_line(error)})", side, error)
            refused = refused or error
    assert refused is not None  # something was tried
    tried = ", ".join(map(str, rates))
    _refuse(f"{label}: takes no rate of {tried} Hz ({_line(refused)})", side, refused)


def _unique(*values: int) -> list[int]:
    """Those above 0, each once."""
    return [value for value in dict.fromkeys(values) if value]


def _refuse(message: str, side: str, error: Exception) -> NoReturn:
    there = "; ".join(line[2:] for line in device_lines(side)) or "none"
    raise InputError(f"{message}; the {side} devices are: {there}") from error


def _calling(call: Callable[[], Any], lost: str) -> Any:
    """What a call of an open stream gives; what its driver says otherwise ends the run."""
    try:
        return call()
    except _sounddevice().PortAudioError as error:
        raise Stopped(f"{lost} any more ({_line(error)}); was it unplugged?") from error


def _wait(available: Callable[[], int], seconds: float, lost: str) -> None:
    """Wait until a device has sound, or room for it; a blocking call may never come back."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not _calling(available, lost):
        if time.monotonic() > end:
            raise Stopped(f"{lost} any more, for {PATIENCE_SECONDS:g} s; was it unplugged?")
        time.sleep(seconds / 10)


def _line(error: Exception) -> str:
    return " ".join(str(error).split())


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise InputError(
            "sound devices need sounddevice: pip install 'bloomnet_sb[live]'"
        ) from None
    except OSError as error:
        raise InputError(
            f"sound devices need the PortAudio library ({error}); on Debian and Ubuntu: "
            "apt install libportaudio2"
        ) from None
    return sounddevice
