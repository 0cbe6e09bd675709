import base64

import mutagen
import numpy as np
import pytest
import soundfile as sf
from mutagen.id3 import APIC, COMM, PRIV, TALB, TIT2, TMOO, TPE1, TXXX
from mutagen.mp4 import MP4FreeForm

from bloomnet_sb.utils.audio_files import audio_info, writing
from bloomnet_sb.utils.media import has_pyav
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
