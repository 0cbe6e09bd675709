"""Audio files in place of sound devices: one that is heard, and one that is recorded."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeGuard

import soundfile as sf
import torch

from bloomnet_sb.utils.audio_files import (
    AUDIO_SUFFIXES,
    Writer,
    audio_info,
    read_pieces,
    writing,
)
from bloomnet_sb.utils.audio_formats import FORMATS, MOST_BYTES, UNBOUNDED, AudioInfo
from bloomnet_sb.utils.errors import InputError, Stopped

logger = logging.getLogger(__name__)


class Playback:
    """A file in place of a microphone, at its own rate, its channels mixed to one.

    Arguments
    ---------
    path : str
        The file.
    paced : bool
        Whether a chunk comes when it would be complete at a microphone.

    Raises
    ------
    InputError
        If it cannot be read.

    Example
    -------
    >>> heard = Playback("tests/samples/demo/noisy_0dB.flac", paced=False)
    >>> heard.rate, sum(1 for chunk, _ in heard.chunks(160))
    (16000, 623)
    """

    def __init__(self, path: str, paced: bool):
        self.path, self.paced = path, paced
        info = audio_info(path)
        self.rate = info.samplerate
        if info.channels > 1:
            logger.warning(
                "%s: its %d channels are mixed to one, at its %d Hz; `bloomnet enhance` keeps them",
                path, info.channels, info.samplerate,
            )  # fmt: skip

    def chunks(self, size: int) -> Iterator[tuple[torch.Tensor, bool]]:
        """Give the signal in chunks [size], the last as long as what is left.

        Yields
        ------
        (torch.Tensor, bool)
            A chunk, and False: of a file, nothing is lost.
        """
        start = time.perf_counter()
        for number, chunk in enumerate(self._cut(size), 1):
            if self.paced:
                time.sleep(max(start + number * size / self.rate - time.perf_counter(), 0))
            yield chunk, False

    def _cut(self, size: int) -> Iterator[torch.Tensor]:
        waiting = torch.zeros(0)
        for piece in read_pieces(self.path):
            waiting = torch.cat([waiting, torch.from_numpy(piece.mean(axis=1))])
            *whole, waiting = waiting.split(size) if len(waiting) else (waiting,)
            yield from whole
        if len(waiting):
            yield waiting


class Recording:
    """A file in place of loudspeakers, made by `recording`.

    Arguments
    ---------
    path : str
        The file.
    write : Writer
        Writes samples [time, 1].
    """

    def __init__(self, path: str, write: Writer):
        self.path, self._write = path, write
        self.samples = 0

    def play(self, signal: torch.Tensor) -> bool:
        """Write the next samples [time]; False, as a file never runs out of them.

        Raises
        ------
        Stopped
            If it cannot be written any more, as on a full disk.
        """
        try:
            self._write(signal[:, None].numpy())
        except (sf.SoundFileError, OSError) as error:
            reason = getattr(error, "strerror", None) or error
            raise Stopped(f"{self.path}: cannot be written any more ({reason})") from error
        self.samples += len(signal)
        return False


@contextmanager
def recording(path: str, rate: int) -> Iterator[Recording]:
    """Record one signal to a file, which appears when the recording ends, however it ends.

    Arguments
    ---------
    path : str
        The file, in the format of its suffix.
    rate : int
        In Hz.

    Yields
    ------
    Recording
        It.

    Raises
    ------
    InputError
        If such a file cannot be written, or not there.
    Stopped
        As the block does, with what the file holds.

    Example
    -------
    >>> path = str(getfixture("tmpdir") / "out.wav")
    >>> with recording(path, 16000) as record:
    ...     _ = record.play(torch.zeros(8000))
    ...     raise Stopped("3 USB microphone: gives no sound any more")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.Stopped: 3 USB microphone: ...; .../out.wav holds the 0.5 s before it
    """
    failure: BaseException | None = None
    with writing(path, AudioInfo(0, rate, channels=1), 1, keep_cut=True) as write:
        record = Recording(path, write)
        try:
            yield record
        except BaseException as error:
            if not record.samples:
                raise
            failure = error
    for note in write.notes:
        logger.warning("%s: %s", path, note)
    _warn_of_length(path)
    # A FLAC file that is cut short says no length.
    held = min(_samples_of(path), record.samples)
    if failure is None and held < record.samples:
        failure = Stopped(f"{path}: cannot be written whole; is the disk full?")
    if isinstance(failure, Stopped | InputError):
        kept = f"{path} holds the {held / rate:.1f} s before it"
        raise type(failure)(f"{failure}; {kept}") from failure
    if failure is not None:
        raise failure


def _warn_of_length(path: str) -> None:
    """Warn of a recording whose header cannot say how long it is, which is not known before."""
    if os.path.getsize(path) > MOST_BYTES and FORMATS[Path(path).suffix.lower()] not in UNBOUNDED:
        logger.warning(
            "%s: is beyond the 4 GiB whose length such a file can say; other programs may read a "
            "part of it. Recordings to .flac or .rf64 may be longer",
            path,
        )


def _samples_of(path: str) -> int:
    """How many samples can be read, of a file that may be cut short."""
    try:
        return audio_info(path).frames
    except InputError:
        return 0


def is_file(name: str | None) -> TypeGuard[str]:
    """Whether a name is that of an audio file, there or to be, and not of a sound device.

    Example
    -------
    >>> is_file("noisy.wav"), is_file("USB microphone"), is_file(None)
    (True, False, False)
    """
    if name is None:
        return False
    path = Path(name)
    return path.suffix.lower() in AUDIO_SUFFIXES or path.is_file()
