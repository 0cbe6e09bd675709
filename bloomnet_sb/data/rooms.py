"""Rooms, for training: reverberation that the recordings at hand do not have."""

import numpy as np
import soxr

from bloomnet_sb.data.reading import File
from bloomnet_sb.utils.audio_files import read_audio
from bloomnet_sb.utils.errors import InputError

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


def measured_response(file: File) -> np.ndarray:
    """The impulse response of a room that was measured, from the direct sound on.

    Arguments
    ---------
    file : File
        Its file; of several channels, the first. The direct sound is its highest peak.

    Returns
    -------
    numpy.ndarray
        [time], 1 at time 0, at the rate that the file is read at.

    Raises
    ------
    InputError
        If the file cannot be read or is silent.

    Example
    -------
    >>> import soundfile as sf
    >>> path = str(getfixture("tmpdir") / "room.wav")
    >>> sf.write(path, np.array([0.0, -0.5, 0.0, 0.25]), 16000, "FLOAT")
    >>> measured_response(File(path, 4, (16000, 16000)))
    array([ 1. , -0. , -0.5], dtype=float32)
    """
    response = soxr.resample(read_audio(file.path)[:, 0], *file.rates)
    direct = int(np.argmax(np.abs(response)))
    if not response[direct]:
        raise InputError(f"{file.path}: a silent impulse response")
    return (response[direct:] / response[direct]).astype(np.float32)
