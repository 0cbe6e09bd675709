"""Live enhancement from a microphone or a file: what `bloomnet live` runs."""

import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import torch
from rich.live import Live as Display

from bloomnet_sb.streaming.policies import BudgetedStream, Fixed, Policy
from bloomnet_sb.streaming.stream import Stream
from bloomnet_sb.utils.audio_files import AUDIO_SUFFIXES, audio_info, is_same_file, writing
from bloomnet_sb.utils.audio_formats import AudioInfo
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.resampling import read_resampled

Play = Callable[[torch.Tensor], None]

SPEEDS = ("realtime", "full")
DISPLAYS_PER_SECOND = 5


@dataclass
class LiveReport:
    """What became of a live run.

    Arguments
    ---------
    chunks : int
        How many chunks were enhanced.
    missed : int
        How many took longer than they are.
    compute_seconds, audio_seconds : float
        How long they took, and how long they are.
    blocks : float
        The mean number of blocks asked for.
    """

    chunks: int = 0
    missed: int = 0
    compute_seconds: float = 0.0
    audio_seconds: float = 0.0
    blocks: float = 0.0


def run_live(
    stream: Stream,
    policy: Policy,
    input_name: str | None = None,
    output_name: str | None = None,
    speed: str = "realtime",
    chunk_seconds: float = 0.01,
) -> LiveReport:
    """Enhance a microphone or a file, chunk by chunk, to loudspeakers or a file.

    A terminal shows the depth, the load and the level, and takes keys: a digit for that many
    blocks, "a" for the policy, "q" to end. A file of several channels is mixed to one.

    Arguments
    ---------
    stream : Stream
        What enhances, of one signal; see `bloomnet_sb.inference.enhancer.BloomEnhancer.stream`.
        The first chunk has its number of blocks.
    policy : Policy
        Who chooses the number of blocks after each chunk.
    input_name, output_name : str, optional
        A file (by its suffix), or the name or number of a sound device. Default: the default
        device.
    speed : str
        For a file as input: "realtime", a chunk as it would come from a microphone, or "full".
    chunk_seconds : float
        Length of a chunk.

    Returns
    -------
    LiveReport
        What became of it.

    Raises
    ------
    InputError
        If a file cannot be read or written, there is no such device, or an option cannot be.

    Example
    -------
    >>> from bloomnet_sb import BloomEnhancer, BloomNet
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=2))
    >>> enhancer = BloomEnhancer({"model": model}, {"sample_rate": 16000})
    >>> noisy, out = "tests/samples/demo/noisy_0dB.flac", getfixture("tmpdir") / "out.wav"
    >>> run_live(enhancer.stream(blocks=1), Fixed(1), noisy, str(out), speed="full").chunks
    623
    """
    if speed not in SPEEDS:
        raise InputError(f"speed is {speed!r}, but must be one of {', '.join(SPEEDS)}")
    if _is_file(input_name) and _is_file(output_name) and is_same_file(input_name, output_name):
        raise InputError(f"{output_name}: is the input; its result would be written over it")
    rate = stream.sample_rate
    size = round(chunk_seconds * rate)
    if size < 1:
        raise InputError(f"chunk_seconds is {chunk_seconds}, but must be a sample or more")
    session = _Session(BudgetedStream(stream, policy), size / rate)
    with ExitStack() as stack:
        chunks: Iterable[torch.Tensor]
        if _is_file(input_name):
            info = audio_info(input_name)
            chunks = _chunks(read_resampled(input_name, info.samplerate, rate, mono=True), size)
            if speed == "realtime":
                chunks = _paced(chunks, size / rate)
        else:
            chunks = stack.enter_context(_microphone(input_name, rate, size))
        play = stack.enter_context(_output(output_name, rate, size))
        keys = stack.enter_context(_keys())
        session.run(chunks, play, keys)
    return session.report


class _Session:
    """A run of chunks through a stream, with keys and a display."""

    def __init__(self, stream: BudgetedStream, chunk_seconds: float):
        self.stream, self.policy, self.chunk_seconds = stream, stream.policy, chunk_seconds
        self.report = LiveReport()

    def run(self, chunks: Iterable[torch.Tensor], play: Play, keys: Callable[[], str]) -> None:
        every = max(round(1 / DISPLAYS_PER_SECOND / self.chunk_seconds), 1)
        # Ctrl-C ends a recording as "q" does: what was enhanced is kept.
        with Display(auto_refresh=False, transient=True) as display, suppress(KeyboardInterrupt):
            for number, chunk in enumerate(chunks):
                enhanced = self.stream.process(chunk)
                play(enhanced)
                self._count()
                if number % every == 0:
                    display.update(self._line(enhanced), refresh=display.console.is_terminal)
                if not self._obey(keys()):
                    break
        play(self.stream.flush())

    def _count(self) -> None:
        report, seen = self.report, self.stream.seen
        assert seen is not None  # a chunk was processed
        report.blocks += (seen.blocks - report.blocks) / (report.chunks + 1)
        report.chunks += 1
        report.missed += seen.compute_seconds > seen.audio_seconds
        report.compute_seconds += seen.compute_seconds
        report.audio_seconds += seen.audio_seconds

    def _obey(self, key: str) -> bool:
        """Do what a key says; False to end."""
        num_blocks = self.stream.stream.num_blocks
        if key == "a":
            self.stream.policy = self.policy
        elif key.isdecimal() and 1 <= int(key) <= num_blocks:
            self.stream.policy = Fixed(int(key))
            self.stream.stream.blocks = int(key)
        return key != "q"

    def _line(self, enhanced: torch.Tensor) -> str:
        stream, seen = self.stream.stream, self.stream.seen
        assert seen is not None  # a chunk was processed
        power = enhanced.square().mean().item() if len(enhanced) else 0.0
        level_db = 10 * torch.log10(torch.tensor(power + 1e-10)).item()
        return (
            f"blocks {stream.blocks} of {stream.num_blocks}   load {seen.load:4.0%}   "
            f"level {level_db:4.0f} dB   missed {self.report.missed}   "
            f"keys: 1-{stream.num_blocks} blocks, a automatic, q quit"
        )


def _is_file(name: str | None) -> TypeGuard[str]:
    return name is not None and Path(name).suffix.lower() in AUDIO_SUFFIXES


def _chunks(pieces: Iterable[torch.Tensor], size: int) -> Iterator[torch.Tensor]:
    """Pieces [1, time] of any length as chunks [size]; the last may be shorter."""
    waiting = torch.zeros(0)
    for piece in pieces:
        waiting = torch.cat([waiting, piece[0]])
        *whole, waiting = waiting.split(size) if len(waiting) else (waiting,)
        yield from whole
    if len(waiting):
        yield waiting


def _paced(chunks: Iterable[torch.Tensor], seconds: float) -> Iterator[torch.Tensor]:
    """Each chunk when it would be complete at a microphone."""
    start = time.perf_counter()
    for number, chunk in enumerate(chunks, 1):
        time.sleep(max(start + number * seconds - time.perf_counter(), 0))
        yield chunk


@contextmanager
def _output(name: str | None, rate: int, size: int) -> Iterator[Play]:
    if _is_file(name):
        with writing(name, AudioInfo(0, rate, channels=1), 1) as write:
            yield lambda signal: write(signal[:, None].numpy())
        return
    with _device("OutputStream", name, rate, size) as stream:
        yield lambda signal: stream.write(signal[:, None].numpy()) and None


@contextmanager
def _microphone(name: str | None, rate: int, size: int) -> Iterator[Iterator[torch.Tensor]]:
    with _device("InputStream", name, rate, size) as stream:
        yield (torch.from_numpy(stream.read(size)[0][:, 0].copy()) for _ in iter(int, 1))


@contextmanager
def _device(kind: str, name: str | None, rate: int, size: int) -> Iterator:
    try:
        import sounddevice
    except ImportError:
        raise InputError(
            "sound devices need sounddevice: pip install 'bloomnet_sb[live]'"
        ) from None
    except OSError as error:
        raise InputError(f"a sound device needs the PortAudio library ({error})") from None
    device = int(name) if name is not None and name.isdecimal() else name
    options = {"samplerate": rate, "blocksize": size, "channels": 1, "dtype": "float32"}
    try:
        stream = getattr(sounddevice, kind)(device=device, **options)
    except (sounddevice.PortAudioError, ValueError) as error:
        raise InputError(f"{name or 'the default device'}: {error}") from error
    with stream:
        yield stream


def _waits(terminal: int) -> bool:
    return bool(select.select([terminal], [], [], 0)[0])


@contextmanager
def _keys() -> Iterator[Callable[[], str]]:
    """Give a function for the key that was pressed; "" for none, and where there is no terminal."""
    if not sys.stdin or not sys.stdin.isatty():
        yield lambda: ""
        return
    import termios
    import tty

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        # Not sys.stdin.read: what it reads ahead, select does not see.
        yield lambda: os.read(terminal, 1).decode() if _waits(terminal) else ""
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)
