"""A stream at the rate of a device: resampled to the network's, enhanced, and resampled back."""

import numpy as np

from bloomnet_sb.streaming.frame_stream import Engine
from bloomnet_sb.streaming.full_band import FOLLOW, FullBand
from bloomnet_sb.streaming.noisy_share import SampleQueue
from bloomnet_sb.streaming.stream import Stream
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.resampling import check_rate


def checked_stream_rate(sample_rate: float, network_rate: int) -> int:
    """Return the rate of a stream's chunks if they can be resampled to the network's and back.

    Arguments
    ---------
    sample_rate : float
        As asked for, in Hz; sound devices tell theirs as floats.
    network_rate : int
        In Hz.

    Returns
    -------
    int
        The rate, in Hz.

    Raises
    ------
    InputError
        If it is no whole number, no audio's, or has too little in common with the network's.

    Example
    -------
    >>> checked_stream_rate(44100.0, 16000)
    44100
    """
    if isinstance(sample_rate, bool | str) or sample_rate != sample_rate // 1:
        raise InputError(f"sample_rate is {sample_rate!r}, but must be a whole number of Hz")
    check_rate("sample_rate", int(sample_rate), network_rate)
    return int(sample_rate)


class ResampledStream(Stream):
    """A stream whose chunks, those that it takes and those that it gives, are of another rate.

    Made by `BloomEnhancer.stream` and `BloomSeparator.stream` with a `sample_rate`. It is used as
    any `Stream` is. Its delay is constant: once `delay_samples` were taken, a chunk comes back for
    a chunk, of the same length. Of a rate above the network's, the band above may be let through,
    see `bloomnet_sb.streaming.full_band.FullBand`.

    Arguments
    ---------
    engine : Engine
        What runs the network; streams may share one.
    network_rate : int
        The network's rate, in Hz.
    sample_rate : int
        The rate of the chunks, in Hz.
    blocks, batch_size, fade_seconds, wait_seconds, strength, attenuation_limit_db
        As `bloomnet_sb.streaming.frame_stream.FrameStream`.
    highband : str
        "follow", for networks of one source, or "mute".

    Example
    -------
    >>> import torch
    >>> from bloomnet_sb import BloomEnhancer, BloomNet
    >>> from bloomnet_sb.nn.filterbanks import STFTFilterbank
    >>> from bloomnet_sb.separators import BandRNNSeparator
    >>> model = BloomNet(STFTFilterbank(), BandRNNSeparator(num_blocks=2))
    >>> stream = BloomEnhancer({"model": model}, {"sample_rate": 16000}).stream(sample_rate=48000)
    >>> stream.sample_rate, stream.delay_samples  # 4 ms for the rates, 32 ms for the network
    (48000, 1725)
    >>> [len(stream.process(chunk)) for chunk in torch.randn(2400).split(480)]
    [0, 0, 0, 195, 480]
    >>> len(stream.flush())
    1725
    """

    def __init__(
        self,
        engine: Engine,
        network_rate: int,
        sample_rate: int,
        blocks: int | None = None,
        batch_size: int | None = None,
        fade_seconds: float = 0.02,
        wait_seconds: float = 1.0,
        strength: float = 1.0,
        attenuation_limit_db: float | None = None,
        highband: str = FOLLOW,
    ):
        signals = (batch_size or 1, engine.facts.num_sources)
        self._band = FullBand(network_rate, sample_rate, *signals, highband)
        times, amount = (fade_seconds, wait_seconds), (strength, attenuation_limit_db)
        super().__init__(engine, network_rate, blocks, batch_size, *times, *amount)
        self.sample_rate = sample_rate
        self._noisy.fade_samples = max(round(fade_seconds * sample_rate), 1)

    @property
    def delay_samples(self) -> int:
        """How many samples `process` holds back, always: both filters' reach and the window."""
        return self._band.delay_samples(super().delay_samples)

    def reset(self) -> None:
        """Forget the signal; the next chunk is the start of another."""
        super().reset()
        self._band.reset()
        self._ready = SampleQueue(*self._tail.shape[:2])
        self._samples = 0  # received, less those returned

    def _take(self, rows: np.ndarray) -> np.ndarray:
        """The enhanced samples [batch, sources, time] that are ready with these of the signal."""
        self._samples += rows.shape[1]
        self._ready.put(self._band.join(super()._take(self._band.split(rows))))
        return self._release(max(self._samples - self.delay_samples, 0))

    def _end(self, rows: np.ndarray) -> np.ndarray:
        """The enhanced samples [batch, sources, time] that are left, of `rows` at the end, too."""
        self._samples += rows.shape[1]
        left = np.concatenate([self._band.split(rows), self._band.split_end()], axis=1)
        self._ready.put(self._band.join(super()._end(left)))
        self._ready.put(self._band.join_end())
        return self._release(self._samples)

    def _release(self, samples: int) -> np.ndarray:
        self._samples -= samples
        return self._ready.take(samples)
