"""Corpora through the command: what comes in as files, lists and shards comes out once."""

import errno
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
import soundfile as sf

from bloomnet_sb.corpus import parts
from bloomnet_sb.inference import workers
from bloomnet_sb.utils import audio_files
from bloomnet_sb.utils.atomic_files import lock_folder
from bloomnet_sb.utils.errors import InputError
from tests.helpers.command import invoked
from tests.helpers.corpora import check_audio, contents


def write_shard(path, files, **texts):
    """A WebDataset shard of files, each with a text beside it."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w") as tar:
        for file in files:
            tar.add(file, f"train/{file.stem}.flac")
            text = texts.get(file.stem, f"what {file.stem} says").encode()
            info = tarfile.TarInfo(f"train/{file.stem}.txt")
            info.size = len(text)
            tar.addfile(info, io.BytesIO(text))
    return path


@pytest.fixture
def shards(here):
    """Two shards of the recordings."""
    files = sorted(here.glob("in/**/*.flac"))
    write_shard(here / "shards" / "a.tar", files[:3])
    write_shard(here / "shards" / "b.tar", files[3:])
    shutil.rmtree(here / "in")
    return here / "shards"


def entries(folder, name="report.jsonl"):
    lines = map(json.loads, (Path(folder) / name).read_text().splitlines())
    return [line for line in lines if "input" in line]


def test_a_list(here, source, alone):
    paths = [*sorted(here.glob("in/**/*.flac"))]
    lines = [json.dumps({"audio_filepath": str(path.relative_to(here))}) for path in paths]
    (here / "nemo.json").write_text("\n".join(lines))
    result = invoked("enhance", "nemo.json", "out", "--source", source)
    assert result.exit_code == 1, result.output
    assert "4 files enhanced, 0 had been before, 1 could not be" in result.output
    assert "hours of audio per core-hour" in result.output
    written = {path.relative_to(here / "out").as_posix() for path in here.glob("out/**/*.flac")}
    assert written == {"0.flac", "2.flac", "deeper/1.flac", "deeper/3.flac"}
    check_audio((here / "out" / "deeper" / "1.flac").read_bytes(), alone["1"])
    page = (here / "out" / "report.html").read_text()
    assert "in/broken.flac: not a readable audio file" in page


def test_files_into_shards_and_on_after_a_file_was_added(here, source, alone):
    run = ("enhance", "in", "out", "--to-shards", "--source", source)
    assert "4 files enhanced, 0 had been" in invoked(*run).output
    packed = contents(here / "out" / "enhanced-000000.tar")
    ids = {key[:9]: json.loads(data)["id"] for key, data in packed.items() if "json" in key}
    assert sorted(ids.values()) == ["0.flac", "2.flac", "deeper/1.flac", "deeper/3.flac"]
    for key, name in ids.items():
        check_audio(packed[f"{key}.flac"], alone[Path(name).stem])
    assert not list((here / "out").glob(".*work"))
    assert "0 files enhanced, 4 had been" in invoked(*run).output
    shutil.copy(here / "in" / "0.flac", here / "in" / "4.flac")
    assert "5 files enhanced, 0 had been" in invoked(*run).output
    assert len(entries("out")) == 6


@pytest.mark.parametrize("to_shards", [True, False])
def test_shards(here, alone, shards, source, to_shards):
    run = ("enhance", "shards", "out", "--source", source, *["--to-shards"] * to_shards)
    result = invoked(*run)
    assert "4 files enhanced, 0 had been before, 1 could not be" in result.output
    if to_shards:
        packed = contents(here / "out" / "a.tar") | contents(here / "out" / "b.tar")
        assert packed["train/1.txt"] == b"what 1 says"
        assert "train/broken.txt" not in packed
        found = {name: packed[f"train/{name}.flac"] for name in alone}
    else:
        found = {path.stem: path.read_bytes() for path in here.glob("out/[ab]/train/*.flac")}
    assert found.keys() == alone.keys()
    for name, data in found.items():
        check_audio(data, alone[name])
    by_input = {entry["input"]: entry["error"] for entry in entries("out")}
    assert by_input.keys() == {
        *(f"shards/a.tar/train/{n}.flac" for n in ("0", "2", "broken")),
        *(f"shards/b.tar/train/{n}.flac" for n in ("1", "3")),
    }
    assert "tar/train/broken.flac: not a readable" in by_input["shards/a.tar/train/broken.flac"]
    assert "0 files enhanced, 4 had been" in invoked(*run).output
    assert len(entries("out")) == 5


# Which pathlib raises an error of, as of what is below a folder that may not be searched
LONG = "long" * 75


class Killed(BaseException):
    """As a kill would: nothing of the program runs after it."""


@pytest.mark.parametrize("moment", ["in the first file", "in the third", "packed", "noted"])
@pytest.mark.parametrize("to_shards", [True, False])
def test_after_a_kill_every_file_is_there_once(
    here, shards, source, monkeypatch, to_shards, moment
):
    run = ("enhance", "shards", "whole", "--source", source, *["--to-shards"] * to_shards)
    invoked(*run)
    run = (*run[:2], "out", *run[3:])
    calls, enhance = [], workers._enhance

    def killed(*arguments):
        raise Killed

    def counted(*arguments):
        calls.append(arguments[1])
        if (moment, len(calls)) in (("in the first file", 1), ("in the third", 3)):
            raise Killed
        return enhance(*arguments)

    monkeypatch.setattr(workers, "_enhance", counted)
    if moment == "packed":
        monkeypatch.setattr(parts, "_renamed", killed)  # the shard is there, its lines are not
    if moment == "noted":
        monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises((Killed, AssertionError)):
        invoked(*run)
    monkeypatch.undo()
    monkeypatch.setattr(workers, "_enhance", counted)
    again, moment, calls[:] = moment != "in the first file", "", []
    monkeypatch.chdir(here)
    invoked(*run)
    assert not again or len(calls) < 5  # what was enhanced is not again
    for path in (here / "whole").rglob("*.*a?"):
        assert (here / "out" / path.relative_to(here / "whole")).read_bytes() == path.read_bytes()
    assert sorted(entry["input"] for entry in entries("out")) == sorted(
        entry["input"] for entry in entries("whole")
    )
    assert not list((here / "out").glob(".*work"))


def test_a_shard_that_is_cut_does_not_stop_the_others(here, shards, source):
    data = (shards / "a.tar").read_bytes()
    (shards / "a.tar").write_bytes(data[: len(data) // 2 + 100])
    result = invoked("enhance", "shards", "out", "--to-shards", "--source", source)
    assert "2 files enhanced" in result.output
    assert "error: shards/a.tar: not a readable shard" in result.stderr
    assert not (here / "out" / "a.tar").exists()


@pytest.mark.parametrize("to_shards", [True, False])
def test_a_shard_with_results_that_the_disk_had_no_room_for_is_done_again(
    here, shards, source, monkeypatch, to_shards
):
    run = ("enhance", "shards", "out", "--source", source, *["--to-shards"] * to_shards)
    check = audio_files._check_written

    def full(partial, frames):
        if "0.flac" in partial.name:
            raise OSError(errno.ENOSPC, "No space left on device")
        check(partial, frames)

    monkeypatch.setattr(audio_files, "_check_written", full)
    assert "(No space left on device)" in invoked(*run).stderr
    monkeypatch.setattr(audio_files, "_check_written", check)
    assert "2 files enhanced, 2 had been before, 1 could not be" in invoked(*run).output
    assert "0 files enhanced, 4 had been" in invoked(*run).output


def test_after_a_kill_and_a_shard_that_is_cut_its_results_are_known(
    here, shards, source, monkeypatch
):
    run = ("enhance", "shards", "out", "--source", source)
    enhance, calls = workers._enhance, []

    def killed(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise Killed
        return enhance(*arguments)

    monkeypatch.setattr(workers, "_enhance", killed)
    with pytest.raises((Killed, AssertionError)):
        invoked(*run)
    monkeypatch.setattr(workers, "_enhance", enhance)
    whole = (shards / "a.tar").read_bytes()
    (shards / "a.tar").write_bytes(whole[:1000])
    assert "a.tar: not a readable shard" in invoked(*run).stderr
    (shards / "a.tar").write_bytes(whole)
    assert "2 files enhanced, 2 had been before, 1 could not be" in invoked(*run).output
    assert not list((here / "out").glob(".*work"))


def test_results_that_could_not_be_packed_are_packed_later(here, source, monkeypatch):
    pack, enhance, calls = parts._pack, workers._enhance, []

    def refused(part, *_):
        raise InputError(f"{part.output}: cannot be written (Input/output error)")

    run = ("enhance", "in", "out", "--to-shards", "--source", source)
    monkeypatch.setattr(parts, "_pack", refused)
    assert "(Input/output error)" in invoked(*run).stderr
    monkeypatch.setattr(parts, "_pack", pack)
    monkeypatch.setattr(workers, "_enhance", lambda *what: calls.append(1) or enhance(*what))
    assert "4 files enhanced, 0 had been before, 1 could not be" in invoked(*run).output
    assert len(calls) == 1  # that which is no audio
    assert not list((here / "out").glob(".*work"))


def test_shards_behind_a_link_are_found(here, shards, source):
    (here / "all").mkdir()
    (here / "all" / "linked").symlink_to(shards)
    assert "4 files enhanced" in invoked("enhance", "all", "out", "--source", source).output


def test_shards_that_are_there_are_not_overwritten(here, shards, source):
    (here / "out").mkdir()
    (here / "out" / "a.tar").write_bytes(b"another's")
    run = ("enhance", "shards", "out", "--to-shards", "--source", source)
    for _ in range(2):  # what was refused is not taken for a result of the run that refused it
        assert "out/a.tar: is there already" in invoked(*run).stderr
        assert (here / "out" / "a.tar").read_bytes() == b"another's"
    assert "2 files enhanced, 2 had been" in invoked(*run, "--force").output


def test_in_the_folder_of_a_shard_files_are_not_overwritten(here, shards, source):
    theirs = here / "out" / "a" / "train" / "0.flac"
    theirs.parent.mkdir(parents=True)
    theirs.write_bytes(b"another's")
    run = ("enhance", "shards", "out", "--source", source)
    for blocks in (1, 1, 2):  # those of a run before are
        result = invoked(*run, "--blocks", blocks)
        assert result.stderr.count("is there already") == 1
        assert theirs.read_bytes() == b"another's"
    assert "1 files enhanced" not in invoked(*run, "--blocks", 2).output
    forced = invoked(*run, "--blocks", 2, "--force")
    assert "is there already" not in forced.stderr
    assert sf.info(theirs).frames == 9000


@pytest.mark.parametrize("options", [(), ("--to-shards",)])
def test_the_same_folders_by_another_path(here, source, options):
    run = ("--source", source, *options)
    invoked("enhance", "in", "out", *run)
    absolute = ("enhance", here / "in", here / "out", *run)
    assert "0 files enhanced, 4 had been before, 1 could not be" in invoked(*absolute).output
    shutil.copy(here / "in" / "0.flac", here / "in" / "2.flac")
    result = invoked(*absolute)
    assert "is there already" not in result.stderr
    assert len((here / "out" / "report.csv").read_text().splitlines()) == 6


@pytest.mark.parametrize("to_shards", [True, False])
def test_a_shard_that_was_damaged_and_mended_is_done_again(here, shards, source, to_shards):
    run = ("enhance", "shards", "out", "--source", source, *["--to-shards"] * to_shards)
    invoked(*run)
    whole = (shards / "b.tar").read_bytes()
    (shards / "b.tar").write_bytes(whole[:1000])
    for _ in range(2):
        result = invoked(*run)
        assert "2 had been" in result.output and "b.tar: not a readable shard" in result.stderr
    (shards / "b.tar").write_bytes(whole)
    assert "2 files enhanced, 2 had been before, 1 could not be" in invoked(*run).output
    assert len(entries("out")) == 5


def test_the_report_keeps_what_another_run_made(here, shards, source):
    run = ("out", "--to-shards", "--source", source)
    for shard in ("a.tar", "b.tar"):
        invoked("enhance", shards / shard, *run)
    assert "0 files enhanced, 4 had been before" in invoked("enhance", "shards", *run).output


def test_shares_and_their_joined_report(here, source):
    run = ("enhance", "in", "out", "--source", source)
    for number in (1, 3):
        invoked(*run, "--shard", f"{number}/3")
    result = invoked("report", "out")
    assert result.exit_code == 1
    assert "shard 2/3: no report" in result.stderr
    invoked(*run, "--shard", "2/3")
    result = invoked("report", "out")
    assert "4 files enhanced, 1 could not be" in result.stdout
    assert "error: shard" not in result.stderr
    written = {path.relative_to(here / "out").as_posix() for path in here.glob("out/**/*.flac")}
    assert written == {"0.flac", "2.flac", "deeper/1.flac", "deeper/3.flac"}
    with open(here / "out" / "report-1-of-3.jsonl", "a") as report:
        report.write('{"begun": "out/lost.flac"}\n')
    assert "shard 1/3: not finished, 1 results are missing" in invoked("report", "out").stderr


def in_use(folder, name):
    raise InputError(f"{folder}, {name}: in use by process 1; wait, or take another")


def test_two_runs_of_one_share_are_refused(here, source, monkeypatch):
    """Of two shares not: each has a lock of its own."""
    monkeypatch.setattr("bloomnet_sb.inference.many_files.lock_folder", in_use)
    result = invoked("enhance", "in", "out", "--source", source, "--shard", "1/2")
    assert result.exit_code == 2
    assert "out, report-1-of-2.jsonl: in use by process 1" in result.stderr
    with lock_folder(here, "report-1-of-2.jsonl"), lock_folder(here, "report-2-of-2.jsonl"):
        assert {path.name for path in here.glob(".lock*")} == {
            ".lock-report-1-of-2.jsonl",
            ".lock-report-2-of-2.jsonl",
        }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["in", "a.tar", "out"], "shards are not taken together with files"),
        (["in", "out", "--shard", "0/2"], "shard is '0/2'"),
        (["in", "out.wav", "--shard", "1/2"], "is the name of one file"),
        (["in", "out", "--shard-mb", "0"], "shard_mb is 0"),
        (["nothing.csv", "out"], "nothing.csv: No such file"),
        (["in", LONG], "cannot be written (File name too long)"),
    ],
)
def test_what_is_refused(here, source, arguments, message):
    result = invoked("enhance", *arguments, "--source", source)
    assert result.exit_code == 2
    assert message in result.stderr


def test_an_input_that_cannot_be_asked_for_does_not_stop_the_others(here, source):
    result = invoked("enhance", LONG, "in", "out", "--source", source)
    assert "4 files enhanced, 0 had been before, 2 could not be" in result.output
    assert f"error: {LONG}: cannot be read" in result.stderr
