"""Running a signal through a stream."""

import torch


def streamed(stream, signal: torch.Tensor, sizes) -> torch.Tensor:
    """The output for chunks of these sizes of `signal` [time], and for the rest in one."""
    sizes = [*sizes, max(signal.shape[-1] - sum(sizes), 0)]
    chunks = signal[: sum(sizes)].split(sizes)
    return torch.cat([*map(stream.process, chunks), stream.flush()])


def in_chunks(stream, signal: torch.Tensor, size: int = 160) -> torch.Tensor:
    """The output so far for chunks of one size."""
    return torch.cat([stream.process(chunk) for chunk in signal.split(size)])
