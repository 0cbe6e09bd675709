"""The sound of m4a, mp4, webm and videos, through PyAV: the extra `media`."""

import os
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bloomnet_sb.utils.audio_formats import MEDIA_SUFFIXES, AudioInfo
from bloomnet_sb.utils.cut_short import cut_note
from bloomnet_sb.utils.errors import InputError

if TYPE_CHECKING:
    import av

# How files begin that FFmpeg knows for certain: (place, bytes); of MP4 and Matroska first
WITH_CHAPTERS = ((4, b"ftyp"), (0, b"\x1aE\xdf\xa3"))
BEGINNINGS = (
    *WITH_CHAPTERS, (0, b"0&\xb2u\x8ef\xcf\x11"), (0, b"#!AMR"), (0, b"wvpk"),
    (0, b"MAC "), (0, b"FLV"), (0, b"TTA"), (0, b"OggS"), (0, b"RIFF"), (0, b"RF64"), (0, b"fLaC"),
    (0, b"caff"), (0, b"FORM"),
)  # fmt: skip
# What the end of a track may be off by
LARGEST_PACKET_SECONDS = 0.15
# By which an AAC encoder fills up its last block, in samples
MOST_PADDING = 4096
# What FFmpeg lists among the tags, but is the container's own
NO_TAGS = ("major_brand", "minor_version", "compatible_brands", "creation_time", "duration")
# What Vorbis comments and ID3 call otherwise
USUAL_NAMES = {
    "album_artist": "albumartist", "disc": "discnumber", "track": "tracknumber", "year": "date",
}  # fmt: skip


def may_be_media(path: str | Path) -> bool:
    """Whether a file's suffix, or how it begins, is one of what PyAV is asked for.

    Example
    -------
    >>> may_be_media("call.m4a"), may_be_media("tests/samples/README.md")
    (True, False)
    """
    if Path(path).suffix.lower() in MEDIA_SUFFIXES:
        return True
    return _begins(path, BEGINNINGS)


def has_pyav() -> bool:
    """Whether PyAV is installed."""
    try:
        import av  # noqa: F401
    except ImportError:
        return False
    return True


def media_info(path: str | Path) -> AudioInfo:
    """What the sound of a file is. Its length is known when all of it was decoded, which is done.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    AudioInfo
        Of its first sound track.

    Raises
    ------
    InputError
        If PyAV is not installed, or finds no sound that it can decode.

    Example
    -------
    >>> media_info("tests/samples/demo/noisy_0dB.flac").frames
    99587
    """
    if not has_pyav():
        raise InputError(
            f"{path}: {Path(path).suffix or 'such a file'} is read by PyAV: "
            "pip install 'bloomnet_sb[media]', or convert the file to WAV or FLAC"
        )
    about = os.stat(path)
    return _media_info(os.fspath(path), about.st_size, about.st_mtime_ns)


def media_blocks(path: str | Path, info: AudioInfo) -> Iterator[np.ndarray]:
    """Decode the sound of a file.

    Arguments
    ---------
    path : str or Path
        The file.
    info : AudioInfo
        What `media_info` gave.

    Yields
    ------
    numpy.ndarray
        Samples [time, channels], float32, as they come.

    Raises
    ------
    InputError
        If it cannot be decoded to its end.

    Example
    -------
    >>> path = "tests/samples/demo/noisy_0dB.flac"
    >>> sum(map(len, media_blocks(path, media_info(path))))
    99587
    """
    left = info.frames
    for block in _decoded(path):
        yield block[:left]
        left -= min(len(block), left)


def media_tags(path: str | Path) -> dict[str, str]:
    """Title, artist and the like of a file, as FFmpeg reads them, by their usual names.

    Arguments
    ---------
    path : str or Path
        The file.

    Returns
    -------
    dict
        Texts by names in small letters; none of a file that PyAV does not read.

    Example
    -------
    >>> media_tags("tests/samples/demo/noisy_0dB.flac")
    {}
    """
    if not has_pyav():
        return {}
    try:
        with _opened(path) as container:
            found = {name.lower(): text for name, text in container.metadata.items()}
    except InputError:
        return {}
    return {USUAL_NAMES.get(name, name): found[name] for name in found if name not in NO_TAGS}


def has_cover(path: str | Path) -> bool:
    """Whether there is a picture beside the sound of a file that PyAV reads, a cover, no film.

    Example
    -------
    >>> has_cover("tests/samples/demo/noisy_0dB.flac")
    False
    """
    if not has_pyav():
        return False
    from av.stream import Disposition

    try:
        with _opened(path) as container:
            return any(s.disposition & Disposition.attached_pic for s in container.streams.video)
    except InputError:
        return False


def has_chapters(path: str | Path) -> bool:
    """Whether an MP4 or Matroska file has chapters, as podcasts and audiobooks do.

    Those of other formats are tags or chunks.

    Example
    -------
    >>> has_chapters("tests/samples/demo/noisy_0dB.flac")
    False
    """
    if not has_pyav() or not _begins(path, WITH_CHAPTERS):
        return False
    try:
        with _opened(path) as container:
            return bool(container.chapters())
    except InputError:
        return False


@lru_cache(maxsize=4096)
def _media_info(path: str, size: int, changed: int) -> AudioInfo:
    frames = sum(map(len, _decoded(path)))
    with _opened(path) as container:
        track = container.streams.audio[0]
        code, name = track.codec_context, container.format.name
        declared = round((track.duration or 0) * (track.time_base or 0) * code.sample_rate)
        # Only there it is exact.
        if "mp4" in name and 0 < frames - declared < MOST_PADDING:
            frames = declared
        notes = []
        promised = _declared_seconds(container)
        lost = promised - frames / code.sample_rate
        if lost > LARGEST_PACKET_SECONDS:
            notes.append(cut_note(lost / promised))
        if len(container.streams.audio) > 1:
            notes.append(f"the first of its {len(container.streams.audio)} sound tracks is taken")
        subtype = "PCM_24" if code.format.bytes > 2 else "PCM_16"
        if "flt" in code.format.name or "dbl" in code.format.name:
            subtype = "FLOAT" if code.name.startswith("pcm_f") else "PCM_16"
        about = (code.sample_rate, code.layout.nb_channels, name.split(",")[0], subtype)
        return AudioInfo(frames, *about, tuple(notes))


def _begins(path: str | Path, beginnings: Iterable[tuple[int, bytes]]) -> bool:
    with open(path, "rb") as file:
        found = file.read(16)
    return any(found[at:].startswith(known) for at, known in beginnings)


def _declared_seconds(container: "av.container.InputContainer") -> float:
    """How long the first sound track should be; 0 where the file does not say it for certain."""
    track = container.streams.audio[0]
    if "mp4" in container.format.name:
        return float((track.duration or 0) * (track.time_base or 0))
    if "matroska" not in container.format.name:
        return 0.0
    clock = re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", track.metadata.get("DURATION", ""))
    if clock:
        hours, minutes, seconds = map(float, clock.groups())
        return 3600 * hours + 60 * minutes + seconds
    # That of the longest track
    return (container.duration or 0) / 1e6 if len(container.streams) == 1 else 0.0


def _decoded(path: str | Path) -> Iterator[np.ndarray]:
    import av

    done = 0
    with _opened(path) as container:
        track = container.streams.audio[0]
        code, resampler, form = track.codec_context, None, None
        rate, layout = code.sample_rate, code.layout
        try:
            for frame in container.decode(track):
                if (frame.format.name, frame.rate, frame.layout.name) != form:
                    form = (frame.format.name, frame.rate, frame.layout.name)
                    resampler = av.AudioResampler("fltp", layout, rate)
                assert resampler is not None
                for part in resampler.resample(frame):
                    done += part.samples
                    yield part.to_ndarray().T
        except av.FFmpegError as error:
            raise InputError(
                f"{path}: broken after {done / rate:.1f} s of sound ({error.strerror})"
            ) from None


def _opened(path: str | Path) -> "av.container.InputContainer":
    import av

    try:
        # With file: before it, no name is taken for an address.
        container = av.open(f"file:{os.fspath(path)}", metadata_errors="replace")
    except av.FFmpegError as error:
        raise InputError(f"{path}: not a readable audio file ({error.strerror})") from None
    tracks = container.streams.audio
    code = tracks[0].codec_context if tracks else None
    if code is None or code.format is None or not code.sample_rate:
        container.close()
        what = "sound of an unknown kind" if tracks else "no sound"
        raise InputError(f"{path}: not a readable audio file (it holds {what})")
    return container
