"""Recordings that were cut short, and that libsndfile takes for whole ones."""

import os
import re
import struct
from pathlib import Path
from typing import BinaryIO, NamedTuple

ENDS_A_STREAM = 4
# How a page of Ogg begins: its name and version
OGG_PAGE, OGG_PAGE_HEADER, LARGEST_OGG_PAGE = b"OggS\0", 27, 65307
# What programs that write to a pipe put for a length that they do not know: sox the least
UNKNOWN_32, UNKNOWN_64 = 0x7F000000, 2**62
AU_ORDERS, AU_UNKNOWN = {b".snd": ">", b"dns.": "<"}, 0xFFFFFFFF
NIST_NUMBERS = (rb"sample_count", rb"channel_count", rb"sample_n_bytes")


class Layout(NamedTuple):
    """How the chunks of a format lie.

    Arguments
    ---------
    first : int
        Where the first begins.
    head : str
        Its name and size, as `struct` reads them.
    counted : int
        How many bytes of the head the size counts in.
    align : int
        What chunks are filled up to a multiple of.
    unknown : int
        The least size that stands for one that the writer did not know.
    names : tuple of bytes
        The chunks that hold the samples.
    """

    first: int
    head: str
    counted: int
    align: int
    unknown: int
    names: tuple[bytes, ...]


LAYOUTS = {
    b"FORM": Layout(12, ">4sI", 0, 2, UNKNOWN_32, (b"SSND", b"BODY")),  # AIFF, 8SVX
    b"caff": Layout(8, ">4sQ", 0, 1, UNKNOWN_64, (b"data",)),
    b"riff": Layout(40, "<4s12xQ", 24, 8, UNKNOWN_64, (b"data",)),  # W64
}


def cut_notes(path: str | Path) -> list[str]:
    """What a user should know of a file that ends before it should.

    For AIFF, 8SVX, W64, CAF, AU and NIST the header says how much there should be; the last page of
    Ogg says that it is the last. For WAV, see `bloomnet_sb.utils.riff.wav_data`.

    Arguments
    ---------
    path : str or Path
        The file, of any format.

    Returns
    -------
    list of str
        One note; none for a file that is whole, or of another format.

    Example
    -------
    >>> import numpy as np, soundfile
    >>> path = Path(getfixture("tmpdir")) / "a.aiff"
    >>> soundfile.write(path, np.zeros(1000), 16000)
    >>> cut_notes(path)
    []
    >>> os.truncate(path, 1000)
    >>> cut_notes(path)
    ['cut short: the last 52% that it should have']
    """
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        beginning = file.read(4)
        if beginning == OGG_PAGE[:4]:
            return [] if _ends(file, length) else ["cut short: its end is missing"]
        start, size = _declared(file, beginning)
    missing = start + size - length
    return [cut_note(missing / size)] if missing > 0 else []


def cut_note(lost: float) -> str:
    """The note on a file that has lost a share of its samples.

    Example
    -------
    >>> cut_note(0.25)
    'cut short: the last 25% that it should have'
    """
    return f"cut short: the last {lost:.0%} that it should have"


def _declared(file: BinaryIO, beginning: bytes) -> tuple[int, int]:
    """Where the samples begin, and how many bytes the header promises; 0 if it does not."""
    if beginning in LAYOUTS:
        return _of_chunks(file, LAYOUTS[beginning])
    if beginning in AU_ORDERS:
        start, size = struct.unpack(f"{AU_ORDERS[beginning]}II", file.read(8).ljust(8, b"\0"))
        return start, 0 if size == AU_UNKNOWN else size
    return _of_nist(file) if beginning == b"NIST" else (0, 0)


def _of_chunks(file: BinaryIO, layout: Layout) -> tuple[int, int]:
    at, head_size = layout.first, struct.calcsize(layout.head)
    while True:
        file.seek(at)
        head = file.read(head_size)
        if len(head) < head_size:
            return 0, 0
        name, size = struct.unpack(layout.head, head)
        if not layout.counted <= size < layout.unknown:
            return 0, 0
        start, size = at + head_size, size - layout.counted
        if name in layout.names:
            return start, size
        at = start + size + -size % layout.align


def _of_nist(file: BinaryIO) -> tuple[int, int]:
    file.seek(0)
    header = file.read(1024)
    # As a number or as text, as libsndfile writes it where the samples are u-law
    found = [re.search(rb"\b%s -(?:i|s\d+) (\d+)" % name, header) for name in NIST_NUMBERS]
    start = re.match(rb"NIST_1A\s+(\d+)", header)
    if start is None or None in found:
        return 0, 0
    count, channels, width = (int(number[1]) for number in found if number)
    return int(start[1]), count * channels * width


def _ends(file: BinaryIO, length: int) -> bool:
    """Whether the last page of Ogg is whole and says that it is the last; tags may follow it."""
    file.seek(max(length - 2 * LARGEST_OGG_PAGE, 0))
    end = file.read()
    page = end[max(end.rfind(OGG_PAGE), 0) :]
    if len(page) < OGG_PAGE_HEADER:
        return False
    segments = page[OGG_PAGE_HEADER - 1]
    table = page[OGG_PAGE_HEADER : OGG_PAGE_HEADER + segments]
    is_whole = len(page) >= OGG_PAGE_HEADER + segments + sum(table)
    return is_whole and bool(page[5] & ENDS_A_STREAM)
