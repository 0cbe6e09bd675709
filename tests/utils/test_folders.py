import os
import shutil

import pytest

from bloomnet_sb.data.corpus_files import find_audio
from bloomnet_sb.utils import folders
from bloomnet_sb.utils.audio_formats import MEDIA_SUFFIXES, READABLE_SUFFIXES
from bloomnet_sb.utils.folders import list_audio, summary_of


def names(folder, **options):
    listing = list_audio(folder, **options)
    files = [str(path.relative_to(folder)) for path in listing.files]
    return files, {str(item.path.relative_to(folder)): item.reason for item in listing.left_out}


@pytest.mark.parametrize("suffix", [*READABLE_SUFFIXES, *MEDIA_SUFFIXES, ".WAV", ".Aif"])
def test_every_format_that_can_be_read_is_taken(suffix, tmp_path):
    (tmp_path / f"a{suffix}").touch()
    assert names(tmp_path) == ([f"a{suffix}"], {})


@pytest.mark.parametrize("name", ["recording", "recording.dat", ".hidden", "a.wav.bak"])
def test_audio_of_any_name_is_taken(name, tmp_path, noisy_file):
    shutil.copy(noisy_file, tmp_path / name)
    assert names(tmp_path) == ([name], {})


def test_what_is_left_out_is_named(tmp_path, noisy_file, monkeypatch):
    (tmp_path / "deeper").mkdir()
    shutil.copy(noisy_file, tmp_path / "deeper" / "a.flac")
    for name in ("._a.wav", ".DS_Store", ".b.wav.12.partial", "notes.txt", "c.raw", "d.m4a"):
        (tmp_path / name).write_bytes(b"a few bytes")
    os.mkfifo(tmp_path / "pipe.wav")
    (tmp_path / "broken.wav").symlink_to("nothing")
    (tmp_path / "itself.wav").symlink_to("itself.wav")
    (tmp_path / "locked").mkdir()
    scandir = os.scandir

    def refused(path):
        if os.fspath(path).endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(folders.os, "scandir", refused)
    files, left_out = names(tmp_path, media=False)
    assert files == ["deeper/a.flac"]
    assert left_out == {
        "._a.wav": "a file of macOS's own",
        ".DS_Store": "a file of macOS's own",
        ".b.wav.12.partial": "unfinished",
        "notes.txt": "no audio",
        "c.raw": "samples without a header",
        "d.m4a": "to be converted to FLAC or WAV first",
        "pipe.wav": "a pipe or a device",
        "broken.wav": "a link to nothing",
        "itself.wav": "cannot be read (Too many levels of symbolic links)",
        "locked": "cannot be read (Permission denied)",
    }
    line = summary_of(list_audio(tmp_path).left_out)
    assert line.startswith("9 left out: ")
    assert "notes.txt (no audio)" in line


def test_links_are_followed_and_loops_end(tmp_path, noisy_file):
    (tmp_path / "elsewhere" / "speaker").mkdir(parents=True)
    shutil.copy(noisy_file, tmp_path / "elsewhere" / "speaker" / "a.flac")
    (tmp_path / "elsewhere" / "speaker" / "up").symlink_to(tmp_path / "elsewhere")
    root = tmp_path / "root"
    (root / "real").mkdir(parents=True)
    shutil.copy(noisy_file, root / "real" / "b.flac")
    (root / "c.flac").symlink_to(noisy_file)
    (root / "again").symlink_to("real")  # before "real" by its name, after it by the way
    (root / "linked").symlink_to(tmp_path / "elsewhere" / "speaker")
    (root / "loop").symlink_to(".")
    files, left_out = names(root)
    assert files == ["c.flac", "linked/a.flac", "real/b.flac"]
    # "up" is a folder of its own, and what is in it was taken already.
    taken = {place: reason.partition(" to ")[0] for place, reason in left_out.items()}
    assert set(taken) == {"again", "loop", "linked/up/speaker"}
    assert all("taken already" in reason for reason in left_out.values())


def test_a_linked_speaker_of_a_corpus_is_taken(tmp_path, noisy_file):
    (tmp_path / "elsewhere").mkdir()
    shutil.copy(noisy_file, tmp_path / "elsewhere" / "a.flac")
    (tmp_path / "corpus" / "train").mkdir(parents=True)
    (tmp_path / "corpus" / "train" / "speaker").symlink_to(tmp_path / "elsewhere")
    files = find_audio(tmp_path / "corpus", "train", "")
    assert [path.name for path in files] == ["a.flac"]


def test_many_left_out_make_one_line(tmp_path):
    for number in range(30):
        (tmp_path / f"{number:02}.txt").touch()
    (tmp_path / "zz.wav").symlink_to("nothing\nat all")
    line = summary_of(list_audio(tmp_path).left_out)
    assert line.startswith("31 left out: zz.wav (a link to nothing); 00.txt, ")
    assert line.endswith("21 more (no audio)")


def test_results_are_not_looked_into(tmp_path, noisy_file):
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
        shutil.copy(noisy_file, tmp_path / name / "a.flac")
    assert names(tmp_path, apart_from=tmp_path / "out") == (["in/a.flac"], {})
