"""Signals of any length in bounded memory: windows over a stream of pieces."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch

from bloomnet_sb.model import Encoder
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
        that of the one before gets 1 minus it. Default: the two are added as they are.

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
    samples: int, encoder: Encoder, size: int, context: int = 0, fade: int = 0
) -> Windows:
    """Plan windows that hold whole frames of an encoder, all about as long.

    Arguments
    ---------
    samples : int
        Length of the signal.
    encoder : bloomnet_sb.model.Encoder
        Whose frames they are.
    size : int
        The most samples that a window may have; it has more where the overlap asks for it.
    context, fade : int
        Successive windows overlap by `fade` samples in which one estimate fades into the other,
        and by `context` before and after, where one of them is not used. With neither, no frame
        is in two windows, and estimates add up as the frames of one decoder do.

    Returns
    -------
    Windows
        The windows; one, if the signal is not longer than `size`.

    Example
    -------
    >>> encoder = Encoder(16, kernel_size=16, stride=8)
    >>> plan_windows(1000, encoder, size=1000).count
    1
    >>> windows = plan_windows(100_000, encoder, size=10_000, context=500, fade=1000)
    >>> windows.count, windows.hop % 8, windows.overlap >= 2000
    (13, 0, True)
    """
    frames = encoder.num_frames(samples)
    shared = encoder.num_frames(2 * context + fade) if fade else 0
    most = max(encoder.num_frames(size), 2 * shared, 1)
    count = max(math.ceil((frames - shared) / (most - shared)), 1)
    hop = math.ceil((frames - shared) / count) * encoder.stride
    overlap = (shared - 1) * encoder.stride + encoder.kernel_size
    if not fade:
        return Windows(samples, count, hop, overlap)
    ramp = torch.linspace(0, 1, fade)
    before = (overlap - fade) // 2
    ramp = torch.cat([torch.zeros(before), ramp, torch.ones(overlap - fade - before)])
    return Windows(samples, count, hop, overlap, ramp)


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
    shared = tail.shape[1]
    if windows.fade is None:
        return torch.cat([tail + estimate[:, :shared], estimate[:, shared:]], dim=1)
    estimate = in_order(estimate, best_order(estimate[:, :shared], tail[None]))
    fade = windows.fade.to(tail)[:, None]
    faded = (1 - fade) * tail + fade * estimate[:, :shared]
    return torch.cat([faded, estimate[:, shared:]], dim=1)
