"""A microphone for other programs, on Linux: what they hear is what is played here.

A null sink of PipeWire or PulseAudio is played into, and its monitor is offered as a source of its
own, since many programs do not list monitors: docs/virtual_microphone.md.
"""

import logging
import os
import re
import select
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from subprocess import PIPE
from typing import Any

import torch

from bloomnet_sb.utils.errors import InputError, Stopped

logger = logging.getLogger(__name__)

# What other programs list it as; it stays the same, so that they find it again.
SOURCE, DESCRIPTION = "bloomnet", "BLOOM-Net"
LATENCY_MILLISECONDS = 20
PATIENCE_SECONDS = 5.0


class Player:
    """What plays into the sink: a `pacat`, which takes any rate and waits for room.

    Arguments
    ---------
    process : subprocess.Popen
        It.
    """

    def __init__(self, process: subprocess.Popen):
        assert process.stdin is not None
        self._pipe = process.stdin.fileno()
        os.set_blocking(self._pipe, False)

    def play(self, signal: torch.Tensor) -> bool:
        """Play the next samples [time]; waits until there is room for them.

        Returns
        -------
        bool
            False: pacat does not say whether it had run out of sound.

        Raises
        ------
        Stopped
            If the sound server takes no more.
        """
        left = memoryview(signal.numpy().astype("<f4").tobytes())
        while left:
            if not select.select([], [self._pipe], [], PATIENCE_SECONDS)[1]:
                raise Stopped(f"the virtual microphone takes no sound for {PATIENCE_SECONDS:g} s")
            try:
                left = left[os.write(self._pipe, left) :]
            except OSError as error:
                reason = error.strerror
                raise Stopped(f"the virtual microphone takes no more sound ({reason})") from error
        return False


@contextmanager
def virtual_microphone(rate: int) -> Iterator[Player]:
    """Give a microphone to other programs, as long as this lasts.

    Arguments
    ---------
    rate : int
        Of what is played, in Hz.

    Yields
    ------
    Player
        Takes what the microphone hears.

    Raises
    ------
    InputError
        If pactl and pacat are not installed, no sound server answers them, or another process has
        such a microphone.
    """
    _unload_left_behind()
    sink = f"{SOURCE}_{os.getpid()}"
    modules: list[str] = []
    try:
        modules.append(
            _pactl(
                "load-module", "module-null-sink", f"sink_name={sink}", f"rate={rate}",
                "channels=1", f"sink_properties=device.description={sink}",
            )
        )  # fmt: skip
        modules.append(
            _pactl(
                "load-module", "module-remap-source", f"source_name={SOURCE}",
                f"master={sink}.monitor", "channels=1",
                f"source_properties=device.description={DESCRIPTION}",
            )
        )  # fmt: skip
        _warn_of_own_sound()
        with _pacat(sink, rate) as process:
            yield Player(process)
    finally:
        for module in reversed(modules):
            with suppress(InputError):  # the sound server ended, and they with it
                _pactl("unload-module", module)


@contextmanager
def _pacat(sink: str, rate: int) -> Iterator[subprocess.Popen]:
    command = [
        "pacat", "--playback", "--raw", f"--device={sink}", "--format=float32le", f"--rate={rate}",
        "--channels=1", f"--latency-msec={LATENCY_MILLISECONDS}",
    ]  # fmt: skip
    # In a session of its own: Ctrl-C is for us, who have something left to play then. What waits
    # in the pipe is heard late, so that it is the smallest there is.
    options: dict = {"stdin": PIPE, "pipesize": 4096, "start_new_session": True}
    process = _run(lambda: subprocess.Popen(command, **options))
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE_SECONDS)
        process.kill()
        process.wait()


def _unload_left_behind() -> None:
    """Remove the microphone of a process that was killed; one that lives keeps its own."""
    listed = _pactl("list", "short", "modules").splitlines()
    ours = [re.match(rf"(\d+)\s.*\b{SOURCE}_(\d+)\b", line) for line in listed]
    for module, owner in (match.groups() for match in reversed(ours) if match):
        if int(owner) != os.getpid() and _lives(int(owner)):
            raise InputError(
                f"process {owner} has the virtual microphone; end it, or run: "
                f"pactl unload-module {module}"
            )
        _pactl("unload-module", module)


def _warn_of_own_sound() -> None:
    with suppress(InputError):  # of a pactl that cannot be asked
        if _pactl("get-default-source") == SOURCE:
            logger.warning(
                "the system's default microphone is %s itself: set the real one as default, and "
                "choose %s in the programs that are to hear it",
                DESCRIPTION, DESCRIPTION,
            )  # fmt: skip


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _pactl(*arguments: str) -> str:
    done = _run(lambda: subprocess.run(["pactl", *arguments], capture_output=True, text=True))
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise InputError(
            f"a virtual microphone needs PipeWire (with pipewire-pulse) or PulseAudio: pactl "
            f"{arguments[0]} failed ({reason})"
        )
    return done.stdout.strip()


def _run(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except FileNotFoundError as error:
        raise InputError(
            f"a virtual microphone needs {error.filename}: install pulseaudio-utils (Debian, "
            "Ubuntu, Fedora) or libpulse (Arch); there is one on Linux only"
        ) from None
