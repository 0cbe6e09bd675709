"""WAV files in NumPy alone, for an exported network's runner: see onnx_stream.py.

Python's own `wave` knows neither floats nor the form of headers that files of many bits have.
"""

import os
import struct
from pathlib import Path
from typing import NamedTuple

import numpy as np

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
# Sizes that stand for "not known": of a program that wrote to a pipe, of a recorder that died
UNKNOWN_SIZE = 0x7FFF0000
KINDS = ("8, 16, 24 or 32 bits of integers", "32 or 64 bits of floats")


class Wav(NamedTuple):
    """A WAV file.

    Arguments
    ---------
    samples : numpy.ndarray
        [time, channels], float32, within -1 and 1 where they were integers.
    rate : int
        In Hz.
    is_float : bool
        Whether its samples are floats.
    """

    samples: np.ndarray
    rate: int
    is_float: bool


def read_wav(path: str | Path) -> Wav:
    """Read a WAV file of integers or floats; of one that was cut short, what is there.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    Wav
        The samples.

    Raises
    ------
    ValueError
        If it cannot be read or is no such file; says what is accepted.

    Example
    -------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "a.wav")
    >>> write_wav(path, np.array([[0.5], [-0.5]]), 16000)
    >>> read_wav(path).samples.ravel().tolist()
    [0.5, -0.5]
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    if content[:4] not in (b"RIFF", b"RF64") or content[8:12] != b"WAVE":
        raise ValueError(f"{path}: no WAV file; convert it to one first")
    form, data = _chunks(content)
    if len(form) < 16 or data is None:
        raise ValueError(f"{path}: a WAV file without its header or its samples")
    kind, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", form)
    if kind == EXTENSIBLE and len(form) >= 26:
        (kind,) = struct.unpack_from("<H", form, 24)
    if channels < 1 or (kind, bits) not in [(PCM, 8 * size) for size in (1, 2, 3, 4)] + [
        *((FLOAT, 32), (FLOAT, 64))
    ]:
        raise ValueError(
            f"{path}: WAV of kind {kind} and {bits} bits; convert it to {' or '.join(KINDS)}"
        )
    size = bits // 8
    values = _values(data[: len(data) // (size * channels) * size * channels], kind, size)
    if not len(values):
        raise ValueError(f"{path}: a WAV file without samples")
    return Wav(values.reshape(-1, channels), rate, kind == FLOAT)


def write_wav(path: str | Path, samples: np.ndarray, rate: int, is_float: bool = False) -> None:
    """Write a WAV file of 16 bits or of floats; it appears when it is complete.

    Arguments
    ---------
    path : str or Path
        The file.
    samples : numpy.ndarray
        [time, channels]; what is beyond -1 and 1 is clipped in 16 bits.
    rate : int
        In Hz.
    is_float : bool
        Whether its samples are to be floats, of 32 bits.

    Raises
    ------
    ValueError
        If it cannot be written there, or is beyond the 4 GiB of such a file.

    Example
    -------
    See `read_wav`.
    """
    kind, dtype = (FLOAT, "<f4") if is_float else (PCM, "<i2")
    if not is_float:
        samples = (samples.clip(-1, 32767 / 32768) * 32768).round()
    data = samples.astype(dtype).tobytes()
    if len(data) > 2**32 - 100:
        raise ValueError(f"{path}: {len(data)} bytes are beyond what a WAV file holds")
    width, channels = np.dtype(dtype).itemsize, samples.shape[1]
    form = struct.pack(
        "<HHIIHH", kind, channels, rate, rate * width * channels, width * channels, 8 * width
    )
    body = b"WAVE" + _chunk(b"fmt ", form) + _chunk(b"data", data)
    path = Path(os.path.realpath(path))
    partial = path.with_name(f".{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(_chunk(b"RIFF", body))
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise ValueError(f"{path}: cannot be written ({error.strerror})") from None


def _chunks(content: bytes) -> tuple[bytes, bytes | None]:
    """The header and the samples of a WAV file."""
    form, at, large_size = b"", 12, None
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        start = at + 8
        if name == b"ds64" and start + 16 <= len(content):  # the sizes of an RF64 file
            (large_size,) = struct.unpack_from("<8xQ", content, start)
        if name == b"fmt ":
            form = content[start : start + size]
        if name == b"data":
            if size == 0xFFFFFFFF and large_size is not None:
                size = large_size
            return form, content[start : _end_of_samples(content, start, size)]
        at = start + size + size % 2
    return form, None


def _end_of_samples(content: bytes, start: int, size: int) -> int:
    """Where samples end whose size is said, but may be a stand-in for one that was not known."""
    end = start + size
    stands_in = size == 0 or size >= UNKNOWN_SIZE
    return len(content) if stands_in and not _only_chunks(content, end + size % 2) else end


def _only_chunks(content: bytes, at: int) -> bool:
    """Whether what is there from here on is chunks to the end, and not samples."""
    while at + 8 <= len(content):
        name, size = struct.unpack_from("<4sI", content, at)
        if not all(32 <= byte < 127 for byte in name):
            return False
        at += 8 + size + size % 2
    return at == len(content) or at == len(content) + 1  # without the last byte of padding


def _values(data: bytes, kind: int, size: int) -> np.ndarray:
    if kind == FLOAT:
        return np.frombuffer(data, f"<f{size}").astype(np.float32)
    if size == 1:
        return (np.frombuffer(data, np.uint8).astype(np.float32) - 128) / 128
    # As the upper bytes of 32 bits
    wide = np.zeros((len(data) // size, 4), np.uint8)
    wide[:, 4 - size :] = np.frombuffer(data, np.uint8).reshape(-1, size)
    return wide.view("<i4").ravel().astype(np.float32) / np.float32(2**31)


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
