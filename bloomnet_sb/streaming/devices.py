"""Sound devices of any rate and number of channels, as one signal: microphones and loudspeakers."""

import atexit
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import product
from typing import Any, NoReturn

import numpy as np
import torch

from bloomnet_sb.utils.errors import InputError, Stopped
from bloomnet_sb.utils.polyphase import PolyphaseResampler

# In Hz, tried in this order after those that are preferred
RATES = (48000, 44100, 96000, 32000, 16000, 8000)
# A device that does not answer for so long is gone: not every driver says so.
PATIENCE_SECONDS = 5.0
# PaErrorCode of what a device does not have; another may do. Some drivers say "host error".
INVALID_RATE, INVALID_CHANNELS, HOST_ERROR = -9997, -9998, -9999
UNAVAILABLE = -9985


class Driver:
    """Calls the driver of a device, in a thread of its own: a call may never come back.

    Arguments
    ---------
    lost : str
        What messages say of a device that is gone.
    """

    def __init__(self, lost: str):
        self.lost, self.hangs = lost, False
        self._calls: queue.SimpleQueue = queue.SimpleQueue()
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What a function of an open stream gives.

        Raises
        ------
        Stopped
            If the driver says that the device is gone, or nothing for `PATIENCE_SECONDS`.
        """
        if self.hangs:
            raise self._stopped("no answer")
        self._calls.put((function, arguments))
        try:
            result, error = self._results.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            self.hangs = True
            raise self._stopped(f"no answer for {PATIENCE_SECONDS:g} s") from None
        if isinstance(error, _sounddevice().PortAudioError):
            raise self._stopped(_line(error)) from error
        if error is not None:
            raise error
        return result

    def close(self, stream: Any) -> None:
        """Close a stream, and end the thread; a stream that hangs is left as it is."""
        for function in (stream.abort, stream.close):
            with suppress(Stopped):
                self.call(function)
        self._calls.put(None)
        if self.hangs:
            # At the end of the program, PortAudio would wait for the device for ever.
            atexit.unregister(_sounddevice()._exit_handler)

    def _stopped(self, reason: str) -> Stopped:
        return Stopped(f"{self.lost} any more ({reason}); was it unplugged?")

    def _work(self) -> None:
        while (asked := self._calls.get()) is not None:
            function, arguments = asked
            try:
                self._results.put((function(*arguments), None))
            except Exception as error:  # for `call` to raise
                self._results.put((None, error))


class Microphone:
    """An input device, opened; what comes is mixed to one signal.

    Arguments
    ---------
    stream : sounddevice.InputStream
        It, not started.
    driver : Driver
        What calls it.
    """

    def __init__(self, stream: Any, driver: Driver):
        self._stream, self._driver = stream, driver
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
        self._driver.call(self._stream.start)
        while True:
            frames, overflowed = self._driver.call(self._stream.read, size)
            yield torch.from_numpy(frames.mean(axis=1)), overflowed


class Loudspeakers:
    """An output device, opened; it gets one signal in all of its channels.

    Arguments
    ---------
    stream : sounddevice.OutputStream
        It, not started.
    driver : Driver
        What calls it.
    rate : int
        The signal's, in Hz; it is resampled where that is not the device's.
    """

    def __init__(self, stream: Any, driver: Driver, rate: int):
        self._stream, self._driver = stream, driver
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
        if self._started:
            self._driver.call(self._stream.stop)

    def _play(self, samples: np.ndarray) -> bool:
        if not len(samples):
            return False
        started, self._started = self._started, True
        if not started:
            self._driver.call(self._stream.start)
        frames = np.repeat(samples[:, None], self._stream.channels, axis=1)
        underflowed = self._driver.call(self._stream.write, frames)
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
    label, stream = _opened("input", name, chunk_seconds, second=network_rate)
    driver = Driver(f"{label}: gives no sound")
    try:
        yield Microphone(stream, driver)
    finally:
        driver.close(stream)


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
    label, stream = _opened("output", name, chunk_seconds, first=rate)
    driver = Driver(f"{label}: takes no sound")
    try:
        speakers = Loudspeakers(stream, driver, rate)
        yield speakers
        speakers.finish()
    finally:
        driver.close(stream)


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
