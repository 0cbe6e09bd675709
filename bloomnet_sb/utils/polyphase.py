"""A signal that comes in pieces, resampled with a delay of 2 ms: a polyphase filter with state."""

import math

import numpy as np
import scipy  # whose parts are imported when they are used

# The filter reaches this many samples of the lower rate to both sides: 2 ms at 16 kHz.
REACH = 32
# Half way down at this share of the lower Nyquist frequency; 80 dB down at 1.03 of it, which keeps
# what is up to 0.88 of it, as the "HQ" of soxr does about.
CUTOFF = 0.95
KAISER_BETA = 8.0


class PolyphaseResampler:
    """Resamples signals side by side as they come, by a linear-phase filter.

    `process` and `flush` give, one after the other, the signal at the new rate, in step with the
    old one: sample m is of the time m / to_rate, and ceil(samples * to_rate / from_rate) come in
    all. They are the same to the last bit however the signal is cut.

    soxr's own stream holds back 37 ms at 16 kHz, since it filters by FFTs, and this one 2 ms.

    Arguments
    ---------
    from_rate, to_rate : int
        In Hz. Of one rate, a signal passes as it is.
    shape : tuple of int
        Of a piece, without its time.

    Attributes
    ----------
    up, down : int
        The ratio of the rates, to_rate / from_rate, in lowest terms.
    reach : int
        How far the filter reaches to both sides, in steps of 1 / (from_rate * up) s.

    Example
    -------
    >>> resampler = PolyphaseResampler(48000, 16000)
    >>> resampler.process(np.ones(480, np.float32)).shape, resampler.process(np.ones(480)).shape
    ((128,), (160,))
    >>> resampler.flush().shape
    (32,)
    """

    def __init__(self, from_rate: int, to_rate: int, shape: tuple[int, ...] = ()):
        divisor = math.gcd(from_rate, to_rate)
        self.up, self.down = to_rate // divisor, from_rate // divisor
        self.reach = 0
        self._shape = shape
        if self.up != self.down:
            self._design()
        self.reset()

    def _design(self) -> None:
        most = max(self.up, self.down)
        # A whole number of output samples, so that they fall on its middle.
        self.reach = math.ceil(REACH * most / self.down) * self.down
        taps = scipy.signal.firwin(
            2 * self.reach + 1, CUTOFF / most, window=("kaiser", KAISER_BETA)
        )
        self._taps = (self.up * taps).astype(np.float32)

    def reset(self) -> None:
        """Forget the signal; the next piece is the start of another."""
        self._waiting = np.zeros((*self._shape, 0), np.float32)
        self._start = 0  # how many samples came before those that wait: a multiple of `down`
        self._received = self._returned = 0

    def process(self, piece: np.ndarray) -> np.ndarray:
        """Resample the next piece.

        Arguments
        ---------
        piece : numpy.ndarray
            Floats [.., time], of any length, also none.

        Returns
        -------
        numpy.ndarray
            The samples that are ready, float32 [.., time].
        """
        self._received += piece.shape[-1]
        return self._filtered(piece)

    def flush(self) -> np.ndarray:
        """End the signal, and reset; gives what is left of it [.., time]."""
        left = -(-self._received * self.up // self.down) - self._returned
        zeros = np.zeros((*self._shape, self.reach // self.up + self.down + 1), np.float32)
        rest = self._filtered(zeros)[..., :left]
        self.reset()
        return rest

    def _filtered(self, piece: np.ndarray) -> np.ndarray:
        piece = piece.astype(np.float32, copy=False)
        if self.up == self.down:
            self._returned += piece.shape[-1]
            return piece
        self._waiting = np.concatenate([self._waiting, piece], axis=-1)
        samples = self._start + self._waiting.shape[-1]
        ready = max(-(-(samples * self.up - self.reach) // self.down), self._returned)
        if ready == self._returned:
            return self._waiting[..., :0]
        # Of what `upfirdn` gives, by where its first sample lies.
        offset = self.reach // self.down - self._start // self.down * self.up
        filtered = scipy.signal.upfirdn(self._taps, self._waiting, self.up, self.down)
        filtered = filtered[..., self._returned + offset : ready + offset]
        self._returned = ready
        needed = max(-(-(ready * self.down - self.reach) // self.up), 0)
        start = needed // self.down * self.down
        self._waiting = self._waiting[..., start - self._start :]
        self._start = start
        return filtered
