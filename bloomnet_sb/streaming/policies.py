"""Who decides on the number of blocks of a stream: policies, and the stream that follows one."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch

from bloomnet_sb.streaming.stream import Stream
from bloomnet_sb.utils.errors import InputError, check_positive


@dataclass(frozen=True)
class Observation:
    """What a policy sees after each chunk.

    Arguments
    ---------
    seconds : float
        Time on a clock that does not go back.
    blocks : int
        How many blocks the policy chose for the chunk.
    num_blocks : int
        How many the network has.
    compute_seconds : float
        How long the chunk took.
    audio_seconds : float
        How much audio that was for: the chunk's length, or that of the frames that it completed
        where they are longer, and at least a hop.
    """

    seconds: float
    blocks: int
    num_blocks: int
    compute_seconds: float
    audio_seconds: float

    @property
    def load(self) -> float:
        """Seconds of compute for a second of audio."""
        return self.compute_seconds / self.audio_seconds


class Policy(ABC):
    """Chooses the number of blocks for the next chunk.

    Example
    -------
    >>> class EveryOther(Policy):
    ...     def choose(self, seen):
    ...         return seen.num_blocks if seen.blocks == 1 else 1
    >>> EveryOther().choose(Observation(0.0, 1, 4, 0.001, 0.01))
    4
    """

    @abstractmethod
    def choose(self, seen: Observation) -> int:
        """The number of blocks for the next chunk, 1 to `seen.num_blocks`."""

    def restart(self) -> None:  # noqa: B027 (most have nothing to do)
        """Begin anew, as where somebody else chose for a while."""


class Fixed(Policy):
    """The same number of blocks always.

    Arguments
    ---------
    blocks : int
        How many.

    Example
    -------
    >>> Fixed(2).choose(Observation(0.0, 4, 4, 0.001, 0.01))
    2
    """

    def __init__(self, blocks: int):
        check_positive(blocks=blocks)
        self.blocks = blocks

    def choose(self, seen: Observation) -> int:
        """`blocks`, or all where the network has fewer."""
        return min(self.blocks, seen.num_blocks)


class Schedule(Policy):
    """Numbers of blocks by the time since the first chunk.

    Arguments
    ---------
    steps : sequence of (float, int)
        Seconds, in rising order, from 0 on, and the number of blocks from then on.

    Raises
    ------
    InputError
        If the steps do not begin at 0 and rise.

    Example
    -------
    >>> schedule = Schedule([(0, 4), (10, 1)])
    >>> [schedule.choose(Observation(now, 4, 4, 0.001, 0.01)) for now in (100.0, 109.0, 110.0)]
    [4, 4, 1]
    """

    def __init__(self, steps: Sequence[tuple[float, int]]):
        starts = [start for start, _ in steps]
        if not steps or starts[0] != 0 or starts != sorted(set(starts)):
            raise InputError(f"the steps start at {starts}, but must start at 0 and rise")
        check_positive(**{f"blocks from {start} s on": blocks for start, blocks in steps})
        self.steps = list(steps)
        self._began: float | None = None

    def choose(self, seen: Observation) -> int:
        """The number of the last step that has begun."""
        if self._began is None:
            self._began = seen.seconds
        passed = seen.seconds - self._began
        blocks = [blocks for start, blocks in self.steps if start <= passed][-1]
        return min(blocks, seen.num_blocks)


class RealTime(Policy):
    """As many blocks as keep the compute for a second of audio under a target.

    On a chunk over the target, at once as many blocks fewer as bring it back under, taking all
    blocks for equally dear. Where that chunk was the only one within `quiet_seconds` it may have
    been a hiccup of the machine: the blocks come back after `RETRY_SECONDS`, that once.

    One block more after `quiet_seconds` without overload, if that is expected to stay within
    `margin` of the target. Where an added block leads to overload within that time, the next wait
    is twice as long, up to 32 times, until an added block has held: so that it does not go to and
    fro, and waits about as long after an overload as the overload lasted.

    Arguments
    ---------
    target : float
        Seconds of compute for a second of audio.
    quiet_seconds : float
        How long to wait before a block is added.
    margin : float
        The share of the target that may be used after a block is added.
    overhead : float
        What runs at any depth (encoder, a head, a decoder), in blocks: by it the load with one
        block more is expected. 0 expects the most.

    Raises
    ------
    InputError
        If `overhead` is below 0, or another value not above 0.

    Example
    -------
    >>> policy = RealTime(target=0.3)
    >>> policy.choose(Observation(0.0, 4, 4, 0.002, 0.01))
    4
    >>> policy.choose(Observation(0.01, 4, 4, 0.006, 0.01))
    2
    """

    MOST_PATIENCE = 32
    RETRY_SECONDS = 0.25
    # A few slow chunks are this machine's, not this depth's.
    TYPICAL_LOAD = 0.95

    def __init__(
        self,
        target: float = 0.3,
        quiet_seconds: float = 2.0,
        margin: float = 0.8,
        overhead: float = 1.0,
    ):
        for name, value in (("target", target), ("quiet_seconds", quiet_seconds)):
            if not value > 0:
                raise InputError(f"{name} is {value!r}, but must be above 0")
        if not 0 < margin <= 1:
            raise InputError(f"margin is {margin!r}, but must be above 0 and at most 1")
        if not 0 <= overhead < math.inf:
            raise InputError(f"overhead is {overhead!r}, but must be 0 or more")
        self.target, self.quiet_seconds, self.margin = target, quiet_seconds, margin
        self.overhead = overhead
        self._patience = 1
        self.restart()

    def restart(self) -> None:
        """Go on from the blocks that are seen next."""
        self._quiet_since = -math.inf
        self._overloaded_at = -math.inf
        self._retried_at = -math.inf
        self._retry: int | None = None  # the blocks of before an overload that may be a hiccup
        self._added_at: float | None = None  # a block that has not held yet
        self._loads: list[float] = []  # of this number of blocks
        self._chosen: int | None = None

    def choose(self, seen: Observation) -> int:
        """Fewer blocks at once, more after a while."""
        if seen.blocks != self._chosen:  # at first, or where somebody else chose since
            self.restart()
            self._quiet_since = seen.seconds
        self._chosen = self._next(seen)
        return self._chosen

    def _next(self, seen: Observation) -> int:
        if seen.load > self.target:
            return self._step_down(seen)
        self._loads.append(seen.load)
        if self._retry is not None:
            return self._step_back(seen, self._retry)
        if self._added_at is not None and seen.seconds - self._added_at >= self.quiet_seconds:
            self._patience, self._added_at = 1, None
        if seen.seconds - self._quiet_since < self.quiet_seconds * self._patience:
            return seen.blocks
        return self._step_up(seen)

    def _step_down(self, seen: Observation) -> int:
        before = seen.seconds - seen.audio_seconds  # chunks may be as long as the times below
        alone = before - max(self._overloaded_at, self._retried_at) >= self.quiet_seconds
        self._overloaded_at, self._loads = seen.seconds, []
        if alone and self._added_at is None:
            self._retry = seen.blocks
        else:
            self._retry, self._quiet_since = None, seen.seconds
        if self._added_at is not None:
            self._patience = min(2 * self._patience, self.MOST_PATIENCE)
            self._added_at = None
        return max(min(seen.blocks - 1, int(seen.blocks * self.target / seen.load)), 1)

    def _step_back(self, seen: Observation, blocks: int) -> int:
        if seen.seconds - self._overloaded_at < self.RETRY_SECONDS:
            return seen.blocks
        self._retry, self._loads, self._retried_at = None, [], seen.seconds
        return blocks

    def _step_up(self, seen: Observation) -> int:
        typical = sorted(self._loads)[int(self.TYPICAL_LOAD * len(self._loads))]
        expected = typical * (seen.blocks + 1 + self.overhead) / (seen.blocks + self.overhead)
        # Again from here: the load of the time before is of another number of blocks.
        self._quiet_since, self._loads = seen.seconds, []
        if seen.blocks == seen.num_blocks or expected > self.margin * self.target:
            return seen.blocks
        self._added_at = seen.seconds
        return seen.blocks + 1


class Battery(NamedTuple):
    """What `Power` asks for: the charge in per cent, and whether a charger is plugged in."""

    percent: float
    power_plugged: bool


def system_battery() -> Battery | None:
    """This machine's battery, through psutil (the extra `live`); None where it has none.

    Raises
    ------
    InputError
        If psutil is not installed.
    """
    try:
        import psutil
    except ImportError:
        raise InputError("Power needs psutil: pip install 'bloomnet_sb[live]'") from None
    battery = getattr(psutil, "sensors_battery", lambda: None)()
    return battery and Battery(battery.percent, bool(battery.power_plugged))


class Power(Policy):
    """Fewer blocks as the battery runs low; all while it is charged, or where there is none.

    Arguments
    ---------
    blocks_below : mapping of float to int
        The number of blocks below a charge in per cent; all above the highest.
    battery : callable
        Gives the `Battery`, or None.
    every_seconds : float
        How often it is asked.

    Raises
    ------
    InputError
        For a charge that is not above 0 and at most 100, or a number of blocks below 1.

    Example
    -------
    >>> policy = Power({50: 2, 20: 1}, battery=lambda: Battery(35, power_plugged=False))
    >>> policy.choose(Observation(0.0, 4, 4, 0.001, 0.01))
    2
    """

    def __init__(
        self,
        blocks_below: Mapping[float, int],
        battery: Callable[[], Battery | None] = system_battery,
        every_seconds: float = 10.0,
    ):
        for percent in blocks_below:
            if not 0 < percent <= 100:
                raise InputError(f"a charge of {percent} %, but it must be above 0 and at most 100")
        check_positive(**{f"blocks below {p} %": blocks for p, blocks in blocks_below.items()})
        self.blocks_below = dict(sorted(blocks_below.items()))
        self.battery = battery
        self.every_seconds = every_seconds
        self._asked_at = -math.inf
        self._most: int | None = None

    def choose(self, seen: Observation) -> int:
        """The number for the charge when it was last asked for."""
        if seen.seconds - self._asked_at >= self.every_seconds:
            self._asked_at = seen.seconds
            self._most = self._blocks_for(self.battery())
        return min(self._most or seen.num_blocks, seen.num_blocks)

    def _blocks_for(self, battery: Battery | None) -> int | None:
        if battery is None or battery.power_plugged:
            return None
        fitting = (n for percent, n in self.blocks_below.items() if battery.percent < percent)
        return next(fitting, None)


class BudgetedStream:
    """A stream whose number of blocks a policy sets after each chunk.

    Arguments
    ---------
    stream : Stream
        The stream, see `bloomnet_sb.inference.enhancer.BloomEnhancer.stream`.
    policy : Policy
        Who decides; another one may be set at any time, and begins anew.
    clock : callable
        Gives seconds; it does not go back.

    Example
    -------
    >>> from bloomnet_sb import BloomEnhancer, BloomNet
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=2))
    >>> enhancer = BloomEnhancer({"model": model}, {"sample_rate": 16000})
    >>> stream = BudgetedStream(enhancer.stream(), Fixed(1))
    >>> stream.process(torch.randn(1600)).shape, stream.stream.blocks
    (torch.Size([1280]), 1)
    """

    def __init__(
        self,
        stream: Stream,
        policy: Policy,
        clock: Callable[[], float] = time.perf_counter,
    ):
        self.stream, self.policy, self.clock = stream, policy, clock
        self.seen: Observation | None = None

    @property
    def policy(self) -> Policy:
        """Who decides on the number of blocks."""
        return self._policy

    @policy.setter
    def policy(self, policy: Policy) -> None:
        policy.restart()
        self._policy = policy

    def process(self, chunk: torch.Tensor) -> torch.Tensor:
        """Enhance the next chunk, see `Stream.process`; then ask the policy.

        `seen` is what it was shown. It is not asked while more blocks than it chose are faded out,
        whose cost is not that of its choice.
        """
        stream, blocks = self.stream, self.stream.blocks
        frames, start = stream.frames, self.clock()
        ready = stream.process(chunk)
        end = self.clock()
        if chunk.shape[-1]:
            computed = max(stream.frames - frames, 1) * stream.hop_seconds
            audio_seconds = max(chunk.shape[-1] / stream.sample_rate, computed)
            self.seen = Observation(end, blocks, stream.num_blocks, end - start, audio_seconds)
            if stream.heard_blocks <= blocks:
                stream.blocks = self.policy.choose(self.seen)
        return ready

    def flush(self) -> torch.Tensor:
        """End the signal, see `Stream.flush`."""
        return self.stream.flush()
