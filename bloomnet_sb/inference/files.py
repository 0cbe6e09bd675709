"""Files of any length, rate and number of channels, for the pretrained interfaces."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import chain
from pathlib import Path

import torch
from tqdm import tqdm

from bloomnet_sb.inference.amount import NO_MORE, Amount, around_network
from bloomnet_sb.inference.base import AUTO, BloomInterface
from bloomnet_sb.inference.measures import FileMeasures, Measuring
from bloomnet_sb.inference.windows import Windows, cut, cut_into_frames, join, plan_windows
from bloomnet_sb.nn.levels import SignalLevel
from bloomnet_sb.utils.audio_files import PIECE_SECONDS, Writer
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

# Pieces [channels, time] of a file, from its start at each call
Read = Callable[[], Iterator[torch.Tensor]]


class FileInterface(BloomInterface):
    """What `BloomEnhancer` and `BloomSeparator` share in processing files.

    Attributes
    ----------
    window_seconds : float
        A longer file is processed in windows of at most this length.
    notes : dict of str to list of str
        For each file of the last call, what a user should know of its result: what of the file is
        not kept, what was clipped. They are logged as well.
    measuring : bool
        Whether files are measured while they are enhanced; at first not.
    measures : dict of str to dict
        For each file of the last call, what was measured, see
        `bloomnet_sb.inference.measures.FileMeasures.as_dict`.

    Example
    -------
    See `bloomnet_sb.inference.enhancer.BloomEnhancer`.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.window_seconds = 10.0
        self.notes: dict[str, list[str]] = {}
        self.measuring = False
        self.measures: dict[str, dict] = {}
        self._meter = Measuring([])

    def _estimate_file(
        self,
        filename: str | Path,
        info: AudioInfo,
        blocks: int | str | None,
        mono: bool,
        min_gain_db: float | None = None,
        amount: Amount = NO_MORE,
    ) -> Iterator[torch.Tensor]:
        """Pieces [channels, time, sources] of the estimate, at the file's rate."""
        check_rate(filename, info.samplerate, self.sample_rate)  # before an output is begun

        def read() -> Iterator[torch.Tensor]:
            return self._read(filename, info, mono)

        return self._estimate_pieces(read, Path(filename).name, info, blocks, min_gain_db, amount)

    def _note(self, filename: str | Path, info: AudioInfo, writers: Iterable[Writer]) -> None:
        """Keep and log what a user should know of a file's result."""
        notes = [*info.notes, *(note for writer in writers for note in writer.notes)]
        self.notes[str(filename)] = list(dict.fromkeys(notes))
        for note in self.notes[str(filename)]:
            logger.warning("%s: %s", one_line(str(filename)), note)

    def _begin_measuring(self, infos: Iterable[AudioInfo]) -> None:
        """Begin to measure files, if they are to be measured."""
        measured = infos if self.measuring else []
        self._meter = Measuring(
            [FileMeasures(info.samplerate, info.channels, info.subtype) for info in measured]
        )

    def _end_measuring(self, files: Iterable[str | Path]) -> None:
        """Keep what was measured of them."""
        measured = zip(files, self._meter.files, strict=self.measuring)
        self.measures = {str(path): measures.as_dict() for path, measures in measured}

    def _estimate_pieces(
        self,
        read: Read,
        name: str,
        info: AudioInfo,
        blocks: int | str | None,
        min_gain_db: float | None = None,
        amount: Amount = NO_MORE,
    ) -> Iterator[torch.Tensor]:
        """The same of what `read` gives."""
        num_sources = self.mods.model.num_sources
        amount.check(num_sources)
        depth = None if blocks == AUTO and min_gain_db is not None else self._checked(blocks)
        self.blocks_used = []
        pieces = self._meter.hearing(read()) if self._meter.files else read()
        if self.mods.model.separator.causal and depth is not None:
            return self._streamed(pieces, info, depth, name, amount)

        def estimate(pieces: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
            return self._windowed(pieces, read, info, depth, min_gain_db, name)

        rates = (self.sample_rate, info.samplerate)
        return around_network(pieces, estimate, rates, num_sources, amount)

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
        self,
        pieces: Iterator[torch.Tensor],
        info: AudioInfo,
        blocks: int,
        name: str,
        amount: Amount,
    ) -> Iterator[torch.Tensor]:
        """Estimates [channels, time, sources] of a causal network, which goes on piece by piece."""
        self.blocks_used.append(blocks)
        first = next(pieces)
        groups, options = first.split(CHANNELS_AT_ONCE), asdict(amount)
        streams = [
            self.stream(blocks, len(group), sample_rate=info.samplerate, **options)
            for group in groups
        ]

        def run(piece: torch.Tensor, is_last: bool) -> torch.Tensor:
            with self.turn:
                estimates = [
                    stream.flush(group) if is_last else stream.process(group)
                    for stream, group in zip(streams, piece.split(CHANNELS_AT_ONCE), strict=True)
                ]
            return _with_sources(torch.cat(estimates))

        total = math.ceil(info.frames / (PIECE_SECONDS * info.samplerate))
        shown = iter(self._shown(chain([first], pieces), name, info, total))
        piece = next(shown)
        for after in shown:
            yield run(piece, is_last=False)
            piece = after
        yield run(piece, is_last=True)

    def _windowed(
        self,
        pieces: Iterator[torch.Tensor],
        read: Read,
        info: AudioInfo,
        blocks: int | None,
        min_gain_db: float | None,
        name: str,
    ) -> Iterator[torch.Tensor]:
        """Estimates [channels, time, sources] of pieces at the network's rate, in windows.

        Without `blocks`, of as many as are needed. `read` gives the file anew.
        """
        windows = self._plan(math.ceil(info.frames * self.sample_rate / info.samplerate))
        level = None
        if windows.count > 1:
            again = resampled(read(), info.samplerate, self.sample_rate)
            level = self._level(map(self._on_device, again), windows.samples)

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

        windowed = cut(map(self._on_device, pieces), windows)
        mixes = self._shown(windowed, name, info, windows.count)
        return join(map(estimate, mixes), windows)

    def _shown(
        self, pieces: Iterator[torch.Tensor], name: str, info: AudioInfo, total: int
    ) -> Iterable[torch.Tensor]:
        """The pieces, with a progress bar for a long file at a terminal."""
        short = info.frames <= self.window_seconds * info.samplerate
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
            # In double precision, which the network's device need not have
            power = power + torch.cat(norms).cpu().double().square()
        return (power / (frames * filterbank.num_filters)).sqrt().float().to(self.device)

    def _read(self, filename: str | Path, info: AudioInfo, mono: bool) -> Iterator[torch.Tensor]:
        """Pieces [channels, time] of a file."""
        return read_resampled(filename, info.samplerate, info.samplerate, mono)

    def _on_device(self, piece: torch.Tensor) -> torch.Tensor:
        return piece.to(self.device)


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
