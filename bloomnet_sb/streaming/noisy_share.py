"""How much of the noisy signal stays beside the enhanced one, in numpy."""

from numbers import Real

import numpy as np


def rise(since: np.ndarray, samples: int) -> np.ndarray:
    """What fades in, as a share: half a cosine from 0 to 1 over so many samples.

    Arguments
    ---------
    since : numpy.ndarray
        How far samples are behind the start of the fade.
    samples : int
        Length of the fade.

    Returns
    -------
    numpy.ndarray
        Their shares, of the shape of `since`.

    Example
    -------
    >>> rise(np.array([-1, 0, 2, 4, 5]), 4).round(3).tolist()
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """
    share = 0.5 - 0.5 * np.cos(np.pi * np.clip(since / samples, 0, 1))
    return share.astype(np.float32)


def noisy_share(
    strength: float = 1.0,
    attenuation_limit_db: float | None = None,
    error: type[ValueError] = ValueError,
) -> float:
    """The noisy signal's share, from 0 to 1; the rest is the enhanced signal's.

    Arguments
    ---------
    strength : float
        1 for the enhanced signal, 0 for the noisy one.
    attenuation_limit_db : float, optional
        The most, in dB, that anything is lowered: the noisy signal's share is 10^(-dB / 20) at
        least. Default: no limit.
    error : type
        What is raised.

    Returns
    -------
    float
        The larger of both shares.

    Raises
    ------
    ValueError
        If the strength is not within 0 and 1, or the limit is below 0 dB.

    Example
    -------
    >>> noisy_share(0.75), noisy_share(attenuation_limit_db=20), noisy_share(0.75, 6.0)
    (0.25, 0.1, 0.5011872336272722)
    """
    if not is_number(strength) or not 0 <= strength <= 1:
        raise error(f"strength is {strength!r}, but must be within 0 and 1")
    if attenuation_limit_db is None:
        return 1 - float(strength)
    if not is_number(attenuation_limit_db) or not attenuation_limit_db >= 0:
        raise error(f"attenuation_limit_db is {attenuation_limit_db!r}, but must be 0 dB or more")
    return max(1 - float(strength), 10 ** (-float(attenuation_limit_db) / 20))


def is_number(value: object) -> bool:
    """Whether a value is a real number, and no truth value.

    Example
    -------
    >>> is_number(0.5), is_number("1"), is_number(True)
    (True, False, False)
    """
    return isinstance(value, Real) and not isinstance(value, bool)


class SampleQueue:
    """Samples that wait for what belongs to them, along the last dimension.

    Arguments
    ---------
    *shape : int
        Of the samples, without their time.

    Example
    -------
    >>> queue = SampleQueue(2)
    >>> queue.put(np.ones((2, 5), np.float32))
    >>> queue.take(3).shape, queue.take(3).shape
    ((2, 3), (2, 2))
    """

    def __init__(self, *shape: int):
        self._samples = np.zeros((*shape, 0), np.float32)

    def put(self, samples: np.ndarray) -> None:
        """Let these wait behind the others."""
        self._samples = np.concatenate([self._samples, samples], axis=-1)

    def take(self, count: int) -> np.ndarray:
        """The first `count` of them, or all where they are fewer."""
        taken, self._samples = self._samples[..., :count], self._samples[..., count:]
        return taken


class NoisyShare:
    """Mixes the noisy signal into the enhanced one, in step with it.

    What was kept of the noisy signal waits until the enhanced one is there. A change of `share` is
    faded from the next sample on, from where a fade that has not ended stands.

    Arguments
    ---------
    batch : int
        How many signals come side by side.
    fade_samples : int
        Length of a fade.
    share : float
        The noisy signal's share at first.

    Example
    -------
    >>> mixer = NoisyShare(batch=1, fade_samples=2, share=0.25)
    >>> mixer.keep(np.ones((1, 8), np.float32))
    >>> mixer.mix(np.zeros((1, 1, 2), np.float32)).tolist()
    [[[0.25, 0.25]]]
    >>> mixer.share = 1.0
    >>> mixer.mix(np.zeros((1, 1, 4), np.float32))[0, 0].round(2)
    array([0.36, 0.89, 1.  , 1.  ], dtype=float32)
    """

    def __init__(self, batch: int, fade_samples: int, share: float = 0.0):
        self.batch, self.fade_samples = batch, fade_samples
        self._share = share
        self._mixed = 0
        self.restart()

    @property
    def share(self) -> float:
        """The noisy signal's share, or that to which it fades; may be set at any time."""
        return self._share

    @share.setter
    def share(self, share: float) -> None:
        if share == self._share:
            return
        # Before the first sample there is nothing to fade from.
        self._before = self._now() if self._mixed else share
        self._share, self._since = share, 0

    def restart(self) -> None:
        """Forget the signal; the next is another."""
        self._noisy = SampleQueue(self.batch)
        self._before = self._share
        self._since = self._mixed = 0  # samples since a fade began, and of this signal

    def keep(self, noisy: np.ndarray) -> None:
        """Take the next samples [batch, time] of the noisy signal."""
        self._noisy.put(noisy)

    def mix(self, enhanced: np.ndarray) -> np.ndarray:
        """The next samples [batch, sources, time] of the enhanced signal, with the noisy one's."""
        samples = enhanced.shape[2]
        noisy = self._noisy.take(samples)[:, None]
        shares = self._shares(samples)
        self._since += samples
        self._mixed += samples
        return enhanced if shares is None else (1 - shares) * enhanced + shares * noisy

    def _now(self) -> float:
        shares = self._shares(1)
        return 0.0 if shares is None else float(shares[0])

    def _shares(self, samples: int) -> np.ndarray | None:
        """The noisy signal's share in each of the next samples; None where it is 0."""
        if self._before == self._share or self._since >= self.fade_samples:
            return np.full(samples, self._share, np.float32) if self._share else None
        risen = rise(self._since + np.arange(samples) + 0.5, self.fade_samples)
        return self._before + risen * np.float32(self._share - self._before)
