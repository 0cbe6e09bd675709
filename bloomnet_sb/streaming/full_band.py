"""Signals of a higher rate than a network's: to its rate and back, with the band above it."""

import numpy as np
import scipy  # whose parts are imported when they are used

from bloomnet_sb.streaming.noisy_share import SampleQueue
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.polyphase import PolyphaseResampler

# What becomes of the band above the network's.
FOLLOW, MUTE = "follow", "mute"
HIGHBANDS = (FOLLOW, MUTE)

# Of the two poles that the powers of the top octave are averaged by: over 10 ms or so. One pole
# would open at once, since the gain is the root of a power.
GAIN_SECONDS = 0.004
GAIN_ORDER = 4
# Added to both powers, so that of silence nothing was taken: -200 dB.
LEAST_POWER = 1e-20


def checked_highband(highband: str | None, num_sources: int) -> str:
    """What becomes of the band above the network's.

    Arguments
    ---------
    highband : str, optional
        As asked for. Default: "follow" for enhancement, "mute" for separation.
    num_sources : int
        Of the network.

    Returns
    -------
    str
        "follow" or "mute".

    Raises
    ------
    InputError
        If it is neither, or "follow" for separation.

    Example
    -------
    >>> checked_highband(None, num_sources=1), checked_highband(None, num_sources=2)
    ('follow', 'mute')
    """
    if highband is None:
        return FOLLOW if num_sources == 1 else MUTE
    if highband not in HIGHBANDS:
        raise InputError(f"highband is {highband!r}, but must be one of {', '.join(HIGHBANDS)}")
    if highband == FOLLOW and num_sources > 1:
        raise InputError(
            f'highband "follow" is for enhancement, and this network separates {num_sources} '
            "sources"
        )
    return highband


class TopOctaveGain:
    """What a network did to the top octave of its band, as a smooth gain from 0 to 1.

    The root of the ratio of two powers above a quarter of the network's rate, those of the estimate
    and of the noisy signal, each averaged over the last 10 ms or so.

    Arguments
    ---------
    network_rate, sample_rate : int
        The network's, and that of the gain, in Hz.
    batch : int
        How many signals come side by side.

    Example
    -------
    >>> noisy = np.random.default_rng(0).standard_normal((1, 1600)).astype(np.float32)
    >>> gain = TopOctaveGain(16000, 48000, batch=1)
    >>> gain.put(noisy, 0.1 * noisy)
    >>> gain.take(4800)[0, [0, -1]].round(3)
    array([0.1, 0.1], dtype=float32)
    """

    def __init__(self, network_rate: int, sample_rate: int, batch: int):
        self._step = network_rate / sample_rate
        self._high_pass = scipy.signal.butter(
            GAIN_ORDER, network_rate / 4, "highpass", fs=network_rate, output="sos"
        )
        decay = np.exp(-1 / (GAIN_SECONDS * network_rate))
        self._average = [(1 - decay) ** 2], [1, -2 * decay, decay**2]
        # What the filters carry, of the noisy signals and of the estimates
        self._filtered = np.zeros((len(self._high_pass), 2, batch, 2))
        self._averaged = np.zeros((2, batch, 2))
        # At the network's rate, without the first that are of the past
        self._gains, self._past, self._taken = np.zeros((batch, 0), np.float32), 0, 0

    def put(self, noisy: np.ndarray, estimates: np.ndarray) -> None:
        """Go on with the next samples [batch, time] at the network's rate."""
        if not noisy.shape[1]:
            return
        both = np.stack([noisy, estimates]).astype(np.float64)
        high, self._filtered = scipy.signal.sosfilt(self._high_pass, both, zi=self._filtered)
        powers, self._averaged = scipy.signal.lfilter(*self._average, high**2, zi=self._averaged)
        before, after = np.maximum(powers, 0) + LEAST_POWER  # a filter may round below 0
        gains = np.sqrt(np.minimum(after / before, 1)).astype(np.float32)
        self._gains = np.concatenate([self._gains, gains], axis=1)

    def take(self, count: int) -> np.ndarray:
        """The gains [batch, count] of the next samples at the other rate, on straight lines."""
        if not count:
            return self._gains[:, :0]
        places = (self._taken + np.arange(count)) * self._step - self._past
        self._taken += count
        first, last = places.astype(int), self._gains.shape[1] - 1
        before, after = (self._gains[:, np.minimum(first + n, last)] for n in (0, 1))
        past = max(min(int(places[-1]), last), 0)
        self._gains, self._past = self._gains[:, past:], self._past + past
        return before + (places - first).astype(np.float32) * (after - before)


class FullBand:
    """Takes signals to a network's rate, and its estimates back to theirs.

    The band above the network's is what is left of a signal without that which the network was
    given, resampled back. With "follow", it is let through with the gain of `TopOctaveGain`: where
    a network changes nothing, a signal comes back as it was. With "mute" it is left out.

    What `join` and `join_end` give, one after the other, has the length of the signals, and is in
    step with them.

    Arguments
    ---------
    network_rate, sample_rate : int
        The network's, and that of the signals, in Hz.
    batch : int
        How many signals come side by side.
    sources : int
        How many each is separated into.
    highband : str
        "follow" or "mute", for a rate above the network's.

    Example
    -------
    >>> band = FullBand(16000, 48000, batch=1)
    >>> noisy = np.random.default_rng(0).standard_normal((1, 4800)).astype(np.float32)
    >>> low = [band.split(noisy), band.split_end()]
    >>> [piece.shape for piece in low]
    [(1, 1568), (1, 32)]
    >>> same = [*(band.join(piece[:, None]) for piece in low), band.join_end()]
    >>> np.allclose(np.concatenate(same, axis=2)[0], noisy, atol=1e-6)
    True
    """

    def __init__(
        self,
        network_rate: int,
        sample_rate: int,
        batch: int,
        sources: int = 1,
        highband: str = FOLLOW,
    ):
        self._rates, self._batch = (network_rate, sample_rate), batch
        self._follows = highband == FOLLOW and sample_rate > network_rate
        self._down = PolyphaseResampler(sample_rate, network_rate, (batch,))
        self._up = PolyphaseResampler(network_rate, sample_rate, (batch, sources))
        self._up_again = PolyphaseResampler(network_rate, sample_rate, (batch,))
        self.reset()

    def reset(self) -> None:
        """Forget the signals; the next pieces are the start of others."""
        for resampler in (self._down, self._up, self._up_again):
            resampler.reset()
        self._left = 0  # samples that were taken, less those that came back
        if self._follows:
            self._gain = TopOctaveGain(*self._rates, self._batch)
        # What the estimates are compared with, the signals, and the band above in them
        self._low, self._signals, self._above = (SampleQueue(self._batch) for _ in range(3))

    def delay_samples(self, network_delay: int) -> int:
        """The most that is held back, where so many samples are at the network's rate."""
        reach = self._down.reach + self._up.reach
        return (reach + self._down.down * network_delay) // self._down.up

    def split(self, signals: np.ndarray) -> np.ndarray:
        """Take the next samples [batch, time] of the signals; gives those for the network."""
        self._left += signals.shape[1]
        if self._follows:
            self._signals.put(signals)
        return self._for_network(self._down.process(signals))

    def split_end(self) -> np.ndarray:
        """End the signals; gives their last samples [batch, time] for the network."""
        low = self._for_network(self._down.flush())
        if self._follows:
            self._put_above(self._up_again.flush())
        return low

    def join(self, estimates: np.ndarray) -> np.ndarray:
        """Take the network's next [batch, sources, time]; gives what is ready at their rate."""
        joined = self._up.process(estimates)
        if self._follows:
            self._gain.put(self._low.take(estimates.shape[2]), estimates[:, 0])
        return self._with_above(joined)

    def join_end(self) -> np.ndarray:
        """End the estimates; gives what is left of them, [batch, sources, time]."""
        return self._with_above(self._up.flush())

    def _for_network(self, low: np.ndarray) -> np.ndarray:
        if self._follows:
            self._low.put(low)
            self._put_above(self._up_again.process(low))
        return low

    def _put_above(self, below: np.ndarray) -> None:
        """Take the next samples of what the network was given, at the signals' rate."""
        signals = self._signals.take(below.shape[1])
        self._above.put(signals - below[:, : signals.shape[1]])

    def _with_above(self, joined: np.ndarray) -> np.ndarray:
        # Resampling there and back may give some samples more; never fewer.
        joined = joined[:, :, : self._left]
        self._left -= joined.shape[2]
        if self._follows:
            above = self._above.take(joined.shape[2])
            joined = joined + (self._gain.take(joined.shape[2]) * above)[:, None]
        return joined
