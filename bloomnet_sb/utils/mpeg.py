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


class Counted(NamedTuple):
    """Frames that follow each other.

    Arguments
    ---------
    samples : int
        How many they hold.
    header : bytes
        For layer III a tag that says so, to be put before: libsndfile otherwise takes a guess by
        the size.
    stop : int
        Where they end.
    """

    samples: int
    header: bytes
    stop: int


def length_header(data: mmap.mmap | bytes, start: int, stop: int) -> Counted | None:
    """Count the frames of MPEG audio without a tag that says how many there are.

    Arguments
    ---------
    data : mmap.mmap or bytes
        The file.
    start, stop : int
        Where the sound is in it, with tags before and after.

    Returns
    -------
    Counted or None
        The frames up to the first place that is none. None if there is a tag, or this is no MPEG
        audio.

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
    return Counted(frames * first.samples, header, min(at, stop))


def next_frames(data: mmap.mmap | bytes, start: int, stop: int) -> int | None:
    """Where frames go on behind tags, or what is damaged; None if they do not.

    Example
    -------
    >>> frame = bytes([0xFF, 0xFB, 0x90, 0x64]).ljust(417, b"0")
    >>> next_frames(b"TAG" + bytes(125) + frame + frame, 0, 962)
    128
    """
    at = _after_id3(data, start)
    while 0 <= at < stop:
        frame = frame_of(data[at : at + 4])
        # Two of a kind: one may be what a damaged frame or a tag holds by chance.
        if frame and _are_alike(data[at : at + 4], data[at + frame.size : at + frame.size + 4]):
            return at
        is_tag = data[at : at + 3] == b"ID3"
        at = _after_id3(data, at) if is_tag else _next_start(data, at + 1, stop)
    return None


def _are_alike(one: bytes, other: bytes) -> bool:
    """Whether the headers of two frames say the same generation, layer and rate."""
    same = one[:2] == other[:2] and one[2] & 0x0C == other[2] & 0x0C
    return same and frame_of(other) is not None


def _next_start(data: mmap.mmap | bytes, at: int, stop: int) -> int:
    """Where the next frame or tag may begin; -1 for nowhere."""
    frame = data.find(b"\xff", at, stop)
    tag = data.find(b"ID3", at, stop if frame < 0 else frame)  # no further, or it takes hours
    return frame if tag < 0 else tag


def _after_id3(data: mmap.mmap | bytes, start: int) -> int:
    if data[start : start + 3] != b"ID3":
        return start
    size = 0
    for byte in data[start + 6 : start + 10]:
        size = size << 7 | byte & 127
    return start + 10 + size
