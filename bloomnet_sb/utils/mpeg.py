"""How long MPEG audio is that does not say so: its frames, counted."""

import mmap
import struct
from typing import NamedTuple

# In kbit/s by the index in a header, for layers I to III of MPEG 1, and of MPEG 2 and 2.5
KBITS = {
    (1, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (1, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (1, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    (2, 3): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
LAYERS = {3: 1, 2: 2, 1: 3}
TAGS = (b"Xing", b"Info")


class Frame(NamedTuple):
    """What the header of a frame says.

    Arguments
    ---------
    layer : int
        1 to 3.
    size : int
        Of the frame, in bytes.
    samples : int
        How many it holds.
    tag_at : int
        Where a tag lies in a first frame of layer III, after the side information.
    """

    layer: int
    size: int
    samples: int
    tag_at: int


def frame_of(header: bytes) -> Frame | None:
    """Read the header of a frame.

    Example
    -------
    >>> frame_of(bytes([0xFF, 0xFB, 0x90, 0x64]))
    Frame(layer=3, size=417, samples=1152, tag_at=36)
    >>> frame_of(b"RIFF") is None
    True
    """
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer_bits = header[1] >> 3 & 3, header[1] >> 1 & 3
    kbits_index, rate_index = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer_bits == 0 or kbits_index in (0, 15) or rate_index == 3:
        return None
    layer, generation = LAYERS[layer_bits], 1 if version == 3 else 2
    bits = 1000 * KBITS[generation, layer][kbits_index - 1]
    rate, padding = RATES[version][rate_index], header[2] >> 1 & 1
    samples = 384 if layer == 1 else 576 if layer == 3 and generation == 2 else 1152
    size = (
        (12 * bits // rate + padding) * 4 if layer == 1 else samples // 8 * bits // rate + padding
    )
    is_mono = header[3] >> 6 == 3
    side = (17 if is_mono else 32) if generation == 1 else (9 if is_mono else 17)
    return Frame(layer, size, samples, 4 + side)


def has_tag(data: mmap.mmap | bytes, at: int, frame: Frame) -> bool:
    """Whether a frame is no sound, but says how much of it follows.

    Example
    -------
    >>> has_tag(bytes(36) + b"Info", 0, Frame(3, 417, 1152, 36))
    True
    """
    found = data[at + frame.tag_at : at + frame.tag_at + 4]
    return found in TAGS or data[at + 36 : at + 40] == b"VBRI"


def length_header(data: mmap.mmap, start: int, stop: int) -> tuple[int, bytes] | None:
    """Count the frames of MPEG audio without a tag that says how many there are.

    Arguments
    ---------
    data : mmap.mmap
        The file.
    start, stop : int
        Where the sound is in it, with tags before and after.

    Returns
    -------
    (int, bytes) or None
        The number of samples, and for layer III such a tag, to be put before: libsndfile otherwise
        takes a guess by the size. None if there is one, or this is no MPEG audio.

    Example
    -------
    See `bloomnet_sb.utils.recordings.recording`.
    """
    at = _after_id3(data, start)
    first = frame_of(data[at : at + 4])
    if first is None or has_tag(data, at, first):
        return None
    beginning, begin = data[at : at + 4], at
    frames = 0
    while (frame := frame_of(data[at : at + 4])) and at < stop:
        frames += 1
        at += frame.size
    header = b""
    if first.layer == 3:
        sizes = struct.pack(">III", 3, frames, at - begin + first.size)
        header = (beginning + bytes(first.tag_at - 4) + b"Xing" + sizes).ljust(first.size, b"\0")
    return frames * first.samples, header


def _after_id3(data: mmap.mmap, start: int) -> int:
    if data[start : start + 3] != b"ID3":
        return start
    size = 0
    for byte in data[start + 6 : start + 10]:
        size = size << 7 | byte & 127
    return start + 10 + size
