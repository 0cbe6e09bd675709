"""Running a signal through a stream."""

import torch


def streamed(stream, signal: torch.Tensor, sizes, with_flush: bool = False) -> torch.Tensor:
    """The output for chunks of these sizes of `signal` [time], and for the rest in one.

    The rest may be given with the flush.
    """
    sizes = [*sizes, max(signal.shape[-1] - sum(sizes), 0)]
    *chunks, rest = signal[: sum(sizes)].split(sizes)
    ready = [stream.process(chunk) for chunk in chunks]
    if with_flush:
        return torch.cat([*ready, stream.flush(rest)])
    return torch.cat([*ready, stream.process(rest), stream.flush()])


def in_chunks(stream, signal: torch.Tensor, size: int = 160) -> torch.Tensor:
    """The output so far for chunks of one size."""
    return torch.cat([stream.process(chunk) for chunk in signal.split(size)])
