"""Which audio formats can be read and written, and which is chosen for a result."""

import io
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile as sf

# By the suffixes that files of a format have, its own name apart
ALIASES = {
    ".8svx": "SVX", ".aif": "AIFF", ".aifc": "AIFF", ".bwf": "WAV", ".iff": "SVX", ".mp1": "MP3",
    ".mp2": "MP3", ".oga": "OGG", ".opus": "OGG", ".sf": "IRCAM", ".snd": "AU", ".sph": "NIST",
    ".wave": "WAV",
}  # fmt: skip
# Files that hold numbers of any kind, or samples without a header
NO_AUDIO_BY_NAME = ("MAT4", "MAT5", "RAW")
FORMATS = ALIASES | {f".{name.lower()}": name for name in sf.available_formats()}
READABLE_SUFFIXES = tuple(
    suffix for suffix, name in FORMATS.items() if name not in NO_AUDIO_BY_NAME
)
# What only the extra `media` reads: compressed sound, and the sound of videos
MEDIA_SUFFIXES = (
    ".3gp", ".aac", ".ac3", ".alac", ".amr", ".ape", ".asf", ".avi", ".dts", ".eac3", ".flv",
    ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp4", ".mpc", ".mpeg", ".mpg", ".ogv",
    ".spx", ".tak", ".ts", ".tta", ".webm", ".wma", ".wmv", ".wv",
)  # fmt: skip

# From the smallest to the largest
PCM = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
BITS = {"PCM_S8": 8, "PCM_U8": 8, "PCM_16": 16, "PCM_24": 24, "PCM_32": 32, "FLOAT": 33}
BITS |= {"DOUBLE": 64, "ALAC_20": 20, "ALAC_24": 24, "ALAC_32": 32, "DWVW_24": 24}
# In bytes; the greatest lengths that samples take
BYTES = {"PCM_S8": 1, "PCM_U8": 1, "ULAW": 1, "ALAW": 1, "PCM_24": 3, "PCM_32": 4, "FLOAT": 4}
BYTES |= {"DOUBLE": 8}
# Whose sizes have more than 32 bits
UNBOUNDED = ("CAF", "FLAC", "MP3", "OGG", "RF64", "W64")
MOST_BYTES = 2**32 - 2**20  # with room for a header and for tags
# libsndfile, with what Vorbis cannot hold, ends the process by a segmentation fault.
MOST_OGG_RATE, MOST_OGG_CHANNELS = 200_000, 255
PROBE = 1001  # samples: an odd number, and not whole blocks

USUAL = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff")
USUAL_SUFFIXES = {"IRCAM": ".sf", "NIST": ".sph", "RF64": ".wav", "SVX": ".iff", "WAVEX": ".wav"}
# Containers of one suffix beside that which has its name
FAMILIES = {".wav": ("WAV", "WAVEX", "RF64"), ".snd": ("AU", "MPC2K")}
# Suffixes that say what is in the container, too
ONLY = {".opus": ("OPUS",), ".mp1": ("MPEG_LAYER_I",), ".mp2": ("MPEG_LAYER_II",)}
ONLY |= {".mp3": ("MPEG_LAYER_III",)}


class AudioInfo(NamedTuple):
    """What an audio file is.

    Arguments
    ---------
    frames : int
        Its length in samples.
    samplerate : int
        In Hz.
    channels : int
        How many it has.
    format, subtype : str
        The container and the sample type, as soundfile names them. What only PyAV reads has the
        container's name in FFmpeg, and the sample type that holds what comes out of it.
    notes : tuple of str
        What a user should know of how the file is read.

    Example
    -------
    >>> AudioInfo(16000, 16000, channels=1).duration
    1.0
    """

    frames: int
    samplerate: int
    channels: int
    format: str = "WAV"
    subtype: str = "PCM_16"
    notes: tuple[str, ...] = ()

    @property
    def duration(self) -> float:
        """In seconds."""
        return self.frames / self.samplerate


class Encoding(NamedTuple):
    """The container and the sample type of a file to be written, as soundfile names them."""

    format: str
    subtype: str


def encoding_for(path: str | Path, like: AudioInfo) -> Encoding | None:
    """The encoding of a file of a name, the nearest to another file's that can be written.

    Arguments
    ---------
    path : str or Path
        The file to be; its suffix decides on the container.
    like : AudioInfo
        The other file; its rate, channels and length must be kept.

    Returns
    -------
    Encoding or None
        The encoding; None if libsndfile writes no such file.

    Example
    -------
    >>> encoding_for("clean.wav", AudioInfo(16000, 44100, 2, "MP3", "MPEG_LAYER_III"))
    Encoding(format='WAV', subtype='PCM_16')
    >>> encoding_for("clean.wav", AudioInfo(2**32, 44100, 2, "WAV", "PCM_24"))
    Encoding(format='RF64', subtype='PCM_24')
    >>> encoding_for("clean.wve", AudioInfo(16000, 44100, 1)) is None
    True
    """
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        return None
    family = FAMILIES.get(suffix, (FORMATS[suffix],))
    container = like.format if like.format in family else family[0]
    for subtype in _nearest(like.subtype, container, suffix):
        size = like.frames * like.channels * BYTES.get(subtype, 2)
        large = size > MOST_BYTES and container not in UNBOUNDED
        if large and container not in FAMILIES[".wav"]:
            return None
        name = "RF64" if large else container
        if can_write(name, subtype, like.samplerate, like.channels):
            return Encoding(name, subtype)
    return None


def result_name(path: Path, like: AudioInfo) -> Path:
    """The name of a result where the program makes it: the input's, if it can be written so.

    Arguments
    ---------
    path : Path
        The name with the input's suffix.
    like : AudioInfo
        The input.

    Returns
    -------
    Path
        The same; with the suffix .flac where such a file cannot be written, or .wav where FLAC
        cannot hold it (floating point, more than 8 channels) either.

    Example
    -------
    >>> result_name(Path("call.m4a"), AudioInfo(16000, 44100, 2, "mov", "PCM_16"))
    PosixPath('call.flac')
    """
    if encoding_for(path, like):
        return path
    if path.suffix.lower() not in (*FORMATS, *MEDIA_SUFFIXES):
        named = path.with_name(path.name + suffix_of(like))
        if encoding_for(named, like):
            return named
        path = named
    is_float = like.subtype in ("FLOAT", "DOUBLE")
    flac = path.with_suffix(".flac")
    return flac if encoding_for(flac, like) and not is_float else path.with_suffix(".wav")


def suffix_of(info: AudioInfo) -> str:
    """The usual suffix of a file that has none.

    Example
    -------
    >>> suffix_of(AudioInfo(1, 16000, 6, "WAVEX")), suffix_of(AudioInfo(1, 16000, 1, "mov"))
    ('.wav', '.mov')
    """
    return USUAL_SUFFIXES.get(info.format, f".{info.format.lower()}")


def writable_suffixes(like: AudioInfo) -> list[str]:
    """The suffixes of files that can be written with another's rate and channels, usual ones first.

    Example
    -------
    >>> ".wav" in writable_suffixes(AudioInfo(1, 16000, 1)), ".wve" in writable_suffixes(
    ...     AudioInfo(1, 16000, 1)
    ... )
    (True, False)
    """
    suffixes = (*USUAL, *sorted(set(FORMATS) - set(USUAL)))
    return [suffix for suffix in suffixes if encoding_for(f"a{suffix}", like)]


@lru_cache(maxsize=1024)
def can_write(container: str, subtype: str, rate: int, channels: int) -> bool:
    """Whether libsndfile writes such a file so that it is read as it was: by trying.

    It does not where blocks or bytes are filled up, so that the length changes (ADPCM, GSM), or
    where the format knows other rates only (WVE, XI, HTK, Opus).

    Example
    -------
    >>> can_write("WAV", "PCM_24", 44100, 2), can_write("WAV", "IMA_ADPCM", 44100, 2)
    (True, False)
    """
    if container == "OGG" and (rate > MOST_OGG_RATE or channels > MOST_OGG_CHANNELS):
        return False
    # SD2 puts its header into a second file, and RAW nowhere.
    if container in ("RAW", "SD2") or not sf.check_format(container, subtype):
        return False
    file = io.BytesIO()
    try:
        sf.write(file, np.zeros((PROBE, channels), "float32"), rate, subtype, format=container)
        file.seek(0)
        info = sf.info(file)
    except (sf.SoundFileError, ValueError, TypeError):
        return False
    wanted = (PROBE, rate, channels, container, subtype)
    return (info.frames, info.samplerate, info.channels, info.format, info.subtype) == wanted


@cache
def _subtypes(container: str) -> list[str]:
    return list(sf.available_subtypes(container))


def _nearest(subtype: str, container: str, suffix: str) -> list[str]:
    """Sample types of a container, those first that keep what is in another."""
    if suffix in ONLY:
        return list(ONLY[suffix])
    there = _subtypes(container)
    bits = BITS.get(subtype, 16)
    deep_enough = [name for name in PCM if name in there and BITS[name] >= bits]
    others = [name for name in reversed(PCM) if name in there and BITS[name] < bits]
    default = sf.default_subtype(container)
    order = [subtype, *deep_enough, *others, *([default] if default else []), *there]
    return [name for name in dict.fromkeys(order) if name in there]
