import mutagen
import numpy as np
import pytest
import soundfile as sf
from mutagen.id3 import APIC, COMM, TALB, TIT2, TMOO, TPE1, TXXX

from bloomnet_sb.utils.audio_files import audio_info, writing

TAGS = {"title": ["A call"], "artist": ["Ann", "Bea"], "album": ["Calls"]}


def copied(source, target):
    """Write a file with what lies beside another's sound; its notes."""
    with writing(target, audio_info(source), 1, source=source) as write:
        write(np.zeros((1000, 1)))
    return write.notes


@pytest.fixture(params=["WAV", "AIFF"])
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
def test_id3_of_wav_and_aiff_has_the_names_that_players_read(with_id3, tmp_path, suffix):
    assert copied(with_id3, tmp_path / f"out{suffix}") == []
    tags = dict(mutagen.File(tmp_path / f"out{suffix}"))
    assert tags.pop("txxx:room") == ["5"]
    assert {name: tags[name] for name in tags if name != "encoder"} == {
        **TAGS,
        "mood": ["calm"],
        "comment": ["Loud"],
    }


def test_id3_of_wav_and_aiff_is_that_of_mp3(with_id3, tmp_path):
    file = mutagen.File(with_id3)
    file.tags.add(APIC(encoding=3, mime="image/png", type=3, data=b"picture"))
    file.save()
    assert copied(with_id3, tmp_path / "out.mp3") == []
    tags = mutagen.File(tmp_path / "out.mp3").tags
    assert {name: tags[name] for name in file.tags} == dict(file.tags)


def test_of_id3_caf_has_what_libsndfile_writes(with_id3, tmp_path):
    assert copied(with_id3, tmp_path / "out.caf") == ["not kept: mood, txxx:room"]
    with sf.SoundFile(tmp_path / "out.caf") as file:
        strings = file.copy_metadata()
    assert strings["title"] == "A call" and strings["artist"] == "Ann, Bea"
    assert strings["comment"] == "Loud"
