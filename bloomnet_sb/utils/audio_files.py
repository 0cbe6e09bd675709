"""Reading and writing audio files, with errors that name the file."""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf
from numpy.typing import ArrayLike

from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.audio_formats import (
    FORMATS,
    MEDIA_SUFFIXES,
    READABLE_SUFFIXES,
    AudioInfo,
    Encoding,
    encoding_for,
    writable_suffixes,
)
from bloomnet_sb.utils.errors import LARGEST_SAMPLE, InputError, NotWritten, check_samples
from bloomnet_sb.utils.recordings import UNREADABLE, check_regular, reason_of, recording, sound_file
from bloomnet_sb.utils.tags import tags_after, tags_before

AUDIO_SUFFIXES = (*READABLE_SUFFIXES, *MEDIA_SUFFIXES)
MOST_VALUES = 2**24  # of a piece, over all channels
PIECE_SECONDS = 4.0  # shorter ones take a causal network more time
# Sample types that hold what is beyond full scale
UNCLIPPED = ("FLOAT", "DOUBLE", "VORBIS", "OPUS", "MPEG_LAYER_III")


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


class Writer:
    """Writes samples [time, channels] to a file, each time that it is called.

    Attributes
    ----------
    notes : list of str
        What a user should know of the file: what of the input it does not keep, what was clipped.
    """

    def __init__(self, file: sf.SoundFile, encoding: Encoding):
        self._file, self._encoding = file, encoding
        # LAME, with samples a billion times full scale, ends the process.
        self._loudest = 1e3 if encoding.format == "MP3" else LARGEST_SAMPLE
        self._clipped = 0
        self.notes: list[str] = []

    def __call__(self, samples: ArrayLike) -> None:
        samples = np.asarray(samples)
        if self._encoding.subtype not in UNCLIPPED:
            self._clipped += int((abs(samples) > 1).sum())
        try:
            self._file.write(samples.clip(-self._loudest, self._loudest))
        except AssertionError:  # soundfile's own, where libsndfile took fewer samples
            raise OSError(None, "not all samples could be; is the disk full?") from None

    def note_clipping(self) -> None:
        """Note how many samples were beyond what the file holds."""
        if self._clipped:
            self.notes.append(
                f"{self._clipped} samples beyond full scale are clipped; a float .wav holds them"
            )


def audio_info(path: str | Path, header_only: bool = False) -> AudioInfo:
    """Read what an audio file is.

    Arguments
    ---------
    path : str or Path
        The file.
    header_only : bool
        Whether libsndfile's word on it is enough, as for `read_audio`. Otherwise it is looked
        through for what `read_pieces` reads, see `bloomnet_sb.utils.recordings.recording`.

    Returns
    -------
    AudioInfo
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
    if not header_only:
        return recording(path).info
    check_regular(path)
    with _opened(path) as file:
        if file.frames < 1:
            raise InputError("an audio file without samples")
        about = (file.frames, file.samplerate, file.channels)
        return AudioInfo(*about, file.format, file.subtype)


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
        samples = file.read(expected, dtype="float32", always_2d=True)
        if len(samples) < expected:
            raise InputError(
                f"broken, {len(samples)} of {expected} samples could be read from {start} on"
            )
        check_samples(samples, "holds")
        return samples


def read_pieces(path: str | Path, seconds: float = PIECE_SECONDS) -> Iterator[np.ndarray]:
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
    >>> [len(piece) for piece in read_pieces("tests/samples/demo/noisy_0dB.flac")]
    [64000, 35587]
    """
    found = recording(path)
    # Bounded for headers of a million Hz or a thousand channels, too.
    size = min(round(seconds * found.info.samplerate), MOST_VALUES // found.info.channels)
    yield from found.blocks(max(size, 1))


@contextmanager
def writing(
    path: str | Path,
    like: AudioInfo,
    channels: int,
    source: str | Path | None = None,
    keep_cut: bool = False,
) -> Iterator[Writer]:
    """Write an audio file piece by piece; it appears when it is complete.

    Arguments
    ---------
    path : str or Path
        The file, in the format of its suffix. Where it is a link, what that leads to.
    like : AudioInfo
        Its length, sample rate and, where such files can be written, its sample type.
    channels : int
        How many channels it has.
    source : str or Path, optional
        The file that it is made of: its tags, cue points and the like are carried over.
    keep_cut : bool
        Whether a file that ends early, as on a full disk, is better than none.

    Yields
    ------
    Writer
        Writes samples [time, channels]; its `notes` are complete when the file is.

    Raises
    ------
    InputError
        If no such file can be written, or it cannot be written there, or is the source itself.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "noise.wav"
    >>> with writing(path, audio_info("tests/samples/demo/noisy_0dB.flac"), channels=1) as write:
    ...     write(np.zeros((1000, 1)))
    >>> audio_info(path).frames
    1000
    """
    path = Path(path)
    encoding = checked_encoding(path, like._replace(channels=channels))
    if source is not None and is_same_file(path, source):
        raise InputError(f"{path}: is the input; its result would be written over it")
    tags = tags_before(source, encoding) if source is not None else {}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            about = (like.samplerate, channels, encoding.subtype)
            with sf.SoundFile(os.fsencode(partial), "w", *about, format=encoding.format) as file:
                for name, text in tags.items():
                    setattr(file, name, text)
                writer = Writer(file, encoding)
                yield writer
                writer.note_clipping()
                frames = file.frames
            if not keep_cut:
                _check_written(partial, frames)
            writer.notes += _encoding_notes(path, like, encoding)
            if source is not None:
                lost = tags_after(source, partial, encoding)
                writer.notes += [f"not kept: {', '.join(lost)}"] if lost else []
    except sf.SoundFileError as error:
        raise NotWritten(f"{path}: cannot be written ({reason_of(error)})") from error
    except OSError as error:
        raise NotWritten(f"{path}: cannot be written ({error.strerror or error})") from error


def checked_encoding(path: Path, like: AudioInfo) -> Encoding:
    """The encoding of a file to be written, see `encoding_for`.

    Raises
    ------
    InputError
        If there is none, with the suffixes for which there is one.

    Example
    -------
    >>> checked_encoding(Path("clean.flac"), AudioInfo(16000, 16000, 1))
    Encoding(format='FLAC', subtype='PCM_16')
    """
    encoding = encoding_for(path, like)
    if encoding is None:
        suffix = path.suffix or "a file without suffix"
        why = ""
        if path.suffix.lower() in FORMATS:
            why = f" of {like.channels} channels at {like.samplerate} Hz"
        others = ", ".join(writable_suffixes(like))
        raise InputError(f"{path}: cannot write {suffix}{why}, but one of {others}")
    return encoding


def is_same_file(one: str | Path, other: str | Path) -> bool:
    """Whether two paths lead to one file, by whatever links.

    Example
    -------
    >>> is_same_file("README.md", "tests/../README.md")
    True
    """
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return False


def _encoding_notes(path: Path, like: AudioInfo, encoding: Encoding) -> list[str]:
    if encoding.format == like.format and encoding.subtype != like.subtype:
        return [f"{like.subtype} cannot be written so that the length stays: {encoding.subtype}"]
    if encoding.format == "RF64" != like.format and path.suffix.lower() == ".wav":
        return ["more than 4 GiB, and therefore RF64, which most programs read as WAV"]
    return []


def _check_written(path: Path, frames: int) -> None:
    """A disk may be full when a file is closed, of which libsndfile does not tell."""
    with _opened(path) as file:
        written = file.frames
    if written < frames:
        raise OSError(None, f"{written} of {frames} samples are there; is the disk full?")


@contextmanager
def _opened(path: str | Path | Clip) -> Iterator[sf.SoundFile]:
    if not isinstance(path, Clip) and not Path(path).exists():
        raise InputError(f"{path}: no such file")
    # As bytes: names need not be text.
    source = io.BytesIO(path.data) if isinstance(path, Clip) else os.fsencode(path)
    with sound_file(source, path) as file:
        try:
            yield file
        except InputError as error:
            raise InputError(f"{path}: {error}") from None
        except UNREADABLE as error:
            raise InputError(f"{path}: not a readable audio file ({reason_of(error)})") from None
