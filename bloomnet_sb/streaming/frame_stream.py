"""A signal enhanced as it comes: buffer, overlap-add, depth and strength that change, in numpy."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

if __package__ == "bloomnet_sb.streaming":
    from bloomnet_sb.streaming.depth_switch import DepthSwitch
    from bloomnet_sb.streaming.noisy_share import NoisyShare, is_number, noisy_share, rise
else:  # this is a copy in an exported folder, with copies of these beside it
    from depth_switch import DepthSwitch  # type: ignore[no-redef]
    from noisy_share import NoisyShare, is_number, noisy_share, rise  # type: ignore[no-redef]


# As bloomnet_sb.utils.errors has it, which is not beside a copy of this file.
LARGEST_SAMPLE = 1e12


@dataclass(frozen=True)
class StreamFacts:
    """What a stream has to know of a network.

    Arguments
    ---------
    num_blocks, num_sources : int
        Of the network.
    window, hop : int
        Of the filterbank, in samples.
    left, right : int
        Zeros before the signal and after it, which the windows take in.
    pad_input : bool
        Whether the samples after the last whole window get a window of their own.
    warm_ups : sequence of int or None
        The frames after which each block that missed some is exact; None: it never is.
    most_frames : int
        The most frames in one call.
    """

    num_blocks: int
    num_sources: int
    window: int
    hop: int
    left: int
    right: int
    pad_input: bool
    warm_ups: Sequence[int | None]
    most_frames: int


class Engine(Protocol):
    """What runs the parts of a network: "enter", and "block1", "decode1".. for each depth.

    Enter maps windows [batch, frames, window] to the first block's feature and to what every
    decode takes beside the feature of its block; block l maps a feature to the next; decode l gives
    windows [batch, sources, frames, window].

    Attributes
    ----------
    facts : StreamFacts
        What a stream has to know of the network.
    """

    facts: StreamFacts

    def start(self, part: str, batch_size: int) -> Any:
        """What a part carries before the first frame."""

    def enter(self, windows: np.ndarray, state: Any) -> tuple[Any, Any, Any]:
        """The feature, what is shared by all decodes, and the state after these frames."""

    def block(self, depth: int, feature: Any, state: Any) -> tuple[Any, Any]:
        """The next feature, and the state after these frames."""

    def decode(self, depth: int, feature: Any, shared: Any) -> np.ndarray:
        """The windows of the estimate of `depth` blocks."""


class FrameStream:
    """One signal, or a batch of signals side by side, enhanced as it comes.

    What `process` and `flush` return, one after the other, is the enhanced signal; it is that of
    the whole signal at once, however the signal is cut into chunks.

    A change of `blocks` takes effect without a click. Fewer blocks: the two estimates are
    cross-faded from the next frame on, and the blocks that are no longer needed stop. More blocks:
    those that come back go on where they stopped, unheard, and are faded in once they are what they
    would be had they always run; those that never forget all, recurrent ones, after `wait_seconds`.

    `strength` and `attenuation_limit_db` say how much of the noisy signal stays, in step with the
    enhanced one: the larger of 1 - strength and 10^(-dB / 20) is its share, and the rest is that of
    the network's output. Their changes are faded too.

    Arguments
    ---------
    engine : Engine
        What runs the network; streams may share one.
    sample_rate : int
        In Hz.
    blocks : int, optional
        How many blocks run. Default: all.
    batch_size : int, optional
        Chunks are [batch_size, time]. Default: they are [time].
    fade_seconds : float
        Length of a cross-fade between two numbers of blocks, or two strengths.
    wait_seconds : float
        How long blocks that never forget all run before they are heard.
    strength : float
        How much is enhanced: 1, the network's output; 0, the noisy signal, delayed.
    attenuation_limit_db : float, optional
        The most, in dB, that anything is lowered. Default: no limit.

    Raises
    ------
    ValueError
        If `blocks` is no number of blocks of this network, or another argument cannot be.

    Example
    -------
    See `bloomnet_sb.streaming.stream.Stream`.
    """

    error: type[ValueError] = ValueError

    def __init__(
        self,
        engine: Engine,
        sample_rate: int,
        blocks: int | None = None,
        batch_size: int | None = None,
        fade_seconds: float = 0.02,
        wait_seconds: float = 1.0,
        strength: float = 1.0,
        attenuation_limit_db: float | None = None,
    ):
        if not is_number(fade_seconds) or not 0 < fade_seconds < np.inf:
            raise self.error(f"fade_seconds is {fade_seconds!r}, but must be above 0, and finite")
        if not is_number(wait_seconds) or not 0 <= wait_seconds < np.inf:
            raise self.error(f"wait_seconds is {wait_seconds!r}, but must be 0 or more, and finite")
        if batch_size is not None and not (type(batch_size) is int and batch_size > 0):
            raise self.error(f"batch_size is {batch_size!r}, but must be a whole number above 0")
        self.engine = engine
        self.facts = facts = engine.facts
        self.sample_rate = sample_rate
        self.hop_seconds = facts.hop / sample_rate
        self.batch_size = batch_size
        fade_samples = max(round(fade_seconds * sample_rate), 1)
        self._switch = DepthSwitch(
            facts.warm_ups,
            self._checked_blocks(facts.num_blocks if blocks is None else blocks),
            facts.window,
            facts.hop,
            fade_samples,
            round(wait_seconds * sample_rate / facts.hop),
        )
        self._noisy = NoisyShare(batch_size or 1, fade_samples)
        self._set_amount(strength, attenuation_limit_db)
        self.reset()

    @property
    def num_blocks(self) -> int:
        """The number of blocks that the network has, L."""
        return self.facts.num_blocks

    @property
    def blocks(self) -> int:
        """How many blocks were asked for; may be set at any time."""
        return self._switch.target

    @blocks.setter
    def blocks(self, blocks: int) -> None:
        self._switch.target = self._checked_blocks(blocks)

    @property
    def heard_blocks(self) -> int:
        """The number of blocks whose estimate is heard; in a fade, that of the outgoing one."""
        return self._switch.heard

    @property
    def frames(self) -> int:
        """How many frames of this signal are computed, each of `hop_seconds`."""
        return self._switch.frame

    @property
    def strength(self) -> float:
        """How much is enhanced, from 0 to 1; may be set at any time."""
        return self._strength

    @strength.setter
    def strength(self, strength: float) -> None:
        self._set_amount(strength, self._attenuation_limit_db)

    @property
    def attenuation_limit_db(self) -> float | None:
        """The most, in dB, that anything is lowered, or None; may be set at any time."""
        return self._attenuation_limit_db

    @attenuation_limit_db.setter
    def attenuation_limit_db(self, attenuation_limit_db: float | None) -> None:
        self._set_amount(self._strength, attenuation_limit_db)

    @property
    def delay_samples(self) -> int:
        """The most samples that `process` holds back: the window less one."""
        return self.facts.window - 1

    def reset(self) -> None:
        """Forget the signal; the next chunk is the start of another."""
        facts, batch = self.facts, self.batch_size or 1
        parts = ["enter", *(f"block{depth}" for depth in range(1, facts.num_blocks + 1))]
        self._states = {part: self.engine.start(part, batch) for part in parts}
        self._waiting = np.zeros((batch, facts.left), np.float32)
        shape = (batch, facts.num_sources, facts.window - facts.hop)
        self._tail = np.zeros(shape, np.float32)
        self._received = self._returned = 0
        self._before = facts.left  # samples to come that are before the signal
        self._switch.restart()
        self._noisy.restart()

    def process(self, chunk: np.ndarray) -> np.ndarray:
        """Enhance the next chunk.

        Arguments
        ---------
        chunk : numpy.ndarray
            Floats [time], or [batch_size, time]; of any length, also none.

        Returns
        -------
        numpy.ndarray
            The samples that are ready, float32 [time], or [batch_size, time]; with several
            sources, they are in a last dimension. Up to `delay_samples` of those received are not
            ready; where chunks are whole hops, a chunk comes back for a chunk once a window is
            full.

        Raises
        ------
        ValueError
            If the chunk has another form, or holds NaN or infinite samples; it is not taken then.
        """
        rows = self._checked(chunk)
        self._noisy.keep(rows)
        return self._returned_form(self._noisy.mix(self._take(rows)))

    def flush(self, last: np.ndarray | None = None) -> np.ndarray:
        """End the signal, and reset; gives the samples that `process` held back.

        Arguments
        ---------
        last : numpy.ndarray, optional
            A last chunk, as `process` takes it; its samples are given, too. Where a signal's end is
            known, that is one run of the network less.

        Raises
        ------
        ValueError
            As `process`; the signal goes on then.
        """
        rows = self._waiting[:, :0] if last is None else self._checked(last)
        self._noisy.keep(rows)
        signal = self._noisy.mix(self._end(rows))
        self.reset()
        return self._returned_form(signal)

    def _take(self, rows: np.ndarray) -> np.ndarray:
        """The enhanced samples [batch, sources, time] that are ready with these of the signal."""
        self._received += rows.shape[1]
        return self._process(rows)

    def _end(self, rows: np.ndarray) -> np.ndarray:
        """The enhanced samples [batch, sources, time] that are left, of `rows` at the end, too."""
        self._received += rows.shape[1]
        self._waiting = np.concatenate([self._waiting, rows], axis=1)
        left = self._received - self._returned
        ready = self._process(np.zeros((len(self._waiting), self._missing()), np.float32))
        silence = np.zeros((*self._tail.shape[:2], left), np.float32)
        return np.concatenate([ready, self._tail, silence], axis=2)[:, :, :left]

    def _missing(self) -> int:
        """Zeros after the last sample for the windows that it is in, and for a last whole one."""
        if self._received == 0:
            return 0
        facts = self.facts
        waiting = self._waiting.shape[1] + facts.right
        beyond = waiting - max((waiting - facts.window) // facts.hop + 1, 0) * facts.hop
        first = self._switch.frame == 0 and waiting < facts.window
        uncovered = facts.pad_input and beyond > facts.window - facts.hop
        return facts.right + (facts.window - beyond if first or uncovered else 0)

    def _process(self, rows: np.ndarray) -> np.ndarray:
        """The samples [batch, sources, time] that are complete with these."""
        window, hop = self.facts.window, self.facts.hop
        self._waiting = np.concatenate([self._waiting, rows], axis=1)
        count = (self._waiting.shape[1] - window) // hop + 1
        if count <= 0:
            return self._tail[:, :, :0]
        pieces, done = [], 0
        windows = np.empty((len(rows), count, window), np.float32)
        for frame in range(count):
            windows[:, frame] = self._waiting[:, frame * hop : frame * hop + window]
        while done < count:
            frames = int(min(count - done, self._switch.next_frames(), self.facts.most_frames))
            pieces.append(self._overlap_add(self._estimate(windows[:, done : done + frames])))
            self._switch.frame += frames
            done += frames
        self._waiting = self._waiting[:, count * hop :]
        ready = pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=2)
        before = min(self._before, ready.shape[2])
        self._before -= before
        self._returned += ready.shape[2] - before
        return ready[:, :, before:]

    def _estimate(self, windows: np.ndarray) -> np.ndarray:
        """The windows [batch, sources, frames, window] of what is heard, of the noisy signal's."""
        engine, switch, states = self.engine, self._switch, self._states
        feature, shared, states["enter"] = engine.enter(windows, states["enter"])
        estimates = {}
        for depth in range(1, switch.running + 1):
            part = f"block{depth}"
            feature, states[part] = engine.block(depth, feature, states[part])
            if depth in (switch.heard, switch.fading_to):
                estimates[depth] = engine.decode(depth, feature, shared)
        heard = estimates[switch.heard]
        if switch.fading_to is None:
            return heard
        return heard + self._share(windows.shape[1]) * (estimates[switch.fading_to] - heard)

    def _share(self, frames: int) -> np.ndarray:
        """How much of what fades in is heard in each sample of the next windows."""
        starts = np.arange(frames)[:, None] * self.facts.hop
        since = starts + np.arange(self.facts.window) + self._switch.samples_since_fade_start
        return rise(since + 0.5, self._switch.fade_samples)

    def _overlap_add(self, windows: np.ndarray) -> np.ndarray:
        """Add windows to the tail of those before; gives the samples that are complete."""
        batch, sources, frames, window = windows.shape
        hop = self.facts.hop
        if frames == 1:  # as below, which takes a tenth of a chunk's time
            signal = windows[:, :, 0].copy()
            signal[:, :, : window - hop] += self._tail
            self._tail = signal[:, :, hop:]
            return signal[:, :, :hop]
        hops = np.zeros((batch, sources, frames - 1 - -window // hop, hop), np.float32)
        for number, start in enumerate(range(0, window, hop)):
            part = windows[..., start : start + hop]
            hops[:, :, number : number + frames, : part.shape[3]] += part
        signal = hops.reshape(batch, sources, -1)
        signal[:, :, : window - hop] += self._tail
        complete = frames * hop
        self._tail = signal[:, :, complete : complete + window - hop].copy()
        return signal[:, :, :complete]

    def _set_amount(self, strength: float, attenuation_limit_db: float | None) -> None:
        share = noisy_share(strength, attenuation_limit_db, self.error)
        if share and self.facts.num_sources > 1:
            raise self.error(
                "strength and attenuation_limit_db are for enhancement, and this network separates "
                f"{self.facts.num_sources} sources"
            )
        self._strength, self._attenuation_limit_db = strength, attenuation_limit_db
        self._noisy.share = share

    def _checked_blocks(self, blocks: int) -> int:
        if isinstance(blocks, bool) or not isinstance(blocks, int | np.integer):
            raise self.error(f"blocks is {blocks!r}, but must be a whole number")
        if not 1 <= blocks <= self.facts.num_blocks:
            raise self.error(
                f"blocks is {blocks}, but this network has 1 to {self.facts.num_blocks} blocks"
            )
        return int(blocks)

    def _checked(self, chunk: np.ndarray) -> np.ndarray:
        if not isinstance(chunk, np.ndarray) or chunk.dtype.kind != "f":
            kind = getattr(chunk, "dtype", type(chunk).__name__)
            raise self.error(f"a chunk is of {kind}, but must be an array of floats")
        form = "[time]" if self.batch_size is None else f"[{self.batch_size}, time]"
        rows = chunk[None] if self.batch_size is None else chunk
        if rows.ndim != 2 or len(rows) != (self.batch_size or 1):
            raise self.error(f"a chunk has shape {list(chunk.shape)}, but must be {form}")
        rows = rows.astype(np.float32, copy=False)
        if not np.abs(rows).max(initial=0) <= LARGEST_SAMPLE:  # as NaN is not either
            raise self.error("a chunk holds NaN, infinite or absurdly large samples")
        return rows

    def _returned_form(self, signals: np.ndarray) -> np.ndarray:
        signals = signals[:, 0] if self.facts.num_sources == 1 else signals.swapaxes(1, 2)
        return (signals[0] if self.batch_size is None else signals).copy()
