"""The chunks of WAV and AIFF files: sizes that are wrong, and what is kept beside the sound."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

# What recorders and programs that write to a pipe put for a length that they do not know yet, and
# beyond: libsndfile counts with 32 bits here.
UNKNOWN_SIZE = 0x7FFF0000
# What the writer of a file makes itself, what only fills space, and sums and peaks of the samples
NOT_CARRIED = (
    b"fmt ", b"data", b"fact", b"PEAK", b"ds64", b"JUNK", b"junk", b"PAD ", b"FLLR", b"COMM",
    b"SSND", b"FVER", b"MD5 ", b"levl",
)  # fmt: skip
CHANNELS_IN = slice(2, 4)  # where their number lies in the chunk "fmt "
MASK_AT = 20  # where the speaker mask lies in the chunk "fmt " of WAVE_FORMAT_EXTENSIBLE
EXTENSIBLE = 0xFFFE


class Chunk(NamedTuple):
    """A chunk of a file: its name, where its content begins, and its size in bytes."""

    name: bytes
    start: int
    size: int


class WavData(NamedTuple):
    """Where the samples of a WAV file lie.

    Arguments
    ---------
    start, size : int
        In bytes, as far as the file goes.
    missing : int
        How many bytes the header promises beyond.
    header : bytes
        Another header that says so, where libsndfile would not read what is there; else empty.
    """

    start: int
    size: int
    missing: int
    header: bytes


def chunks_of(path: str | Path) -> list[Chunk]:
    """The chunks of a WAV, RF64 or AIFF file, as far as they can be followed; none of another's.

    Example
    -------
    >>> import numpy as np, soundfile
    >>> path = Path(getfixture("tmpdir")) / "a.wav"
    >>> soundfile.write(path, np.zeros(10), 16000)
    >>> [chunk.name for chunk in chunks_of(path)]
    [b'fmt ', b'data']
    """
    with open(path, "rb") as file:
        return list(_chunks(file))


def wav_data(path: str | Path) -> WavData | None:
    """Where the samples of a WAV file lie, whatever its header says of their size.

    A recorder that died leaves a size of 0; a file of more than 4 GiB has a size modulo 2^32, or
    none.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    WavData or None
        None for a file that is no WAV or RF64 file, or has no such chunk.

    Example
    -------
    >>> import numpy as np, soundfile
    >>> path = Path(getfixture("tmpdir")) / "a.wav"
    >>> soundfile.write(path, np.ones(10), 16000)
    >>> _ = path.write_bytes(path.read_bytes()[:40] + bytes(4) + path.read_bytes()[44:])
    >>> wav_data(path).size
    20
    """
    with open(path, "rb") as file:
        length = os.fstat(file.fileno()).st_size
        found = {chunk.name: chunk for chunk in _chunks(file, until=b"data")}
        if b"data" not in found or b"fmt " not in found:
            return None
        _, start, declared = found[b"data"]
        form = _content(file, found[b"fmt "])
        there = length - start
        size = _true_size(file, start, declared, there)
    block = max(struct.unpack_from("<H", form, 12)[0], 1) if len(form) >= 14 else 1
    # What libsndfile makes of it by itself
    understood = declared == size or (there < 2**31 and declared > 0 and there <= declared)
    missing = declared - there if there < declared < UNKNOWN_SIZE else 0
    header = b"" if understood else _rf64_header(form, size - size % block)
    return WavData(start, size - size % block, missing, header)


def speaker_mask(path: str | Path) -> int:
    """Which loudspeakers the channels of a WAV file are for, as bits; 0 if it does not say.

    Example
    -------
    >>> import numpy as np, soundfile
    >>> path = Path(getfixture("tmpdir")) / "a.wav"
    >>> soundfile.write(path, np.zeros((10, 6)), 16000, format="WAVEX")
    >>> bin(speaker_mask(path))
    '0b111111'
    """
    with open(path, "rb") as file:
        for chunk in _chunks(file, until=b"data"):
            if chunk.name == b"fmt ":
                return _mask_of(_content(file, chunk))
    return 0


def carry_chunks(source: str | Path, target: str | Path) -> list[str]:
    """Append what a file keeps beside its sound to another, and take over its speaker mask.

    That is cue points and their labels, `bext`, `iXML`, loops, names and tags, to the byte: they
    stay right where rate and length are the same. The mask is for files of as many channels.

    Arguments
    ---------
    source, target : str or Path
        Two WAV or RF64 files, or two AIFF files.

    Returns
    -------
    list of str
        Names of chunks for which there is no room in the 4 GiB of such a file.

    Example
    -------
    >>> import numpy as np, soundfile
    >>> source, target = (Path(getfixture("tmpdir")) / name for name in ("a.wav", "b.wav"))
    >>> for path in (source, target):
    ...     soundfile.write(path, np.zeros(10), 16000)
    >>> _ = source.write_bytes(source.read_bytes() + b"iXML" + bytes([4, 0, 0, 0]) + b"<a/>")
    >>> carry_chunks(source, target)
    []
    >>> [chunk.name for chunk in chunks_of(target)]
    [b'fmt ', b'data', b'iXML']
    """
    about = wav_data(source)
    # Where a size is wrong, what seems to follow the samples is samples.
    last = b"data" if about is None or about.header else None
    left_out = []
    with open(source, "rb") as read, open(target, "r+b") as written:
        order = _order(read)
        chunks = {chunk.name: chunk for chunk in _chunks(written)}
        length = written.seek(0, os.SEEK_END)
        written.write(bytes(length % 2))
        for chunk in _chunks(read, until=last):
            if chunk.name == b"fmt ":
                _carry_mask(_content(read, chunk), written, chunks[b"fmt "])
            if chunk.name in NOT_CARRIED:
                continue
            end = written.seek(0, os.SEEK_END)
            content = _content(read, chunk)
            if b"ds64" not in chunks and end + len(content) + 9 > 2**32:
                left_out.append(chunk.name.decode())
                continue
            written.write(chunk.name + struct.pack(f"{order}I", len(content)))
            written.write(content + bytes(len(content) % 2))
        _set_size(written, chunks, order)
    return left_out


def _carry_mask(form: bytes, written: BinaryIO, chunk: Chunk) -> None:
    """Take over the speaker mask, where both formats have one, for as many channels."""
    own = _content(written, chunk)
    if _mask_of(form) and _is_extensible(own) and form[CHANNELS_IN] == own[CHANNELS_IN]:
        written.seek(chunk.start + MASK_AT)
        written.write(form[MASK_AT : MASK_AT + 4])


def _mask_of(form: bytes) -> int:
    return struct.unpack_from("<I", form, MASK_AT)[0] if _is_extensible(form) else 0


def _is_extensible(form: bytes) -> bool:
    return len(form) >= MASK_AT + 4 and struct.unpack_from("<H", form)[0] == EXTENSIBLE


def _set_size(written: BinaryIO, chunks: dict[bytes, Chunk], order: str) -> None:
    size = written.seek(0, os.SEEK_END) - 8
    if b"ds64" in chunks:
        written.seek(chunks[b"ds64"].start)
        written.write(struct.pack("<Q", size))
    else:
        written.seek(4)
        written.write(struct.pack(f"{order}I", size))


def _order(file: BinaryIO) -> str:
    """The order of bytes, as `struct` names it; "" for a file of another kind."""
    file.seek(0)
    beginning = file.read(12)
    if beginning[:4] in (b"RIFF", b"RF64") and beginning[8:] == b"WAVE":
        return "<"
    return ">" if beginning[:4] == b"FORM" and beginning[8:] in (b"AIFF", b"AIFC") else ""


def _chunks(file: BinaryIO, until: bytes | None = None) -> Iterator[Chunk]:
    order = _order(file)
    if not order:
        return
    large_size = None
    at = 12
    while True:
        file.seek(at)
        head = file.read(8)
        if len(head) < 8 or not _is_name(head[:4]):
            return
        name, size = head[:4], struct.unpack(f"{order}I", head[4:])[0]
        if name == b"ds64" and len(sizes := file.read(16)) == 16:
            large_size = struct.unpack("<8xQ", sizes)[0]
        if name == b"data" and size == 0xFFFFFFFF and large_size is not None:
            size = large_size
        yield Chunk(name, at + 8, size)
        if name == until:
            return
        at += 8 + size + size % 2


def _is_name(name: bytes) -> bool:
    return all(32 <= byte < 127 for byte in name)


def _content(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.start)
    return file.read(chunk.size)


def _true_size(file: BinaryIO, start: int, declared: int, there: int) -> int:
    if declared == 0:
        return 0 if _only_chunks(file, start, there) else there
    if there < 2**31:
        return min(declared, there)
    if declared >= UNKNOWN_SIZE and (declared >= 2**32 - 2**20 or declared < 2**31):
        return there
    # The size modulo 2^32
    return declared + max(there - declared, 0) // 2**32 * 2**32 if declared <= there else there


def _only_chunks(file: BinaryIO, start: int, there: int) -> bool:
    """Whether what follows is chunks, and not samples."""
    at, end = start, start + there
    while at + 8 <= end:
        file.seek(at)
        head = file.read(8)
        if not _is_name(head[:4]):
            return False
        size = struct.unpack("<I", head[4:])[0]
        at += 8 + size + size % 2
    return at <= end + 1


def _rf64_header(form: bytes, size: int) -> bytes:
    sizes = struct.pack("<QQQI", size + 72 + len(form), size, 0, 0)
    return b"".join(
        [
            *(b"RF64", b"\xff" * 4, b"WAVE"),
            *(b"ds64", struct.pack("<I", len(sizes)), sizes),
            *(b"fmt ", struct.pack("<I", len(form)), form, bytes(len(form) % 2)),
            *(b"data", b"\xff" * 4),
        ]
    )
