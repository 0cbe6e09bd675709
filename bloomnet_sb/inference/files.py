"""Files of any length, rate and number of channels, for the pretrained interfaces."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path

import torch
from tqdm import tqdm

from bloomnet_sb.inference.base import AUTO, BloomInterface
from bloomnet_sb.inference.windows import Windows, cut, cut_into_frames, join, plan_windows
from bloomnet_sb.nn.levels import SignalLevel
from bloomnet_sb.utils.audio_files import Writer
from bloomnet_sb.utils.audio_formats import AudioInfo
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import one_line
from bloomnet_sb.utils.resampling import check_rate, read_resampled, resampled

logger = logging.getLogger(__name__)

FADE_SECONDS = 0.5
# Before and after a fade, where a network's reach is not known to be less.
CONTEXT_SECONDS = 0.25

# More channels of a file than these are run one group after the other, for the sake of memory.
CHANNELS_AT_ONCE = 8
# What is returned rather than written: 1 GB.
MOST_SAMPLES_IN_MEMORY = 2**28
# A longer result that goes to a file is not held in memory to be returned as well: 64 MB.
MOST_SAMPLES_RETURNED = 2**24


class FileInterface(BloomInterface):
    """What `BloomEnhancer` and `BloomSeparator` share in processing files.

    Attributes
    ----------
    window_seconds : float
        A longer file is processed in windows of at most this length.
    notes : dict of str to list of str
        For each file of the last call, what a user should know of its result: what of the file is
        not kept, what was clipped. They are logged as well.

    Example
    -------
    See `bloomnet_sb.inference.enhancer.BloomEnhancer`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.window_seconds = 10.0
        self.notes: dict[str, list[str]] = {}

    def _estimate_file(
        self,
        filename: str | Path,
        info: AudioInfo,
        blocks: int | str | None,
        mono: bool,
        min_gain_db: float | None = None,
    ) -> Iterator[torch.Tensor]:
        """Pieces [channels, time, sources] of the estimate, at the file's rate."""
        check_rate(filename, info.samplerate, self.sample_rate)  # before an output is begun
        return self._estimate_pieces(
            lambda: self._read(filename, info, mono), Path(filename).name, info, blocks, min_gain_db
        )

    def _note(self, filename: str | Path, info: AudioInfo, writers: Iterable[Writer]) -> None:
        """Keep and log what a user should know of a file's result."""
        notes = [*info.notes, *(note for writer in writers for note in writer.notes)]
        self.notes[str(filename)] = list(dict.fromkeys(notes))
        for note in self.notes[str(filename)]:
            logger.warning("%s: %s", one_line(str(filename)), note)

    def _estimate_pieces(
        self,
        read: Callable[[], Iterator[torch.Tensor]],
        name: str,
        info: AudioInfo,
        blocks: int | str | None,
        min_gain_db: float | None = None,
    ) -> Iterator[torch.Tensor]:
        """The same of what `read` gives anew at each call: pieces at the network's rate."""
        as_needed = blocks == AUTO and min_gain_db is not None
        samples = math.ceil(info.frames * self.sample_rate / info.samplerate)
        self.blocks_used = []
        if self.mods.model.separator.causal and not as_needed:
            estimates = self._streamed(read(), samples, self._checked(blocks), name)
        else:
            depth = None if as_needed else self._checked(blocks)
            estimates = self._windowed(read, samples, depth, min_gain_db, name)
        by_source = (estimate.transpose(1, 2) for estimate in estimates)
        left = info.frames
        for piece in resampled(by_source, self.sample_rate, info.samplerate):
            # Resampling there and back may give some samples more; never fewer.
            yield piece[..., :left].transpose(1, 2).cpu()
            left -= min(piece.shape[-1], left)

    @property
    def _window_samples(self) -> int:
        return round(self.window_seconds * self.sample_rate)

    def _plan(self, samples: int) -> Windows:
        filterbank, reach = self.mods.model.encoder, self.mods.model.separator.reach
        context = round(CONTEXT_SECONDS * self.sample_rate)
        if reach is not None:
            context = reach * filterbank.hop + filterbank.window
        fade = round(FADE_SECONDS * self.sample_rate)
        return plan_windows(samples, filterbank, self._window_samples, context, fade)

    def _streamed(
        self, pieces: Iterator[torch.Tensor], samples: int, blocks: int, name: str
    ) -> Iterator[torch.Tensor]:
        """Estimates [channels, time, sources] of a causal network, which goes on piece by piece."""
        self.blocks_used.append(blocks)
        first = next(pieces)
        groups = first.split(CHANNELS_AT_ONCE)
        streams = [self.stream(blocks, batch_size=len(group)) for group in groups]
        total = math.ceil(samples / self.sample_rate)
        for piece in self._shown(chain([first], pieces), name, samples, total):
            pairs = zip(streams, piece.split(CHANNELS_AT_ONCE), strict=True)
            yield _with_sources(torch.cat([stream.process(group) for stream, group in pairs]))
        yield _with_sources(torch.cat([stream.flush() for stream in streams]))

    def _windowed(
        self,
        read: Callable[[], Iterator[torch.Tensor]],
        samples: int,
        blocks: int | None,
        min_gain_db: float | None,
        name: str,
    ) -> Iterator[torch.Tensor]:
        """Estimates [channels, time, sources] in windows; without `blocks`, as many as needed."""
        windows = self._plan(samples)
        level = self._level(read(), samples) if windows.count > 1 else None

        def estimate_some(window: torch.Tensor, level: torch.Tensor | None) -> torch.Tensor:
            if blocks is None:
                assert min_gain_db is not None
                return self._estimate_as_needed(window, min_gain_db, level)
            self.blocks_used.append(blocks)
            return self._estimate(window, blocks, level)

        def estimate(window: torch.Tensor) -> torch.Tensor:
            groups = window.split(CHANNELS_AT_ONCE)
            levels = [None] * len(groups) if level is None else level.split(CHANNELS_AT_ONCE)
            return torch.cat(list(map(estimate_some, groups, levels)))

        mixes = self._shown(cut(read(), windows), name, samples, windows.count)
        return join(map(estimate, mixes), windows)

    def _shown(
        self, pieces: Iterator[torch.Tensor], name: str, samples: int, total: int
    ) -> Iterable[torch.Tensor]:
        """The pieces, with a progress bar for a long file at a terminal."""
        short = samples <= self._window_samples
        return tqdm(
            pieces, name, total=total, unit="window", leave=False, disable=True if short else None
        )

    def _level(self, pieces: Iterator[torch.Tensor], samples: int) -> torch.Tensor | None:
        """The level [channels] of a whole file's features, for networks that ask for it."""
        model = self.mods.model
        if not isinstance(model.level, SignalLevel):
            return None
        filterbank = model.encoder
        frames = filterbank.num_frames(samples)
        power: torch.Tensor | float = 0.0
        for piece in cut_into_frames(pieces, filterbank, samples, self._window_samples):
            with torch.no_grad():
                norms = [
                    torch.linalg.vector_norm(filterbank(channels).flatten(1), dim=1)
                    for channels in piece.split(CHANNELS_AT_ONCE)
                ]
            power = power + torch.cat(norms).double().square()
        return (power / (frames * filterbank.num_filters)).sqrt().float()

    def _read(self, filename: str | Path, info: AudioInfo, mono: bool) -> Iterator[torch.Tensor]:
        """Pieces [channels, time] of a file at the network's rate."""
        return read_resampled(filename, info.samplerate, self.sample_rate, mono, self.device)


def _with_sources(signals: torch.Tensor) -> torch.Tensor:
    return signals if signals.dim() == 3 else signals.unsqueeze(2)


def in_memory(
    pieces: Iterator[torch.Tensor], path: str | Path, samples: int, dim: int
) -> torch.Tensor:
    """The pieces of a result in one, unless they are too many.

    Arguments
    ---------
    pieces : iterator of torch.Tensor
        The pieces.
    path : str or Path
        The file that they are of, for the message.
    samples : int
        How many samples the result has, over all channels and sources.
    dim : int
        The dimension of time.

    Returns
    -------
    torch.Tensor
        The result.

    Raises
    ------
    InputError
        If there are more than 2**28 samples.

    Example
    -------
    >>> in_memory(iter([torch.zeros(2, 3), torch.zeros(2, 4)]), "noisy.wav", 14, dim=1).shape
    torch.Size([2, 7])
    """
    if samples > MOST_SAMPLES_IN_MEMORY:
        raise InputError(
            f"{path}: {samples} samples are too many to be returned; name where to write them"
        )
    return torch.cat(list(pieces), dim=dim)


def write_all(
    pieces: Iterable[torch.Tensor], write: Callable[[torch.Tensor], None], samples: int
) -> list[torch.Tensor]:
    """Write the pieces of a result, and return them unless they are too many.

    Arguments
    ---------
    pieces : iterable of torch.Tensor
        The pieces.
    write : callable
        Writes one.
    samples : int
        How many samples the result has, over all channels and sources.

    Returns
    -------
    list of torch.Tensor
        The pieces; none if they have more than 2**24 samples together.

    Example
    -------
    >>> write_all([torch.zeros(3)], lambda piece: print(piece.shape), samples=3)
    torch.Size([3])
    [tensor([0., 0., 0.])]
    """
    kept = []
    for piece in pieces:
        write(piece)
        if samples <= MOST_SAMPLES_RETURNED:
            kept.append(piece)
    return kept
