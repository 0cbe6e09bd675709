"""Audio files as they are enhanced: whole, whatever their headers say of their length."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile as sf

from bloomnet_sb.utils.audio_formats import READABLE_SUFFIXES, AudioInfo
from bloomnet_sb.utils.cut_short import cut_note, cut_notes
from bloomnet_sb.utils.errors import InputError, check_samples
from bloomnet_sb.utils.joined import Part, View, joined_parts
from bloomnet_sb.utils.media import has_pyav, may_be_media, media_blocks, media_info
from bloomnet_sb.utils.riff import wav_data

UNREADABLE = (sf.SoundFileError, OSError)
# The last for files without a header, which soundfile asks the rate of
NOT_OPENED = (*UNREADABLE, TypeError)


class Recording(NamedTuple):
    """An audio file, and how it is read: in parts by libsndfile or, without any, by PyAV."""

    path: str | Path
    info: AudioInfo
    parts: tuple[Part, ...]

    def blocks(self, frames: int) -> Iterator[np.ndarray]:
        """Samples [time, channels], float32, `frames` at once; the last may be fewer.

        Raises
        ------
        InputError
            If the file ends within what its header promises, or holds NaN or infinite samples.
        """
        blocks = self._sound_blocks(frames) if self.parts else media_blocks(self.path, self.info)
        waiting = np.zeros((0, self.info.channels), np.float32)
        for block in blocks:
            check_samples(block, f"{self.path}: holds")
            waiting = np.concatenate([waiting, block]) if len(waiting) else block
            while len(waiting) >= frames:
                yield waiting[:frames]
                waiting = waiting[frames:]
        if len(waiting):
            yield waiting

    def _sound_blocks(self, frames: int) -> Iterator[np.ndarray]:
        done = 0
        for part in self.parts:
            with _opened(self.path, part) as file:
                length = _frames(file, part)
                for start in range(0, length, frames):
                    expected = min(frames, length - start)
                    samples = file.read(expected, dtype="float32", always_2d=True)
                    if len(samples) < expected:
                        raise InputError(
                            f"{self.path}: broken, {len(samples)} of {expected} samples could be "
                            f"read from {done} on"
                        )
                    done += expected
                    yield samples


def recording(path: str | Path) -> Recording:
    """Find out how all of an audio file is read.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    Recording
        The file. A WAV file whose header has no size, or one modulo 2^32, has all the samples that
        are there; one of several joined Ogg, FLAC or MP3 files has all of them.

    Raises
    ------
    InputError
        If there is no such file, it holds no samples, is no audio, or is joined of files of
        several rates or numbers of channels.

    Example
    -------
    >>> recording("tests/samples/demo/noisy_0dB.flac").info.frames
    99587
    """
    check_regular(path)
    try:
        about = os.stat(path)
        return _recording(os.fspath(path), about.st_size, about.st_mtime_ns)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def check_regular(path: str | Path) -> None:
    """Refuse what is no file that can be read from any place on.

    Raises
    ------
    InputError
        If there is nothing, a folder, a pipe or a device.

    Example
    -------
    >>> check_regular("tests/samples/demo/noisy_0dB.flac")
    """
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except (OSError, ValueError) as error:  # the latter for a name with a zero byte
        raise InputError(f"{path}: cannot be read ({error})") from None
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise InputError(f"{path}: {kind}, and no file")


def reason_of(error: Exception) -> str:
    """What a library says of a file, without the file's name.

    Example
    -------
    >>> reason_of(OSError("Error opening 'a.wav': Format not recognised."))
    'Format not recognised'
    """
    return str(error).splitlines()[0].rstrip(".").rsplit(": ", 1)[-1]


@lru_cache(maxsize=4096)
def _recording(path: str, size: int, changed: int) -> Recording:
    wav = wav_data(path)
    header = wav.header if wav else b""
    if wav and header:
        parts = [Part(wav.start, wav.start + wav.size, header)]
    else:
        parts = joined_parts(path)
    try:
        infos = [_info_of(path, part) for part in parts]
    except InputError as error:
        if not may_be_media(path) or (_is_known(path) and not has_pyav()):
            raise
        info, parts = media_info(path), []
        if _is_known(path):
            why = str(error).rpartition("(")[2].rstrip(")")
            info = info._replace(notes=(*info.notes, f"read by PyAV, as libsndfile says: {why}"))
    else:
        info = _joined_info(path, infos)
        if header:
            info = info._replace(format="WAV")
        if wav and wav.missing:
            info = info._replace(notes=(cut_note(wav.missing / (wav.size + wav.missing)),))
    if info.frames < 1:
        raise InputError(f"{path}: an audio file without samples")
    return Recording(path, info._replace(notes=(*info.notes, *cut_notes(path))), tuple(parts))


def _is_known(path: str) -> bool:
    """Whether libsndfile should be able to read a file, by its suffix."""
    return Path(path).suffix.lower() in READABLE_SUFFIXES


def _joined_info(path: str, infos: list[AudioInfo]) -> AudioInfo:
    first = infos[0]
    for info in infos:
        if (info.samplerate, info.channels) != (first.samplerate, first.channels):
            raise InputError(
                f"{path}: joined of files of {first.samplerate} Hz, {first.channels} channels and "
                f"of {info.samplerate} Hz, {info.channels} channels; convert it to one of them"
            )
    return first._replace(frames=sum(info.frames for info in infos))


def _info_of(path: str, part: Part) -> AudioInfo:
    with _opened(path, part) as file:
        about = (file.samplerate, file.channels, file.format, file.subtype)
        return AudioInfo(_frames(file, part), *about)


def _frames(file: sf.SoundFile, part: Part) -> int:
    return file.frames if part.frames is None else min(part.frames, file.frames)


@contextmanager
def _opened(path: str | Path, part: Part) -> Iterator[sf.SoundFile]:
    whole = (part.start, part.stop, part.head) == (0, os.path.getsize(path), b"")
    # As bytes: names need not be text.
    view = None if whole else View(path, part.start, part.stop, part.head)
    try:
        with sound_file(view or os.fsencode(path), path) as file:
            yield file
    except UNREADABLE as error:
        raise InputError(f"{path}: not a readable audio file ({reason_of(error)})") from None
    finally:
        if view:
            view.close()


def sound_file(source: Any, path: object) -> sf.SoundFile:
    """Open a file with libsndfile.

    Arguments
    ---------
    source : bytes or file
        Its name, or what it is read from.
    path : str, Path or Clip
        How the message calls it.

    Raises
    ------
    InputError
        If it cannot be read.

    Example
    -------
    >>> sound_file("README.md", "README.md")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: README.md: not a readable audio file ...
    """
    try:
        return sf.SoundFile(source)
    except NOT_OPENED as error:
        raise InputError(f"{path}: not a readable audio file ({reason_of(error)})") from None
