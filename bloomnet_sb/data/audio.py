"""Reading audio files, with errors that name the file."""

from pathlib import Path

import numpy as np
import soundfile as sf

from bloomnet_sb.errors import InputError

AUDIO_SUFFIXES = (".flac", ".wav", ".ogg")


def audio_info(path: str | Path) -> sf._SoundFileInfo:
    """Read the header of an audio file.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    soundfile info
        With `frames`, `samplerate` (Hz), `channels`, `format`, `subtype`.

    Raises
    ------
    InputError
        If there is no such file, or it is empty or no audio.

    Example
    -------
    >>> audio_info("tests/samples/demo/noisy_0dB.flac").samplerate
    16000
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    try:
        info = sf.info(str(path))
    except (sf.SoundFileError, OSError) as error:
        raise InputError(f"{path}: not a readable audio file ({_reason(error)})") from None
    if info.frames < 1:
        raise InputError(f"{path}: an audio file without samples")
    return info


def read_audio(path: str | Path, start: int = 0, frames: int = -1) -> np.ndarray:
    """Read all or a part of an audio file, without reading what lies before it.

    Arguments
    ---------
    path : str or Path
        The file.
    start : int
        The first frame to read.
    frames : int
        How many frames to read; -1: to the end. Fewer are returned where the file ends.

    Returns
    -------
    numpy.ndarray
        Samples [time, channels], float32 in [-1, 1].

    Raises
    ------
    InputError
        If the file is missing, is no audio, ends within what its header promises, or holds NaN
        or infinite samples.

    Example
    -------
    >>> read_audio("tests/samples/demo/noisy_0dB.flac", start=8000, frames=16000).shape
    (16000, 1)
    """
    try:
        with sf.SoundFile(str(path)) as file:
            file.seek(min(start, file.frames))
            expected = min(frames, file.frames - start) if frames >= 0 else file.frames - start
            samples = file.read(frames, dtype="float32", always_2d=True)
    except (sf.SoundFileError, OSError) as error:
        if not Path(path).is_file():
            raise InputError(f"{path}: no such file") from None
        raise InputError(f"{path}: not a readable audio file ({_reason(error)})") from None
    if len(samples) < expected:
        raise InputError(
            f"{path}: broken, {len(samples)} of {expected} samples could be read from {start} on"
        )
    if not np.isfinite(samples).all():
        raise InputError(f"{path}: holds NaN or infinite samples")
    return samples


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".").rsplit(": ", 1)[-1]
