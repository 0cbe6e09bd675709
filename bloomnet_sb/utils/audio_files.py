"""Reading and writing audio files, with errors that name the file."""

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from numpy.typing import ArrayLike

from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.audio_formats import MEDIA_SUFFIXES, READABLE_SUFFIXES
from bloomnet_sb.utils.errors import LARGEST_SAMPLE, InputError, check_samples

AUDIO_SUFFIXES = (*READABLE_SUFFIXES, *MEDIA_SUFFIXES)
MOST_VALUES = 2**24  # of a piece, over all channels
# The last for files without a header, which soundfile asks the rate of
UNREADABLE = (sf.SoundFileError, OSError, TypeError)


class Clip(NamedTuple):
    """An audio file in memory, which is read like one on a disk.

    Arguments
    ---------
    name : str
        What errors call it.
    data : bytes
        The file.

    Example
    -------
    >>> data = Path("tests/samples/demo/noisy_0dB.flac").read_bytes()
    >>> read_audio(Clip("noisy", data), start=8000, frames=16000).shape
    (16000, 1)
    """

    name: str
    data: bytes

    def __str__(self) -> str:
        return self.name


def can_be_written(path: Path) -> bool:
    """Whether a path has a suffix of a format that soundfile writes.

    Example
    -------
    >>> can_be_written(Path("clean.WAV")), can_be_written(Path("clean"))
    (True, False)
    """
    return path.suffix[1:].upper() in sf.available_formats()


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
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable audio file ({_reason(error)})") from None
    if info.frames < 1:
        raise InputError(f"{path}: an audio file without samples")
    return info


def read_audio(path: str | Path | Clip, start: int = 0, frames: int = -1) -> np.ndarray:
    """Read all or a part of an audio file, without reading what lies before it.

    Arguments
    ---------
    path : str, Path or Clip
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
    with _opened(path) as file:
        start = min(start, file.frames)
        expected = file.frames - start if frames < 0 else min(frames, file.frames - start)
        file.seek(start)
        return _read(file, expected, start)


def read_pieces(path: str | Path, seconds: float = 1.0) -> Iterator[np.ndarray]:
    """Read an audio file piece by piece.

    Arguments
    ---------
    path : str or Path
        The file.
    seconds : float
        Length of a piece; the last may be shorter, as are all of many channels.

    Yields
    ------
    numpy.ndarray
        Samples [time, channels], float32 in [-1, 1].

    Raises
    ------
    InputError
        As `read_audio`.

    Example
    -------
    >>> [len(piece) for piece in read_pieces("tests/samples/demo/noisy_0dB.flac", seconds=4.0)]
    [64000, 35587]
    """
    with _opened(path) as file:
        # Bounded for headers of a million Hz or a thousand channels, too.
        size = max(min(round(seconds * file.samplerate), MOST_VALUES // file.channels), 1)
        for start in range(0, file.frames, size):
            yield _read(file, min(size, file.frames - start), start)


@contextmanager
def writing(
    path: str | Path, like: sf._SoundFileInfo, channels: int
) -> Iterator[Callable[[ArrayLike], None]]:
    """Write an audio file piece by piece; it appears when it is complete.

    Arguments
    ---------
    path : str or Path
        The file, in the format of its suffix.
    like : soundfile info
        Its sample rate and, where the format has it and holds any length of it, its sample type,
        see `audio_info`.
    channels : int
        How many channels it has.

    Yields
    ------
    callable
        Writes samples [time, channels].

    Raises
    ------
    InputError
        If soundfile cannot write such a file, or it cannot be written there.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "noise.wav"
    >>> with writing(path, audio_info("tests/samples/demo/noisy_0dB.flac"), channels=1) as write:
    ...     write(np.zeros((1000, 1)))
    >>> audio_info(path).frames
    1000
    """
    path = Path(path)
    if not can_be_written(path):
        kinds = ", ".join(f".{name.lower()}" for name in sf.available_formats())
        raise InputError(
            f"{path}: cannot write {path.suffix or 'a file without suffix'}, but one of {kinds}"
        )
    extension = path.suffix[1:].upper()
    if extension == "OGG" and (like.samplerate > 200_000 or channels > 255):
        # libsndfile, with what Vorbis cannot hold, ends the process by a segmentation fault.
        raise InputError(
            f"{path}: {channels} channels at {like.samplerate} Hz, but Ogg holds up to 255 "
            "channels and 200000 Hz"
        )
    subtype = like.subtype if _holds_any_length(extension, like.subtype) else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            written_whole(path) as partial,
            sf.SoundFile(
                partial, "w", like.samplerate, channels, subtype, format=extension
            ) as file,
        ):
            # LAME, with samples a billion times full scale, ends the process.
            loudest = 1e3 if extension == "MP3" else LARGEST_SAMPLE
            yield lambda samples: file.write(np.asarray(samples).clip(-loudest, loudest))
    except (sf.SoundFileError, OSError) as error:
        raise InputError(f"{path}: cannot be written ({error})") from error


def _holds_any_length(extension: str, subtype: str) -> bool:
    """Whether libsndfile writes the type in the format, without samples to fill a block or byte."""
    in_blocks = any(kind in subtype for kind in ("ADPCM", "G72", "GSM"))
    filled_up = subtype in ("PCM_S8", "PCM_U8", "ULAW", "ALAW") and extension in ("AIFF", "VOC")
    return sf.check_format(extension, subtype) and not in_blocks and not filled_up


@contextmanager
def _opened(path: str | Path | Clip) -> Iterator[sf.SoundFile]:
    try:
        with sf.SoundFile(io.BytesIO(path.data) if isinstance(path, Clip) else str(path)) as file:
            yield file
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except UNREADABLE as error:
        if not isinstance(path, Clip) and not Path(path).is_file():
            raise InputError(f"{path}: no such file") from None
        raise InputError(f"{path}: not a readable audio file ({_reason(error)})") from None


def _read(file: sf.SoundFile, expected: int, start: int) -> np.ndarray:
    samples = file.read(expected, dtype="float32", always_2d=True)
    if len(samples) < expected:
        raise InputError(
            f"broken, {len(samples)} of {expected} samples could be read from {start} on"
        )
    check_samples(samples, "holds")
    return samples


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".").rsplit(": ", 1)[-1]
