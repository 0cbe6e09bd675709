"""Live enhancement with torch: a stream of tensors or arrays whose depth may change at any time."""

from typing import Any

import numpy as np
import torch

from bloomnet_sb.streaming.frame_stream import FrameStream
from bloomnet_sb.utils.errors import InputError


class Stream(FrameStream):
    """One signal, or a batch of signals side by side, enhanced as it comes.

    Made by `BloomEnhancer.stream` and `BloomSeparator.stream`; see
    `bloomnet_sb.streaming.frame_stream.FrameStream` for its arguments and for what a change of
    `blocks` does. `process` and `flush` give what `process` was given last, a tensor or an array.

    Raises
    ------
    InputError
        If `blocks` is no number of blocks of this network, or another argument cannot be.

    Example
    -------
    >>> from bloomnet_sb import BloomEnhancer, BloomNet
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=2))
    >>> enhancer = BloomEnhancer({"model": model}, {"sample_rate": 16000})
    >>> noisy, stream, enhanced = torch.randn(16000), enhancer.stream(), []
    >>> for chunk in noisy.split(160):
    ...     enhanced.append(stream.process(chunk))
    >>> enhanced = torch.cat([*enhanced, stream.flush()])
    >>> torch.allclose(enhanced, enhancer.enhance_batch(noisy[None])[0], atol=1e-4)
    True
    """

    error = InputError

    _device: torch.device | None = torch.device("cpu")  # None: chunks are arrays

    def process(self, chunk: torch.Tensor | np.ndarray) -> Any:
        """Enhance the next chunk.

        Arguments
        ---------
        chunk : torch.Tensor or numpy.ndarray
            Floats [time], or [batch_size, time]; of any length, also none.

        Returns
        -------
        torch.Tensor or numpy.ndarray
            As `chunk`: the samples that are ready, [time] or [batch_size, time]; with several
            sources, they are in a last dimension. Up to `delay_samples` of those received are not
            ready.

        Raises
        ------
        InputError
            If the chunk has another form, or holds NaN or infinite samples; it is not taken then.
        """
        samples, device = _as_array(chunk)
        ready = super().process(samples)
        self._device = device
        return self._as_given(ready)

    def flush(self, last: torch.Tensor | np.ndarray | None = None) -> Any:
        """End the signal, and reset; gives the samples that `process` held back.

        Arguments
        ---------
        last : torch.Tensor or numpy.ndarray, optional
            A last chunk, as `process` takes it; its samples are given, too. Where a signal's end is
            known, that is one run of the network less.

        Raises
        ------
        InputError
            As `process`; the signal goes on then.
        """
        samples, device = (None, self._device) if last is None else _as_array(last)
        ready = super().flush(samples)
        self._device = device
        return self._as_given(ready)

    def _as_given(self, samples: np.ndarray) -> Any:
        return samples if self._device is None else torch.from_numpy(samples).to(self._device)


def _as_array(chunk: torch.Tensor | np.ndarray) -> tuple[np.ndarray, torch.device | None]:
    """A chunk as an array, and where results like it go; None: they stay arrays."""
    if not isinstance(chunk, torch.Tensor):
        return chunk, None
    if not chunk.is_floating_point():
        raise InputError(f"a chunk is of {chunk.dtype}, but must be a tensor of floats")
    return chunk.detach().float().cpu().numpy(), chunk.device
