"""Finding the recordings of a folder, and saying what is left out."""

import logging
import os
import stat
from collections import Counter, deque
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bloomnet_sb.utils.audio_formats import MEDIA_SUFFIXES, READABLE_SUFFIXES
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.mpeg import frame_of

logger = logging.getLogger(__name__)

# How files begin that libsndfile knows for certain, whatever their names
BEGINNINGS = (
    b"RIFF", b"RIFX", b"RF64", b"riff", b"FORM", b"fLaC", b"OggS", b"caff", b".snd", b"NIST_1A",
    b"Creative Voice File", b"ID3",
)  # fmt: skip
# Whose rate and sample type nobody knows
HEADERLESS = (".gsm", ".pcm", ".raw", ".vox")
MOST_NAMES = 10


class LeftOut(NamedTuple):
    """What of a folder is no recording, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Listing(NamedTuple):
    """The recordings of a folder and of those below it.

    Arguments
    ---------
    files : list of Path
        The recordings, in order of name.
    left_out : list of LeftOut
        What else is there.
    """

    files: list[Path]
    left_out: list[LeftOut]


def list_audio(
    folder: str | Path, apart_from: str | Path | None = None, media: bool = True
) -> Listing:
    """List the recordings in a folder and in those below it, through links as well.

    A folder that is reached by several ways, by a link in a loop for one, is taken once: by the way
    without links if there is one.

    Arguments
    ---------
    folder : str or Path
        The folder.
    apart_from : str or Path, optional
        A folder in it that is not looked into, as that of the results.
    media : bool
        Whether what only PyAV reads (m4a, videos) is listed. It cannot be read from any sample on,
        as training does.

    Returns
    -------
    Listing
        The files whose suffix is one of those that can be read, or that begin as such files do,
        and what is left out: files of other kinds, files that macOS keeps beside each, files that
        are still being written, folders that cannot be read.

    Example
    -------
    >>> listing = list_audio("tests/samples/musan")
    >>> len(listing.files), listing.files[0].name
    (26, 'noise-free-sound-0000.flac')
    >>> summary_of(listing.left_out)
    '1 left out: SOURCES.tsv (no audio)'
    """
    files, left_out = [], []
    for entry in _walk(Path(folder), _identity(apart_from)):
        reason = entry.reason or why_left_out(entry.path, media)
        if reason:
            left_out.append(LeftOut(entry.path, reason))
        else:
            files.append(entry.path)
    return Listing(sorted(files), left_out)


def list_input(folder: Path, output: Path) -> Listing:
    """List a folder that a user named, without what is below `output`: results of a run before.

    Raises
    ------
    InputError
        If it is that of the results.

    Example
    -------
    >>> len(list_input(Path("tests/samples/demo"), Path("out")).files)
    4
    """
    if folder.resolve() == output.resolve():
        raise InputError(f"{output}: where the files are; name another folder for the results")
    return list_audio(folder, apart_from=output)


def check_any_audio(folder: Path, listing: Listing) -> None:
    """Refuse a folder without a recording, and say what is there.

    Raises
    ------
    InputError
        If there is none.

    Example
    -------
    >>> check_any_audio(Path("in"), Listing([Path("in/a.wav")], []))
    """
    if not listing.files:
        others = summary_of(listing.left_out)
        raise InputError(f"{folder}: holds no audio file" + (f"; {others}" if others else ""))


def why_left_out(path: Path, media: bool = True) -> str:
    """Why a file is not taken for a recording; "" if it is. See `list_audio`.

    Example
    -------
    >>> why_left_out(Path("tests/samples/README.md"))
    'no audio'
    """
    if path.name.startswith("._") or path.name == ".DS_Store":
        return "a file of macOS's own"
    if path.name.startswith(".") and path.suffix == ".partial":
        return "unfinished"
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            return "a pipe or a device"
        if path.suffix.lower() in READABLE_SUFFIXES:
            return ""
        if path.suffix.lower() in MEDIA_SUFFIXES:
            return "" if media else "to be converted to FLAC or WAV first"
        if path.suffix.lower() in HEADERLESS:
            return "samples without a header"
        with open(path, "rb") as file:
            return "" if _begins_as_audio(file.read(4096)) else "no audio"
    except FileNotFoundError:
        return "a link to nothing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def summary_of(left_out: list[LeftOut]) -> str:
    """One line for what was left out: how many, which, and why; "" for nothing.

    Example
    -------
    >>> summary_of([LeftOut(Path("in/notes.txt"), "no audio")])
    '1 left out: notes.txt (no audio)'
    """
    if not left_out:
        return ""
    # What a user would want to hear of first: not the notes beside the recordings
    by_reason = {item.reason: None for item in sorted(left_out, key=_is_no_audio)}
    parts, room = [], MOST_NAMES
    counts = Counter(item.reason for item in left_out)
    for reason in by_reason:
        names = [name_on_a_line(item.path) for item in left_out if item.reason == reason][:room]
        room -= len(names)
        more = counts[reason] - len(names)
        names += [f"{more} more" if names else f"{more} files"] if more else []
        parts.append(f"{', '.join(names)} ({reason})")
    return f"{len(left_out)} left out: {'; '.join(parts)}"


def log_left_out(folder: str | Path, left_out: list[LeftOut]) -> None:
    """Log what was left out of a folder: as a warning if there is more than files of no audio.

    Example
    -------
    >>> log_left_out("in", [LeftOut(Path("in/notes.txt"), "no audio")])
    """
    if left_out:
        harmless = all(map(_is_no_audio, left_out))
        level = logging.INFO if harmless else logging.WARNING
        logger.log(level, "%s: %s", folder, summary_of(left_out))


def name_on_a_line(path: Path) -> str:
    """A file's name on one line, whatever bytes are in it.

    Example
    -------
    >>> name_on_a_line(Path("two\\nlines.wav"))
    'two\\\\nlines.wav'
    """
    return one_line(path.name)


def one_line(text: str) -> str:
    """Text with what is no printable character written as an escape.

    Example
    -------
    >>> one_line("two\\nlines")
    'two\\\\nlines'
    """
    if text.isprintable():
        return text
    escaped = (c if c.isprintable() else repr(c)[1:-1] for c in text)
    return "".join(escaped)


def _begins_as_audio(data: bytes) -> bool:
    frame = frame_of(data[:4])
    is_mpeg = frame is not None and frame_of(data[frame.size : frame.size + 4]) is not None
    return is_mpeg or data.startswith(BEGINNINGS)


class _Entry(NamedTuple):
    path: Path
    reason: str


def _walk(folder: Path, apart_from: tuple[int, int] | None) -> Iterator[_Entry]:
    """Files, and folders that are left out; linked folders after all others."""
    seen: dict[tuple[int, int], Path] = {}
    waiting, links = deque([folder]), deque[Path]()
    while waiting or links:
        here = waiting.popleft() if waiting else links.popleft()
        identity = _identity(here)
        if identity and identity == apart_from:
            continue
        if identity in seen:
            yield _Entry(here, f"a link to {seen[identity]}, which is taken already")
            continue
        if identity:
            seen[identity] = here
        try:
            with os.scandir(here) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            yield _Entry(here, f"cannot be read ({error.strerror})")
            continue
        for entry in entries:
            if not _is_folder(entry):
                yield _Entry(here / entry.name, "")
            elif entry.is_symlink():
                links.append(here / entry.name)
            else:
                waiting.append(here / entry.name)


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _identity(path: str | Path | None) -> tuple[int, int] | None:
    """What two ways to one folder have in common; None for what cannot be reached."""
    if path is None:
        return None
    try:
        about = os.stat(path)
    except OSError:
        return None
    return about.st_dev, about.st_ino


def _is_no_audio(item: LeftOut) -> bool:
    return item.reason == "no audio"
