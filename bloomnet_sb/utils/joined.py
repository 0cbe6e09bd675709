"""Files in which several were joined, of which libsndfile reads the first only."""

import io
import mmap
import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from bloomnet_sb.utils.mpeg import TAGS, frame_of, length_header, next_frames

# What a part of a FLAC file begins with: the block STREAMINFO
FLAC_STARTS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
OGG_PAGE_HEADER = 27
BEGINS_A_STREAM = 2


class View(io.RawIOBase):
    """Some of a file's bytes, after others, as a file that can be read.

    Arguments
    ---------
    path : str or Path
        The file.
    start, stop : int
        Which of its bytes.
    head : bytes
        What comes before them.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "a"
    >>> _ = path.write_bytes(b"0123456789")
    >>> with View(path, 3, 6, head=b"ab") as view:
    ...     view.read()
    b'ab345'
    """

    def __init__(self, path: str | Path, start: int, stop: int, head: bytes = b""):
        self._file = open(path, "rb")  # noqa: SIM115 (closed with this)
        self._start, self._head, self._at = start, head, 0
        self._size = len(head) + stop - start

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def readinto(self, buffer) -> int:
        """Read some bytes into a buffer; how many they were."""
        wanted = min(len(buffer), max(self._size - self._at, 0))
        data = self._head[self._at : self._at + wanted]
        if not data:
            self._file.seek(self._start + self._at - len(self._head))
            data = self._file.read(wanted)
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go to a place."""
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        super().close()


class Part(NamedTuple):
    """What libsndfile is given of a file.

    Arguments
    ---------
    start, stop : int
        Which of its bytes.
    head : bytes
        A header before them, see `View`.
    frames : int, optional
        How many samples there are, where libsndfile would take a guess.
    """

    start: int
    stop: int
    head: bytes = b""
    frames: int | None = None


def joined_parts(path: str | Path) -> list[Part]:
    """Where the parts of a file lie that was joined of several: Ogg (chained), FLAC or MP3.

    An Ogg stream begins where its pages say so, FLAC with its name, and MP3 with the tag that tells
    the length of what follows: where its bytes are at an end or another such tag comes.

    Arguments
    ---------
    path : str or Path
        The file, of any format.

    Returns
    -------
    list of Part
        The parts; of any other file, one. MP3 that has no tag gets one.

    Example
    -------
    >>> flac = Path("tests/samples/demo/noisy_0dB.flac").read_bytes()
    >>> path = Path(getfixture("tmpdir")) / "joined.flac"
    >>> _ = path.write_bytes(flac + flac)
    >>> joined_parts(path) == [Part(0, len(flac)), Part(len(flac), 2 * len(flac))]
    True
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        if file.read(4)[:2] not in (b"Og", b"fL", b"ID") and not _may_be_mpeg(file):
            return [Part(0, size)]
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] == b"OggS":
                return _parts(_ogg_starts(data), size)
            if data[:4] == b"fLaC":
                places = (at for start in FLAC_STARTS for at in _places(data, start))
                return _parts(sorted(places), size)
            parts = _parts(_mp3_starts(data), size)
            return [counted for part in parts for counted in _with_length(data, part)]


def _may_be_mpeg(file: BinaryIO) -> bool:
    file.seek(0)
    return frame_of(file.read(4)) is not None


def _parts(starts: list[int], size: int) -> list[Part]:
    bounds = [0, *starts[1:], size]
    return list(map(Part, bounds[:-1], bounds[1:]))


def _with_length(data: mmap.mmap, part: Part) -> list[Part]:
    """A part of MP3; without a tag, as many as there are runs of frames in it."""
    parts: list[Part] = []
    start: int | None = part.start
    while start is not None:
        found = length_header(data, start, part.stop)
        if found is None:
            return [*parts, part._replace(start=start)]
        parts.append(Part(start, found.stop, found.header, found.samples))
        start = next_frames(data, found.stop, part.stop)
    return [*parts[:-1], parts[-1]._replace(stop=part.stop)]


def _ogg_starts(data: mmap.mmap) -> list[int]:
    """Of each first page of a stream; those of streams side by side follow each other."""
    starts, in_beginnings, at = [], False, 0
    while at >= 0 and at + OGG_PAGE_HEADER <= len(data):
        begins = bool(data[at + 5] & BEGINS_A_STREAM)
        if begins and not in_beginnings:
            starts.append(at)
        in_beginnings = begins
        segments = data[at + OGG_PAGE_HEADER - 1]
        table = data[at + OGG_PAGE_HEADER : at + OGG_PAGE_HEADER + segments]
        at = data.find(b"OggS", at + OGG_PAGE_HEADER + segments + sum(table))
    return starts


def _mp3_starts(data: mmap.mmap) -> list[int]:
    frames = sorted(at for tag in TAGS for at in _tagged_frames(data, tag))
    starts = list(frames)
    for frame in frames:
        stop = frame + _tagged_bytes(data, frame)
        after = min((start for start in frames if start > frame), default=len(data))
        if frame < stop < after and (frame_of(data[stop : stop + 4]) or _is_id3(data, stop)):
            # Another begins there, with or without a tag of its own; one that has is not twice.
            starts = [start for start in starts if start != after] + [stop]
    return sorted(starts)


def _tagged_frames(data: mmap.mmap, tag: bytes) -> Iterator[int]:
    for at in _places(data, tag):
        for offset in (36, 21, 13):
            frame = frame_of(data[at - offset : at - offset + 4]) if at >= offset else None
            if frame and (frame.layer, frame.tag_at) == (3, offset):
                yield at - offset


def _tagged_bytes(data: mmap.mmap, frame: int) -> int:
    """How many bytes a tag says that its part has; 0 if it does not."""
    about = frame_of(data[frame : frame + 4])
    assert about is not None  # it has a tag
    at = frame + about.tag_at + 4
    if at + 12 > len(data):
        return 0
    (flags,) = struct.unpack(">I", data[at : at + 4])
    if not flags & 2:
        return 0
    at += 8 if flags & 1 else 4
    return struct.unpack(">I", data[at : at + 4])[0]


def _is_id3(data: mmap.mmap, at: int) -> bool:
    return data[at : at + 3] == b"ID3"


def _places(data: mmap.mmap, sought: bytes) -> Iterator[int]:
    at = data.find(sought)
    while at >= 0:
        yield at
        at = data.find(sought, at + 1)
