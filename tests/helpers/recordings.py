"""A folder of recordings of every kind that users have, with what is to become of each.

    python -m tests.helpers.recordings FOLDER

The kinds are those of which users of such programs report faults: containers, sample types, names,
lengths, headers, several files in one, what lies beside the sound, and what is no recording.
"""

import io
import os
import struct
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import mutagen
import numpy as np
import soundfile as sf

from tests.helpers.recipes import SAMPLES

SECONDS = 0.4
NAME_OF_BYTES = os.fsdecode(b"caf\xe9.wav")


class Case(NamedTuple):
    """A recording.

    Arguments
    ---------
    kind : str
        What is particular about it.
    name : str
        Of its file, below the folder.
    content : callable
        Makes the bytes of the file.
    result : str, optional
        The name of the result, where it is not the same; "" where there is none.
    said : str
        What the report says of it.
    repeats : int
        How often the sound comes in it.
    tolerance : float
        How far the sound may be from what it was made of, as a share of its power.
    gain : float
        That of the sound in it.
    """

    kind: str
    name: str
    content: Callable[[], bytes]
    result: str | None = None
    said: str = ""
    repeats: int = 1
    tolerance: float = 1e-3
    gain: float = 1.0


def sound(rate: int = 16000, channels: int = 1) -> np.ndarray:
    """Noisy speech [time, channels], float32; the same at each call."""
    samples, _ = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32", start=8000)
    times = np.arange(round(SECONDS * rate)) * 16000 / rate
    mono = np.interp(times, np.arange(len(samples)), samples).astype(np.float32)
    return np.stack([0.9**number * mono for number in range(channels)], axis=1)


def audio(container: str, subtype: str | None = None, rate: int = 16000, channels: int = 1):
    """What makes the bytes of a file that libsndfile writes."""

    def content(gain: float = 1.0) -> bytes:
        file = io.BytesIO()
        sf.write(file, gain * sound(rate, channels), rate, subtype, format=container)
        return file.getvalue()

    return content


def media(
    container: str,
    codec: str,
    rate: int = 16000,
    tracks: int = 1,
    picture: bool = False,
    tags: dict[str, str] | None = None,
    cover: bytes = b"",
    chapters: bool = False,
    options: dict[str, str] | None = None,
    repeats: int = 1,
):
    """What makes the bytes of a file that PyAV writes, of a video for one."""

    def content() -> bytes:
        import av

        file = io.BytesIO()
        with av.open(file, "w", format=container, options=options or {}) as out:
            out.metadata.update(tags or {})
            if chapters:
                times = {"start": 0, "end": 100, "time_base": Fraction(1, 1000)}
                out.set_chapters([{"id": 0, "metadata": {"title": "One"}, **times}])
            streams = [out.add_stream(codec, rate=rate, layout="mono") for _ in range(tracks)]
            if cover:
                out.add_attachment("cover.png", "image/png", cover)
            if picture:
                video = out.add_stream("mpeg4", rate=25, width=32, height=32, pix_fmt="yuv420p")
                image = av.VideoFrame(32, 32, "yuv420p")
                image.pts = 0
                out.mux([*video.encode(image), *video.encode(None)])
            for stream in streams:
                samples = np.tile(sound(rate).T, repeats)
                frame = av.AudioFrame.from_ndarray(samples, "fltp", "mono")
                frame.sample_rate, frame.pts = rate, 0
                form = stream.codec_context.format
                resampler = av.AudioResampler(form, "mono", rate)
                for part in [*resampler.resample(frame), None]:
                    out.mux(stream.encode(part))
        return file.getvalue()

    return content


def joined(*contents: Callable[[], bytes]):
    """What makes several files in one."""
    return lambda: b"".join(content() for content in contents)


def cut(content: Callable[[], bytes], share: float):
    """What makes the beginning of a file."""
    return lambda: (data := content())[: int(share * len(data))]


def sizes(riff: int, data: int):
    """What makes a WAV file with other sizes in its header than its own."""

    def content() -> bytes:
        file = bytearray(audio("WAV")())
        file[4:8], file[40:44] = struct.pack("<I", riff), struct.pack("<I", data)
        return bytes(file)

    return content


def with_chunks(content: Callable[[], bytes], **chunks: bytes):
    """What makes a WAV file with something beside its sound."""

    def extended() -> bytes:
        file = content()
        for name, data in chunks.items():
            file += name.ljust(4).encode() + struct.pack("<I", len(data)) + data
        return file[:4] + struct.pack("<I", len(file) - 8) + file[8:]

    return extended


def with_mask(mask: int):
    """What makes a WAV file of six channels for the loudspeakers that a mask names."""

    def content() -> bytes:
        file = bytearray(audio("WAVEX", channels=6)())
        file[40:44] = struct.pack("<I", mask)
        return bytes(file)

    return content


def with_tags(content: Callable[[], bytes], **tags: str):
    """What makes a file with tags."""

    def tagged() -> bytes:
        file = io.BytesIO(content())
        about = mutagen.File(file, easy=True)
        if about.tags is None:
            about.add_tags()
        about.update(tags)
        file.seek(0)
        about.save(file)
        return file.getvalue()

    return tagged


def samples(values: list[float], rate: int = 16000, subtype: str = "FLOAT"):
    """What makes a WAV file of a few numbers."""

    def content() -> bytes:
        file = io.BytesIO()
        sf.write(file, np.array(values, np.float32), rate, subtype, format="WAV")
        return file.getvalue()

    return content


LOSSY = 0.3
CUE = struct.pack("<IIIIIII", 1, 1, 800, 0x61746164, 0, 0, 800)
BEXT = b"an interview".ljust(602, b"\0")

CASES = [
    # Containers
    Case("container", "a.wav", audio("WAV")),
    Case("container", "a.flac", audio("FLAC")),
    Case("container", "a.aif", audio("AIFF")),
    Case("container", "a.aiff", audio("AIFF", "PCM_24")),
    Case("container", "a.snd", audio("AU")),
    Case("container", "a.au", audio("AU", "FLOAT")),
    Case("container", "a.caf", audio("CAF")),
    Case("container", "a.w64", audio("W64")),
    Case("container", "a.rf64", audio("RF64")),
    Case("container", "a.sph", audio("NIST")),
    Case("container", "a.voc", audio("VOC")),
    Case("container", "a.ogg", audio("OGG", "VORBIS"), tolerance=LOSSY),
    Case("container", "a.oga", audio("OGG", "VORBIS"), tolerance=LOSSY),
    Case("container", "a.opus", audio("OGG", "OPUS"), tolerance=LOSSY),
    Case("container", "a.mp3", audio("MP3"), tolerance=LOSSY),
    Case("container", "b.mp3", audio("MP3", rate=44100, channels=2), tolerance=LOSSY),
    Case("a format of one rate", "a.wve", audio("WVE", rate=8000), tolerance=LOSSY),
    Case("a format of one rate", "a.xi", audio("XI", rate=44100), tolerance=LOSSY),
    # Sample types
    Case("sample type", "24.wav", audio("WAV", "PCM_24")),
    Case("sample type", "32.wav", audio("WAV", "PCM_32")),
    Case("sample type", "8.wav", audio("WAV", "PCM_U8"), tolerance=LOSSY),
    Case("sample type", "law.wav", audio("WAV", "ULAW"), tolerance=LOSSY),
    Case("sample type", "double.wav", audio("WAV", "DOUBLE")),
    Case("blocks", "adpcm.wav", audio("WAV", "IMA_ADPCM"), said="IMA_ADPCM", tolerance=LOSSY),
    Case("blocks", "gsm.wav", audio("WAV", "GSM610", 8000), said="GSM610", tolerance=1.0),
    Case("beyond full scale", "loud.wav", lambda: audio("WAV", "FLOAT")(20.0), gain=20.0),
    # Rates and channels
    Case("rate", "8k.wav", audio("WAV", rate=8000), tolerance=LOSSY),
    Case("rate", "11k.wav", audio("WAV", rate=11025), tolerance=LOSSY),
    Case("rate", "44k.wav", audio("WAV", rate=44100), tolerance=LOSSY),
    Case("rate", "48k.flac", audio("FLAC", rate=48000, channels=2), tolerance=LOSSY),
    Case("rate", "96k.wav", audio("WAV", rate=96000), tolerance=LOSSY),
    Case("rate", "odd.wav", audio("WAV", rate=15991), tolerance=LOSSY),
    Case("rate", "odder.wav", samples([0.1] * 99, 767_999), "", "too little in common"),
    Case("rate", "slow.wav", samples([0.1] * 99, 1), "", "its rate is 1 Hz"),
    Case("channels", "six.wav", with_mask(0x60F)),
    Case("channels", "nine.wav", audio("WAV", channels=9)),
    # Names
    Case("name", "Ünïcödé 录音 🎙.wav", audio("WAV")),
    Case("name", "two\nlines.wav", audio("WAV")),
    Case("name", NAME_OF_BYTES, audio("WAV")),
    Case("name", "-n.wav", audio("WAV")),
    Case("name", "%d {0} $(x) [1]*.wav", audio("WAV")),
    Case("name", "UPPER.WAV", audio("WAV")),
    Case("name", ".hidden.wav", audio("WAV")),
    Case("name", f"{'long' * 62}.wav", audio("WAV")),
    Case("no suffix", "recording", audio("WAV"), result="recording.wav"),
    Case("no suffix", "take.1", audio("FLAC"), result="take.1.flac"),
    Case("another suffix", "really_flac.wav", audio("FLAC")),
    Case("another suffix", "really_wav.mp3", audio("WAV"), tolerance=LOSSY),
    # Lengths and headers
    Case("length", "none.wav", samples([]), "", "without samples"),
    Case("length", "empty.wav", lambda: b"", "", "not a readable audio file"),
    Case("dead recorder", "zero.wav", sizes(0, 0)),
    Case("dead recorder", "data_zero.wav", sizes(36, 0)),
    Case("dead recorder", "streamed.wav", sizes(0xFFFFFFFF, 0xFFFFFFFF)),
    Case("dead recorder", "sox.wav", sizes(0x7FFFF024, 0x7FFFF000)),
    Case("cut", "cut.wav", sizes(10**6, 10**6), said="cut short"),
    Case("cut", "cut.flac", cut(audio("FLAC"), 0.5), "", "cut.flac: "),
    Case("cut", "cut.mp3", cut(audio("MP3"), 0.5), "", "broken"),
    Case("cut", "header.wav", cut(audio("WAV"), 0.002), "", "not a readable audio file"),
    Case("no audio inside", "text.flac", lambda: b"not audio", "", "not a readable audio file"),
    Case("NaN", "nan.wav", samples([0.0, np.nan]), "", "holds NaN"),
    # Several in one
    Case("joined", "chained.ogg", joined(*2 * [audio("OGG", "VORBIS")]), None, "", 2, LOSSY),
    Case("joined", "chained.opus", joined(*2 * [audio("OGG", "OPUS")]), None, "", 2, LOSSY),
    Case("joined", "joined.mp3", joined(*3 * [audio("MP3")]), None, "", 3, LOSSY),
    Case("joined", "joined.flac", joined(*2 * [audio("FLAC")]), None, "", 2),
    Case(
        "joined", "mixed.ogg", joined(audio("OGG"), audio("OGG", rate=8000)), "", "joined of files"
    ),
    # Beside the sound
    Case("beside", "cues.wav", with_chunks(audio("WAV"), cue=CUE, bext=BEXT, iXML=b"<BWF/>")),
    Case("beside", "tags.flac", with_tags(audio("FLAC"), title="A call", artist="Ann")),
    Case("beside", "tags.mp3", with_tags(audio("MP3"), title="A call"), tolerance=LOSSY),
    Case("beside", "tags.ogg", with_tags(audio("OGG"), title="A call"), tolerance=LOSSY),
]  # fmt: skip

MEDIA = [
    Case("media", "call.m4a", media("ipod", "aac"), "call.m4a.flac", "", 1, LOSSY),
    Case("media", "call.mp4", media("mp4", "aac"), "call.mp4.flac", "", 1, LOSSY),
    Case("media", "lossless.m4a", media("ipod", "alac"), "lossless.flac"),
    Case("media", "film.mp4", media("mp4", "aac", picture=True), "film.flac", "", 1, LOSSY),
    Case("media", "meeting.webm", media("webm", "libopus", 48000), "meeting.flac", "", 1, LOSSY),
    Case("media", "float.mka", media("matroska", "pcm_f32le"), "float.wav"),
    Case(
        "media", "two.mka", media("matroska", "pcm_s16le", tracks=2), "two.flac", "2 sound tracks"
    ),
    Case("cut", "cut.m4a", cut(media("ipod", "aac"), 0.5), "", "not a readable audio file"),
]

LEFT_OUT = {
    "._a.wav": "a file of macOS's own",
    ".DS_Store": "a file of macOS's own",
    "notes.txt": "no audio",
    "samples.raw": "samples without a header",
    "gone.wav": "a link to nothing",
    "pipe.wav": "a pipe or a device",
    "loop": "which is taken already",
}


def make_recordings(folder: Path, cases: list[Case]) -> None:
    """Write the cases, what is to be left out, and a linked folder, into a new folder."""
    (folder / "deeper").mkdir(parents=True)
    for case in cases:
        Path(folder / case.name).write_bytes(case.content())
    for name in ("._a.wav", ".DS_Store", "notes.txt", "samples.raw"):
        (folder / name).write_bytes(b"a few bytes")
    (folder / "gone.wav").symlink_to("nothing.wav")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe.wav")
    elsewhere = folder.with_name(f"{folder.name}_elsewhere")
    elsewhere.mkdir()
    (elsewhere / "linked.wav").write_bytes(audio("WAV")())
    (folder / "deeper" / "speaker").symlink_to(elsewhere)


if __name__ == "__main__":
    make_recordings(Path(sys.argv[1]), CASES + MEDIA)
