import base64

import mutagen
import numpy as np
import pytest
import soundfile as sf
from mutagen.apev2 import APEv2
from mutagen.id3 import APIC, COMM, PRIV, TALB, TIT2, TMOO, TPE1, TXXX
from mutagen.mp4 import MP4FreeForm

from bloomnet_sb.utils.audio_files import audio_info, writing
from bloomnet_sb.utils.media import has_pyav
from bloomnet_sb.utils.riff import chunks_of
from tests.helpers.recordings import media

# One pixel
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg=="
)
TAGS = {"title": ["A call"], "artist": ["Ann", "Bea"], "album": ["Calls"]}


def copied(source, target):
    """Write a file with what lies beside another's sound; its notes."""
    with writing(target, audio_info(source), 1, source=source) as write:
        write(np.zeros((1000, 1)))
    return write.notes


@pytest.fixture(params=["WAV", "AIFF", "MP3"])
def with_id3(request, tmp_path):
    path = tmp_path / f"in.{request.param.lower()}"
    sf.write(path, np.zeros(1000), 16000, format=request.param)
    file = mutagen.File(path)
    file.add_tags()
    texts = {TIT2: TAGS["title"], TPE1: TAGS["artist"], TALB: TAGS["album"], TMOO: ["calm"]}
    for frame in [
        *(kind(encoding=3, text=text) for kind, text in texts.items()),
        COMM(encoding=3, lang="eng", text=["Loud"]),
        TXXX(encoding=3, desc="room", text=["5"]),
    ]:
        file.tags.add(frame)
    file.save()
    return path


@pytest.mark.parametrize("suffix", [".flac", ".ogg"])
def test_id3_has_the_names_that_players_read(with_id3, tmp_path, suffix):
    assert copied(with_id3, tmp_path / f"out{suffix}") == []
    tags = dict(mutagen.File(tmp_path / f"out{suffix}"))
    assert tags.pop("txxx:room") == ["5"]
    assert {name: tags[name] for name in tags if name != "encoder"} == {
        **TAGS,
        "mood": ["calm"],
        "comment": ["Loud"],
    }


def test_a_tag_that_says_nothing_is_not_lost(tmp_path):
    source = tmp_path / "in.flac"
    sf.write(source, np.zeros(1000), 16000)
    file = mutagen.File(source)
    file["comment"] = [""]
    file.save()
    assert copied(source, tmp_path / "out.ogg") == []
    assert mutagen.File(tmp_path / "out.ogg")["comment"] == [""]


def test_id3_stays_as_it_is_in_mp3(with_id3, tmp_path):
    file = mutagen.File(with_id3)
    file.tags.add(APIC(encoding=3, mime="image/png", type=3, data=b"picture"))
    file.save()
    assert copied(with_id3, tmp_path / "out.mp3") == []
    tags = mutagen.File(tmp_path / "out.mp3").tags
    assert {name: tags[name] for name in file.tags} == dict(file.tags)


def test_frames_of_id3_that_are_no_texts_are_named(with_id3, tmp_path):
    file = mutagen.File(with_id3)
    file.tags.add(PRIV(owner="a player", data=b"\x00\xff"))
    file.save()
    assert copied(with_id3, tmp_path / "out.flac") == ["not kept: priv"]
    assert copied(with_id3, tmp_path / "out.mp3") == []


@pytest.mark.skipif(not has_pyav(), reason="needs PyAV")
def test_of_mp4_what_its_usual_names_leave_out_is_carried_over_or_named(tmp_path):
    source = tmp_path / "in.m4a"
    source.write_bytes(media("mp4", "aac", 48000, tags={"title": "A call", "composer": "Bea"})())
    file = mutagen.File(source)
    file["----:com.apple.iTunes:ROOM"] = [MP4FreeForm("f\u00fcnf".encode())]
    file["pgap"], file["\u00a9wrk"] = True, ["Opus 1"]
    file.save()
    assert copied(source, tmp_path / "out.flac") == ["not kept: pgap, \u00a9wrk"]
    tags = mutagen.File(tmp_path / "out.flac").tags
    assert tags["title"] == ["A call"] and tags["composer"] == ["Bea"]
    assert tags["room"] == ["f\u00fcnf"]


def test_of_id3_caf_has_what_libsndfile_writes(with_id3, tmp_path):
    assert copied(with_id3, tmp_path / "out.caf") == ["not kept: mood, txxx:room"]
    with sf.SoundFile(tmp_path / "out.caf") as file:
        strings = file.copy_metadata()
    assert strings["title"] == "A call" and strings["artist"] == "Ann, Bea"
    assert strings["comment"] == "Loud"


MEDIA = [("matroska", "pcm_s16le"), ("webm", "libopus"), ("mov", "aac"), ("wv", "wavpack")]


@pytest.mark.skipif(not has_pyav(), reason="needs PyAV")
@pytest.mark.parametrize(("container", "codec"), MEDIA)
def test_of_what_pyav_reads_tags_are_carried_over_or_named(container, codec, tmp_path):
    about = {"title": "A call", "artist": "Ann", "track": "3", "genre": "Speech", "date": "2024"}
    if container == "mov":
        del about["track"]  # which FFmpeg does not write there
    source = tmp_path / f"in.{container}"
    source.write_bytes(media(container, codec, 48000, tags=about)())
    for suffix in (".flac", ".wav"):
        assert copied(source, tmp_path / f"out{suffix}") == []
    expected = {{"track": "tracknumber"}.get(name, name): [text] for name, text in about.items()}
    tags = mutagen.File(tmp_path / "out.flac").tags
    assert {name: texts for name, texts in tags.as_dict().items() if name != "encoder"} == expected
    with sf.SoundFile(tmp_path / "out.wav") as file:
        assert file.title == "A call" and file.artist == "Ann"


@pytest.mark.skipif(not has_pyav(), reason="needs PyAV")
def test_tags_of_what_pyav_reads_for_which_there_is_no_place_are_named(tmp_path):
    source = tmp_path / "in.mka"
    source.write_bytes(media("matroska", "pcm_s16le", tags={"title": "A", "room": "5"})())
    assert copied(source, tmp_path / "out.wav") == ["not kept: room"]


@pytest.mark.skipif(not has_pyav(), reason="needs PyAV")
def test_the_cover_of_what_pyav_reads_is_named(tmp_path):
    (source := tmp_path / "in.mka").write_bytes(media("matroska", "pcm_s16le", cover=PNG)())
    (film := tmp_path / "film.mkv").write_bytes(media("matroska", "pcm_s16le", picture=True)())
    for suffix in (".flac", ".wav"):
        assert copied(source, tmp_path / f"out{suffix}") == ["not kept: the picture"]
        assert copied(film, tmp_path / f"film{suffix}") == []


@pytest.mark.parametrize(
    ("suffix", "lost"),
    [
        (".aiff", "album, composer, date, license, room"),
        (".wav", "composer, license, room"),
        (".caf", "composer, room"),
        (".mp3", ""),
    ],
)
def test_tags_that_libsndfile_does_not_write_are_named(tmp_path, suffix, lost):
    source = tmp_path / "in.flac"
    sf.write(source, np.zeros(1000), 16000)
    names = ("title", "artist", "comment", "album", "license", "composer", "room")
    file = mutagen.File(source)
    file.update({**{name: f"the {name}" for name in names}, "date": "2024"})
    file.save()
    assert copied(source, tmp_path / f"out{suffix}") == ([f"not kept: {lost}"] if lost else [])
    if suffix == ".mp3":
        assert copied(tmp_path / "out.mp3", tmp_path / "again.flac") == []
        tags = {
            name.removeprefix("txxx:"): text
            for name, text in mutagen.File(tmp_path / "again.flac").tags
        }
        assert tags.pop("date") == "2024"
        assert {name: tags[name] for name in names} == {name: f"the {name}" for name in names}


@pytest.mark.parametrize("with_frames", [False, True])
def test_ape_tags_of_mp3(tmp_path, with_frames):
    source = tmp_path / "in.mp3"
    sf.write(source, np.zeros(4000), 16000)
    ape = APEv2()
    ape.update({"Title": "A call", "Track": "3"})
    ape.save(source)
    if with_frames:
        file = mutagen.File(source)
        file.add_tags()
        file.tags.add(TPE1(encoding=3, text="Ann"))
        file.save()
    assert copied(source, tmp_path / "out.flac") == copied(source, tmp_path / "out.mp3") == []
    tags = mutagen.File(tmp_path / "out.flac")
    assert (tags["title"], tags["tracknumber"]) == (["A call"], ["3"])
    assert dict(APEv2(tmp_path / "out.mp3")) == dict(ape)
    if with_frames:
        assert tags["artist"] == ["Ann"] == mutagen.File(tmp_path / "out.mp3")["TPE1"].text


def test_two_kinds_of_tags_in_one_file(tmp_path):
    source = tmp_path / "in.wav"
    with sf.SoundFile(source, "w", 16000, 1) as file:
        file.title, file.artist = "What RIFF says", "Ann"
        file.write(np.zeros(1000))
    file = mutagen.File(source)
    file.add_tags()
    file.tags.add(TIT2(encoding=3, text="What ID3 says"))
    file.save()
    assert copied(source, tmp_path / "out.flac") == []
    tags = mutagen.File(tmp_path / "out.flac")
    assert (tags["title"], tags["artist"]) == (["What ID3 says"], ["Ann"])


def test_chunks_of_any_name_are_named_and_sums_of_the_samples_stay_behind(tmp_path):
    source = tmp_path / "in.wav"
    sf.write(source, np.zeros(1000), 16000)
    chunks = b"".join(name + b"\4\0\0\0abcd" for name in (b"cart", b"_PMX", b"MD5 "))
    data = source.read_bytes() + chunks
    source.write_bytes(data[:4] + (len(data) - 8).to_bytes(4, "little") + data[8:])
    assert copied(source, tmp_path / "out.flac") == ["not kept: _PMX, cart"]
    assert copied(source, tmp_path / "out.wav") == []
    names = [chunk.name for chunk in chunks_of(tmp_path / "out.wav")]
    assert names == [b"fmt ", b"data", b"cart", b"_PMX"]


@pytest.mark.skipif(not has_pyav(), reason="needs PyAV")
@pytest.mark.parametrize("container", ["ipod", "matroska"])
def test_chapters_are_named(tmp_path, container):
    (source := tmp_path / "in").write_bytes(media(container, "aac", chapters=True)())
    assert copied(source, tmp_path / "out.flac") == ["not kept: the chapters"]


def test_chapters_that_are_tags_are_carried_over_as_tags(tmp_path):
    source = tmp_path / "in.flac"
    sf.write(source, np.zeros(1000), 16000)
    file = mutagen.File(source)
    file.update({"CHAPTER001": "00:00:00.000", "CHAPTER001NAME": "One"})
    file.save()
    assert copied(source, tmp_path / "out.ogg") == []
    assert mutagen.File(tmp_path / "out.ogg")["chapter001name"] == ["One"]
