"""What is in a shard: links, names that lead elsewhere, and the members of a sample."""

import io
import tarfile

import pytest
import soundfile as sf

from tests.helpers.command import invoked
from tests.helpers.corpora import check_audio, contents


@pytest.mark.parametrize("name", ["./0001", "\u00e9" * 60, "a" * 90 + "/" + "b" * 90])
def test_the_members_of_a_sample_keep_one_key(here, source, name):
    """Also where the result has another suffix, and a header of its own the name."""
    samples, _ = sf.read(here / "in" / "0.flac")
    sf.write(here / "0.opus", samples, 11025, format="WAV")  # no rate of Opus
    (here / "0.json").write_text("{}")
    with tarfile.open(here / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
        for suffix in ("opus", "json"):
            tar.add(here / f"0.{suffix}", f"{name}.{suffix}")
    invoked("enhance", "a.tar", "out", "--to-shards", "--source", source)
    packed = list(contents(here / "out" / "a.tar"))
    assert packed == [f"{name}.flac", f"{name}.json"]


def test_recordings_that_tar_stores_as_links_are_recordings(here, alone, source):
    """As GNU tar does it with files of several names."""
    with tarfile.open(here / "a.tar", "w") as tar:
        tar.add(here / "in" / "0.flac", "./x/0.flac")
        for name, kind, target in (
            ("./x/1.flac", tarfile.LNKTYPE, "./x/0.flac"),
            ("./x/2.flac", tarfile.SYMTYPE, "0.flac"),
            ("./x/2.txt", tarfile.SYMTYPE, "../of_all"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, target
            tar.addfile(info)
        info = tarfile.TarInfo("./of_all")
        info.size = 4
        tar.addfile(info, io.BytesIO(b"text"))
    for options, folder in (((), "out"), (("--to-shards",), "packed")):
        result = invoked("enhance", "a.tar", folder, "--source", source, *options)
        assert "3 files enhanced" in result.output
    packed = contents(here / "packed" / "a.tar")
    assert packed["./x/2.txt"] == b"text"
    for name in ("0", "1", "2"):
        check_audio(packed[f"./x/{name}.flac"], alone["0"])
        check_audio((here / "out" / "a" / "x" / f"{name}.flac").read_bytes(), alone["0"])


@pytest.mark.parametrize("target", ["1.flac", "0.flac", "x"])
def test_a_recording_that_is_a_link_to_no_file_is_named(here, source, target):
    with tarfile.open(here / "a.tar", "w") as tar:
        tar.add(here / "in", "x", recursive=False)
        info = tarfile.TarInfo("0.flac")
        info.type, info.linkname = tarfile.SYMTYPE, target
        tar.addfile(info)
    result = invoked("enhance", "a.tar", "out", "--source", source)
    assert f"a.tar: not a readable shard (0.flac is a link to {target}" in result.stderr


def test_an_absolute_name_stays_in_the_folder(here, alone, source):
    with tarfile.open(here / "a.tar", "w") as tar:
        info = tar.gettarinfo(here / "in" / "0.flac")
        info.name = str(here / "elsewhere" / "0.flac")
        with open(here / "in" / "0.flac", "rb") as content:
            tar.addfile(info, content)
    assert "1 files enhanced" in invoked("enhance", "a.tar", "out", "--source", source).output
    assert not (here / "elsewhere").exists()
    (result,) = (here / "out" / "a").rglob("*.flac")
    check_audio(result.read_bytes(), alone["0"])


def test_a_name_that_leads_out_of_the_folder_is_refused(here, source):
    with tarfile.open(here / "a.tar", "w") as tar:
        tar.add(here / "in" / "0.flac", "../../../0.flac")
    result = invoked("enhance", "a.tar", "out", "--source", source)
    assert "error: a.tar: not a readable shard" in result.stderr
    assert not (here.parent / "0.flac").exists()
