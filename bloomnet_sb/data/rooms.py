"""Simulated rooms, for training: reverberation that the recordings at hand do not have."""

import numpy as np

REVERBERATION_SECONDS = (0.15, 0.8)
DIRECT_TO_REVERBERANT_DB = (-3.0, 12.0)
FIRST_REFLECTION_SECONDS = (0.001, 0.01)


def room_response(sample_rate: int, rng: np.random.Generator) -> np.ndarray:
    """The impulse response of a random room, from the direct sound on.

    After the direct sound and a short while, Gaussian noise that decays by 60 dB in the
    reverberation time: Polack's statistical model ("La transmission de l'energie sonore dans les
    salles", 1988). Reverberation time, first reflection, and the ratio of the direct to all other
    energy are random.

    Arguments
    ---------
    sample_rate : int
        In Hz.
    rng : numpy.random.Generator
        Where every choice comes from.

    Returns
    -------
    numpy.ndarray
        [time], 1 at time 0.

    Example
    -------
    >>> response = room_response(16000, np.random.default_rng(0))
    >>> response[0], len(response) <= 0.8 * 16000
    (np.float32(1.0), True)
    """
    shortest, longest = np.log(REVERBERATION_SECONDS)
    decay = np.exp(rng.uniform(shortest, longest))
    seconds = np.arange(int(decay * sample_rate)) / sample_rate
    response = rng.normal(size=len(seconds)) * 10 ** (-3 * seconds / decay)
    response[seconds < rng.uniform(*FIRST_REFLECTION_SECONDS)] = 0
    energy = 10 ** (-rng.uniform(*DIRECT_TO_REVERBERANT_DB) / 10)
    response *= np.sqrt(energy / np.sum(response**2))
    response[0] = 1
    return response.astype(np.float32)
