import mutagen
import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.utils.audio_files import audio_info, read_pieces, writing
from bloomnet_sb.utils.audio_formats import AudioInfo, encoding_for, result_name, suffix_of
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.mpeg import frame_of
from bloomnet_sb.utils.recordings import recording

LENGTH = 2385  # no whole number of any format's blocks
# libsndfile reads DWVW not by parts, and writes no layers I and II, RAW and SD2 not into one
# file
KINDS = [
    (container, subtype)
    for container in sf.available_formats()
    for subtype in sf.available_subtypes(container)
    if container not in ("RAW", "SD2") and subtype not in ("MPEG_LAYER_I", "MPEG_LAYER_II")
    if not subtype.startswith("DWVW") and (container, subtype) != ("WAV", "MPEG_LAYER_III")
]


@pytest.mark.parametrize("rate", [16000, 44100])
def test_mp3_without_a_tag_goes_on_behind_tags_and_damage(rate, tmp_path):
    sf.write(tmp_path / "a.mp3", np.random.default_rng(0).uniform(-0.1, 0.1, rate), rate)
    data = (tmp_path / "a.mp3").read_bytes()
    first = frame_of(data[:4])
    bare = data[first.size :]
    places = [0]  # of its frames
    while frame := frame_of(bare[places[-1] : places[-1] + 4]):
        places.append(places[-1] + frame.size)
    half, frames = places[len(places) // 2], len(places) - 1
    id3v1, id3v2 = b"TAG".ljust(128, b"\0"), b"ID3\3\0\0\0\0\1\0" + b"\xff\xfb\x90\x64" * 32
    for content, expected, runs in (
        (bare, frames, 1),
        (bare + id3v1 + id3v2 + bare + id3v1, 2 * frames, 2),
        (bare[:half] + bytes(4) + bare[half + 4 :], frames - 1, 2),
    ):
        (tmp_path / "b.mp3").write_bytes(content)
        found = recording(tmp_path / "b.mp3")
        delay = 529  # of the decoder, which libsndfile takes from each run
        assert found.info.frames == expected * first.samples - runs * delay
        assert sum(map(len, found.blocks(rate))) == found.info.frames


@pytest.mark.parametrize("rate", [8000, 44100])
@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_whatever_can_be_read_has_a_result(container, subtype, rate, tmp_path):
    path = tmp_path / "in"
    try:
        sf.write(path, np.zeros(LENGTH), rate, subtype, format=container)
    except sf.SoundFileError:
        pytest.skip("the format has no such rate")
    info = audio_info(path)
    output = result_name(tmp_path / f"out{suffix_of(info)}", info)
    with writing(output, info, 1, source=path) as write:
        for piece in read_pieces(path):
            write(piece)
    result = audio_info(output)
    assert (result.frames, result.samplerate) == (info.frames, info.samplerate)
    kept = (result.format, result.subtype) == (container, subtype)
    assert kept or write.notes or result.format in ("FLAC", "WAV")


@pytest.mark.parametrize(
    ("like", "name", "expected"),
    [
        (("WAV", "FLOAT"), "a.flac", ("FLAC", "PCM_24")),
        (("MP3", "MPEG_LAYER_III"), "a.wav", ("WAV", "PCM_16")),
        (("OGG", "VORBIS"), "a.flac", ("FLAC", "PCM_16")),
        (("OGG", "OPUS"), "a.oga", ("OGG", "OPUS")),
        (("OGG", "VORBIS"), "a.opus", ("OGG", "OPUS")),
        (("WAV", "PCM_24"), "a.AIF", ("AIFF", "PCM_24")),
        (("WAV", "ALAW"), "a.snd", ("AU", "ALAW")),
        (("WAVEX", "PCM_24"), "a.wav", ("WAVEX", "PCM_24")),
        (("WAVEX", "PCM_24"), "a.flac", ("FLAC", "PCM_24")),
        (("CAF", "ALAC_24"), "a.wav", ("WAV", "PCM_24")),
        (("mov", "PCM_16"), "a.mp3", ("MP3", "MPEG_LAYER_III")),
    ],
)
def test_the_nearest_encoding_is_taken(like, name, expected):
    assert encoding_for(name, AudioInfo(1000, 48000, 1, *like)) == expected


@pytest.mark.parametrize(
    ("like", "expected"),
    [
        (AudioInfo(9, 44100, 2, "mov", "PCM_16"), "a.flac"),
        (AudioInfo(9, 44100, 2, "matroska", "FLOAT"), "a.wav"),
        (AudioInfo(9, 44100, 9, "mov", "PCM_16"), "a.wav"),
    ],
)
def test_what_cannot_be_written_back_becomes_flac_or_wav(like, expected, tmp_path):
    assert result_name(tmp_path / "a.mka", like) == tmp_path / expected


@pytest.mark.parametrize(
    ("name", "clipped"),
    [("a.wav", True), ("a.flac", True), ("a.aiff", True), ("a.mp3", False), ("a.ogg", False)],
)
def test_clipping_is_counted(name, clipped, tmp_path):
    like = AudioInfo(1000, 16000, 1, "WAV", "PCM_16")
    with writing(tmp_path / name, like, 1) as write:
        write(np.linspace(0, 1.1, 1000)[:, None])
    assert write.notes == (
        ["91 samples beyond full scale are clipped; a float .wav holds them"] if clipped else []
    )


def test_a_float_file_is_not_clipped(tmp_path):
    with writing(tmp_path / "a.wav", AudioInfo(2, 16000, 1, "WAV", "FLOAT"), 1) as write:
        write(np.array([[3.5], [-2.5]]))
    assert sf.read(tmp_path / "a.wav")[0].tolist() == [3.5, -2.5]
    assert not write.notes


# Sparse files: they take no room.
LARGE = 5 * 2**29  # samples of 16 bits: 5 GiB
DECLARED = {"modulo": 2 * LARGE % 2**32, "streamed": 2**32 - 1, "died": 0, "sox": 0x7FFFF000}


def tail_of(path):
    """The last samples that are read of a file."""
    (part,) = recording(path).parts
    from bloomnet_sb.utils.joined import View

    with (
        View(path, part.start, part.stop, part.head) as view,
        sf.SoundFile(view) as file,
    ):
        file.seek(file.frames - 100)
        return file.read(100)


@pytest.mark.parametrize("declared", DECLARED.values(), ids=DECLARED)
def test_a_wav_file_beyond_4_gib_is_read_to_its_end(declared, tmp_path):
    path = tmp_path / "a.wav"
    sf.write(path, np.zeros(10), 16000)
    header = path.read_bytes()[:40] + declared.to_bytes(4, "little")
    with open(path, "wb") as file:
        file.write(header)
        file.seek(44 + 2 * LARGE - 200)
        file.write(np.full(100, 2**14, "<i2").tobytes())
    info = audio_info(path)
    assert (info.frames, info.samplerate, info.format) == (LARGE, 16000, "WAV")
    assert tail_of(path).tolist() == [0.5] * 100


@pytest.mark.parametrize(
    ("name", "container"), [("a.wav", "RF64"), ("a.w64", "W64"), ("a.caf", "CAF")]
)
def test_a_file_beyond_4_gib_is_written_to_its_end(name, container, tmp_path):
    path = tmp_path / name
    with writing(path, AudioInfo(LARGE, 16000, 1), 1) as write:
        write(np.full((100, 1), 0.5))
        write._file.seek(LARGE - 100)
        write(np.full((100, 1), 0.5))
    info = audio_info(path)
    assert (info.frames, info.format) == (LARGE, container)
    assert tail_of(path).tolist() == [0.5] * 100
    assert bool(write.notes) == (container == "RF64")


@pytest.mark.parametrize("name", ["a.aiff", "a.voc", "a.sph"])
def test_what_ends_at_4_gib_is_refused_before(name, tmp_path):
    with (
        pytest.raises(InputError, match=f"cannot write .{name[2:]} of .* but one of .wav"),
        writing(tmp_path / name, AudioInfo(LARGE, 16000, 1), 1),
    ):
        pass
    assert not list(tmp_path.iterdir())
    assert result_name(tmp_path / name, AudioInfo(LARGE, 16000, 1)).suffix == ".flac"


@pytest.mark.parametrize("after", [b"", b"TAG".ljust(128, b"\0")], ids=["bare", "ID3v1"])
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (44100, 1), (22050, 2), (16000, 1)])
def test_mp3_that_does_not_say_its_length(rate, channels, after, tmp_path):
    path = tmp_path / "a.mp3"
    samples = 0.1 * np.random.default_rng(0).standard_normal((2 * rate, channels))
    sf.write(path, samples, rate)
    whole = path.read_bytes()
    expected = sf.read(path, always_2d=True)[0]
    path.write_bytes(whole[frame_of(whole[:4]).size :] + after)  # without the tag, as some are
    read = np.concatenate(list(read_pieces(path)))
    assert len(read) == audio_info(path).frames >= len(expected)
    # The encoder's delay is not known without the tag.
    delays = range(len(read) - len(expected) + 1)
    errors = [np.square(read[d : d + 4000] - expected[:4000]).mean() for d in delays]
    assert min(errors) < 1e-6


@pytest.mark.parametrize("suffix", [".flac", ".mp3", ".ogg", ".opus"])
@pytest.mark.parametrize("to", [".flac", ".mp3", ".ogg", ".wav", ".aiff"])
def test_tags_go_from_format_to_format(suffix, to, tmp_path):
    path, output = tmp_path / f"in{suffix}", tmp_path / f"out{to}"
    container = "OGG" if suffix == ".opus" else suffix[1:].upper()
    sf.write(path, np.zeros(48000), 48000, "OPUS" if suffix == ".opus" else None, format=container)
    tags = mutagen.File(path, easy=True)
    if tags.tags is None:
        tags.add_tags()
    tags["title"], tags["artist"] = "Hörprobe", "Ann"
    tags.save()
    with writing(output, audio_info(path), 1, source=path) as write:
        write(np.zeros((48000, 1)))
    assert not write.notes
    if to in (".wav", ".aiff"):
        with sf.SoundFile(output) as file:
            assert (file.title, file.artist) == ("Hörprobe", "Ann")
    else:
        kept = mutagen.File(output, easy=True)
        assert (kept["title"], kept["artist"]) == (["Hörprobe"], ["Ann"])


def test_what_is_not_kept_is_named(tmp_path):
    sf.write(tmp_path / "in.wav", np.zeros((100, 6)), 16000, format="WAVEX")
    data = (tmp_path / "in.wav").read_bytes()
    chunks = b"bext" + (4).to_bytes(4, "little") + b"abcd" + b"cue " + (4).to_bytes(4, "little")
    (tmp_path / "in.wav").write_bytes(data + chunks + bytes(4))
    with writing(tmp_path / "a.flac", audio_info(tmp_path / "in.wav"), 6, tmp_path / "in.wav") as w:
        w(np.zeros((100, 6)))
    assert w.notes == ["not kept: bext, cue points, the speaker mask"]
