"""Live enhancement from a microphone or a file: what `bloomnet live` runs."""

import mimetypes
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch

from bloomnet_sb.streaming.devices import loudspeakers, microphone
from bloomnet_sb.streaming.policies import BudgetedStream, Fixed, Policy
from bloomnet_sb.streaming.recorder import Playback, is_file, recording
from bloomnet_sb.streaming.stream import Stream
from bloomnet_sb.streaming.terminal import Terminal, terminal
from bloomnet_sb.streaming.virtual_microphone import virtual_microphone
from bloomnet_sb.utils.audio_files import is_same_file
from bloomnet_sb.utils.errors import InputError, Stopped
from bloomnet_sb.utils.processes import ending_noted

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
        How many were late: they took longer than they are, or a driver flagged that sound before
        them was lost, or that it had none to play.
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


class Input(Protocol):
    """Where the noisy signal comes from, at its own rate in Hz."""

    rate: int

    def chunks(self, size: int) -> Iterator[tuple[torch.Tensor, bool]]:
        """Chunks [size] as they come, and whether sound before them was lost."""


class Output(Protocol):
    """Where the enhanced signal goes."""

    def play(self, signal: torch.Tensor) -> bool:
        """Take the next samples [time]; whether it had run out of those before."""


class Enhancer(Protocol):
    """What makes streams, such as a `bloomnet_sb.inference.enhancer.BloomEnhancer`."""

    sample_rate: int

    @property
    def stream(self) -> Callable[..., Stream]:
        """Makes a stream."""


def run_live(
    enhancer: Enhancer,
    policy: Policy,
    input_name: str | None = None,
    output_name: str | None = None,
    speed: str = "realtime",
    chunk_seconds: float = 0.01,
    virtual: bool = False,
    automatic: Policy | None = None,
    **stream_options: Any,
) -> LiveReport:
    """Enhance a microphone or a file, chunk by chunk, to loudspeakers or a file.

    All runs at the input's rate: the device's own, or the file's. Several channels are mixed to
    one, which loudspeakers play in all of theirs. A terminal shows the depth, the load and the
    level, and takes keys: a digit for that many blocks, "a" for the automatic, "q" to end. SIGINT
    (Ctrl-C), SIGTERM and SIGHUP end as "q" does; whatever ends it, what was recorded is kept.

    Arguments
    ---------
    enhancer : BloomEnhancer
        What enhances, with a causal network.
    policy : Policy
        Who chooses the number of blocks after each chunk.
    input_name, output_name : str, optional
        A file (by its suffix), or the number of a sound device or a part of its name. Default: the
        default device.
    speed : str
        For a file as input: "realtime", a chunk as it would come from a microphone, or "full".
    chunk_seconds : float
        Length of a chunk.
    virtual : bool
        Whether to play into a microphone for other programs in place of an output, see
        `bloomnet_sb.streaming.virtual_microphone`.
    automatic : Policy, optional
        Who chooses after the key "a". Default: `policy`.
    stream_options
        What `BloomEnhancer.stream` takes, such as `blocks` for the first chunk, and `compiled`.

    Returns
    -------
    LiveReport
        What became of it.

    Raises
    ------
    InputError
        If a file cannot be read or written, there is no such device, it is busy, or an option
        cannot be.
    Stopped
        If a device is unplugged, or a file cannot be written any more; what was recorded before is
        kept, and the message says so.

    Example
    -------
    >>> from bloomnet_sb import BloomEnhancer, BloomNet
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=2))
    >>> enhancer = BloomEnhancer({"model": model}, {"sample_rate": 16000})
    >>> noisy, out = "tests/samples/demo/noisy_0dB.flac", getfixture("tmpdir") / "out.wav"
    >>> run_live(enhancer, Fixed(1), noisy, str(out), speed="full", blocks=1).chunks
    623
    """
    if speed not in SPEEDS:
        raise InputError(f"speed is {speed!r}, but must be one of {', '.join(SPEEDS)}")
    for name in (input_name, output_name):
        if name and not is_file(name) and mimetypes.guess_type(name)[0]:  # and so of no device
            raise InputError(f"{name}: no name of an audio file, such as .wav or .flac")
    if virtual and output_name is not None:
        raise InputError(f"output is {output_name}, but the output is the virtual microphone")
    if is_file(input_name) and is_file(output_name) and is_same_file(input_name, output_name):
        raise InputError(f"{output_name}: is the input; the recording would be written over it")
    with ExitStack() as stack:
        heard = stack.enter_context(_input(input_name, enhancer.sample_rate, speed, chunk_seconds))
        size = round(chunk_seconds * heard.rate)
        if size < 1:
            raise InputError(f"chunk_seconds is {chunk_seconds}, but must be a sample or more")
        stream = enhancer.stream(sample_rate=heard.rate, **stream_options)
        opened = _output(output_name, virtual, heard.rate, chunk_seconds)
        budgeted = BudgetedStream(stream, policy)
        session = _Session(budgeted, automatic or policy, stack.enter_context(opened))
        ending = stack.enter_context(ending_noted())
        session.run(heard.chunks(size), stack.enter_context(terminal()), ending)
    return session.report


@contextmanager
def _input(
    name: str | None, network_rate: int, speed: str, chunk_seconds: float
) -> Iterator[Input]:
    if is_file(name):
        yield Playback(name, paced=speed == "realtime")
        return
    with microphone(name, network_rate, chunk_seconds) as device:
        yield device


def _output(
    name: str | None, virtual: bool, rate: int, chunk_seconds: float
) -> AbstractContextManager[Output]:
    if virtual:
        return virtual_microphone(rate)
    return recording(name, rate) if is_file(name) else loudspeakers(name, rate, chunk_seconds)


class _Session:
    """A run of chunks through a stream, with keys and a display."""

    def __init__(self, stream: BudgetedStream, automatic: Policy, output: Output):
        self.stream, self.automatic, self.output = stream, automatic, output
        self.report = LiveReport()

    def run(
        self,
        chunks: Iterator[tuple[torch.Tensor, bool]],
        line: Terminal,
        ending: Callable[[], bool],
    ) -> None:
        """Until the input, a key or a signal ends it; what the stream holds back comes out then."""
        shown_at = 0.0
        try:
            for chunk, lost in chunks:
                enhanced = self.stream.process(chunk)
                seconds = chunk.shape[-1] / self.stream.stream.sample_rate
                self._count(seconds, lost | self.output.play(enhanced))
                if self.report.audio_seconds >= shown_at:
                    line.show(self._line(enhanced))
                    shown_at = self.report.audio_seconds + 1 / DISPLAYS_PER_SECOND
                if not self._obey(line.key()) or ending():
                    break
        except (Stopped, InputError):
            self.output.play(self.stream.flush())
            raise
        self.output.play(self.stream.flush())

    def _count(self, seconds: float, flagged: bool) -> None:
        """Count a chunk of so many seconds, less than a frame's maybe, and what it took."""
        report, seen = self.report, self.stream.seen
        assert seen is not None  # a chunk was processed
        report.blocks += (seen.blocks - report.blocks) / (report.chunks + 1)
        report.chunks += 1
        report.missed += flagged or seen.compute_seconds > seconds
        report.compute_seconds += seen.compute_seconds
        report.audio_seconds += seconds

    def _obey(self, key: str) -> bool:
        """Do what a key says; False to end."""
        num_blocks = self.stream.stream.num_blocks
        if key == "a":
            self.stream.policy = self.automatic
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
