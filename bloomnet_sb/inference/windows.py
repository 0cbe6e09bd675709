"""Signals of any length in bounded memory: windows over a stream of pieces."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch

from bloomnet_sb.nn.filterbanks import Filterbank
from bloomnet_sb.nn.losses import best_order, in_order

Pieces = Iterable[torch.Tensor]


@dataclass(frozen=True)
class Windows:
    """Where the windows of a signal lie: one hop apart, the last as long as what is left.

    Arguments
    ---------
    samples : int
        Length of the signal.
    count : int
        How many windows there are.
    hop : int
        Samples from one window to the next.
    overlap : int
        Samples that two successive windows share.
    fade : torch.Tensor, optional
        What an estimate is multiplied with where its window overlaps the one before, [overlap];
        that of the one before gets 1 minus it. Default: for windows whose estimates are not joined.

    Example
    -------
    >>> list(Windows(100, count=3, hop=40, overlap=10))
    [(0, 50), (40, 90), (80, 100)]
    """

    samples: int
    count: int
    hop: int
    overlap: int
    fade: torch.Tensor | None = None

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the first sample of each window and the one after its last."""
        for index in range(self.count - 1):
            yield index * self.hop, (index + 1) * self.hop + self.overlap
        yield (self.count - 1) * self.hop, self.samples


def plan_windows(
    samples: int, filterbank: Filterbank, size: int, context: int, fade: int
) -> Windows:
    """Plan windows that hold whole frames of a filterbank, all about as long.

    Arguments
    ---------
    samples : int
        Length of the signal.
    filterbank : Filterbank
        Whose frames they are.
    size : int
        The most samples that a window may have; it has more where the overlap asks for it.
    context, fade : int
        Successive windows overlap by `fade` samples in which one estimate fades into the other,
        and by `context` before and after, where one of them is not used.

    Returns
    -------
    Windows
        The windows; one, if the signal is not longer than `size`.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> filterbank = LearnedFilterbank(16, window=16, hop=8)
    >>> plan_windows(1000, filterbank, size=1000, context=100, fade=100).count
    1
    >>> windows = plan_windows(100_000, filterbank, size=10_000, context=500, fade=1000)
    >>> windows.count, windows.hop % 8, windows.overlap >= 2000
    (13, 0, True)
    """
    frames = filterbank.num_frames(samples)
    shared = 1 + math.ceil(max(2 * context + fade - filterbank.window, 0) / filterbank.hop)
    most = max(filterbank.num_frames(size), 2 * shared)
    count = max(math.ceil((frames - shared) / (most - shared)), 1)
    hop = math.ceil((frames - shared) / count) * filterbank.hop
    overlap = (shared - 1) * filterbank.hop + filterbank.window
    before = (overlap - fade) // 2
    ramp = torch.linspace(0, 1, fade)
    ramp = torch.cat([torch.zeros(before), ramp, torch.ones(overlap - fade - before)])
    return Windows(samples, count, hop, overlap, ramp)


def cut_into_frames(
    pieces: Pieces, filterbank: Filterbank, samples: int, size: int
) -> Iterator[torch.Tensor]:
    """Cut a signal that comes in pieces into the frames of a filterbank, each once.

    Arguments
    ---------
    pieces : iterable of torch.Tensor
        Successive pieces [channels, time], of any lengths.
    filterbank : Filterbank
        Whose frames they are.
    samples : int
        Length of the signal.
    size : int
        About how many samples are cut at once.

    Yields
    ------
    torch.Tensor
        Frames [channels, frames, window].

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> filterbank, signal = STFTFilterbank(window=32, hop=16), torch.rand(1, 1000)
    >>> frames = cut_into_frames(signal.split(70, dim=1), filterbank, 1000, size=200)
    >>> torch.equal(torch.cat(list(frames), dim=1), filterbank.windows_of(signal))
    True
    """
    pieces = iter(pieces)
    first = next(pieces)
    window, hop, frames = filterbank.window, filterbank.hop, filterbank.num_frames(samples)
    length = (frames - 1) * hop + window
    after = max(length - filterbank.left - samples, 0)
    zeros = first.new_zeros(len(first), max(filterbank.left, after))
    padded = chain([zeros[:, : filterbank.left], first], pieces, [zeros[:, :after]])
    at_once = max(size // hop, 1)
    count = math.ceil(frames / at_once)
    for part in cut(padded, Windows(length, count, at_once * hop, window - hop)):
        yield part.unfold(1, window, hop)


def cut(pieces: Pieces, windows: Windows) -> Iterator[torch.Tensor]:
    """Cut a signal that comes in pieces into windows.

    Arguments
    ---------
    pieces : iterable of torch.Tensor
        Successive pieces [.., time], of any lengths.
    windows : Windows
        Where the windows lie.

    Yields
    ------
    torch.Tensor
        The windows [.., time].

    Example
    -------
    >>> windows = Windows(100, count=3, hop=40, overlap=10)
    >>> [len(window) for window in cut(torch.rand(100).split(7), windows)]
    [50, 50, 20]
    """
    pieces = iter(pieces)
    waiting = next(pieces)
    for start, stop in windows:
        while waiting.shape[-1] < stop - start:
            waiting = torch.cat([waiting, next(pieces)], dim=-1)
        yield waiting[..., : stop - start]
        waiting = waiting[..., windows.hop :]


def join(estimates: Pieces, windows: Windows) -> Iterator[torch.Tensor]:
    """Join the estimates of successive windows.

    Where there are several sources, each window's are put in the order of the window before, by
    their SI-SDR in what the two share.

    Arguments
    ---------
    estimates : iterable of torch.Tensor
        The estimate [batch, time, sources] of each window.
    windows : Windows
        Where the windows lie.

    Yields
    ------
    torch.Tensor
        Successive pieces [batch, time, sources] of the signal.

    Example
    -------
    >>> windows = Windows(100, count=3, hop=40, overlap=10, fade=torch.linspace(0, 1, 10))
    >>> signal = torch.rand(1, 100, 2)
    >>> cuts = [window.transpose(1, 2) for window in cut([signal.transpose(1, 2)], windows)]
    >>> torch.allclose(torch.cat(list(join(cuts, windows)), dim=1), signal)
    True
    """
    tail = None
    for index, estimate in enumerate(estimates, 1):
        if tail is not None:
            estimate = _continue(tail, estimate, windows)
        done = estimate.shape[1] if index == windows.count else windows.hop
        yield estimate[:, :done]
        tail = estimate[:, done:]


def _continue(tail: torch.Tensor, estimate: torch.Tensor, windows: Windows) -> torch.Tensor:
    assert windows.fade is not None
    shared = tail.shape[1]
    estimate = in_order(estimate, best_order(estimate[:, :shared], tail[None]))
    fade = windows.fade.to(tail)[:, None]
    faded = (1 - fade) * tail + fade * estimate[:, :shared]
    return torch.cat([faded, estimate[:, shared:]], dim=1)
