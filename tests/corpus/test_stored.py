"""Corpora in stores, by fsspec's store in memory: what comes out is what comes out of a folder."""

import json
import sys
import tarfile
from pathlib import Path

import fsspec
import pytest

from bloomnet_sb.corpus import stored_run
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.stores import Store
from tests.helpers.command import invoked
from tests.helpers.corpora import five_recordings


@pytest.fixture
def here(tmp_path, monkeypatch):
    """in/ with recordings, one of them none, and the same in a store; where the commands run."""
    five_recordings(tmp_path / "in")
    (tmp_path / "in" / "notes.txt").write_text("no audio")
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    copy(tmp_path / "in", "memory://bucket/in")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stored_run, "PIECE_SECONDS", 0.0)
    yield tmp_path
    memory.store.clear()


def copy(folder, address):
    for path in folder.rglob("*"):
        if path.is_file():
            Store(address).put(path, path.relative_to(folder).as_posix())


def held(address):
    """What every file of a folder holds, in a store or not; the reports apart."""
    store = Store(str(address))
    names = [name for name in store.files() if not name.startswith((".lock", "report."))]
    return {name: store.read(name) for name in names}


def entries(address):
    lines = map(json.loads, Store(str(address)).read("report.jsonl").splitlines())
    found = [line for line in lines if "input" in line]
    for line in found:
        line["input"] = line["input"].rpartition("/in/")[2].removeprefix("in/")
        line["error"] = line["error"] and line["error"].rpartition("in/")[2]
        for name in ("state", "core_seconds", "output", "part"):
            line.pop(name, None)
    return sorted(found, key=lambda line: line["input"])


def enhance(*arguments, source):
    result = invoked("enhance", *arguments, "--source", source)
    assert result.exit_code in (0, 1), result.stderr
    return result.output


@pytest.mark.parametrize("options", [(), ("--to-shards",)])
@pytest.mark.parametrize(
    ("inputs", "output"),
    [
        ("memory://bucket/in", "memory://bucket/out"),
        ("memory://bucket/in", "out"),
        ("in", "memory://bucket/out"),
        ("in", "file"),
    ],
)
def test_files(here, source, inputs, output, options):
    output = f"file://{here}/out" if output == "file" else output
    enhance("in", "alone", *options, source=source)
    run = (inputs, output, *options)
    assert "4 files enhanced, 0 had been before, 1 could not be" in enhance(*run, source=source)
    assert held(output) == held("alone")
    assert entries(output) == entries("alone")
    assert {"report.csv", "report.html", "report.jsonl"} <= Store(output).files().keys()
    assert not [name for name in Store(output).files() if "jsonl." in name or "partial" in name]
    assert "0 files enhanced, 4 had been before" in enhance(*run, source=source)
    assert entries(output) == entries("alone")


@pytest.mark.parametrize("to_shards", [False, True])
def test_shards(here, source, to_shards):
    (here / "shards").mkdir()
    for name, pattern in (("a", "*.flac"), ("b", "deeper/*.flac")):
        with tarfile.open(here / "shards" / f"{name}.tar", "w") as tar:
            for file in sorted((here / "in").glob(pattern)):
                tar.add(file, f"in/{file.name}")
    copy(here / "shards", "memory://bucket/shards")
    options = ["--to-shards"] * to_shards
    enhance("shards", "alone", *options, source=source)
    run = ("memory://bucket/shards", "memory://bucket/out", *options)
    assert "4 files enhanced, 0 had been before, 1 could not be" in enhance(*run, source=source)
    assert held("memory://bucket/out") == held("alone")
    assert entries("memory://bucket/out") == entries("alone")
    assert "0 files enhanced, 4 had been before" in enhance(*run, source=source)


def test_a_list_that_names_addresses(here, source):
    lines = ["memory://bucket/in/0.flac", str(here / "in" / "2.flac"), "memory://bucket/in/x.wav"]
    (here / "list.jsonl").write_text("\n".join(json.dumps({"path": path}) for path in lines))
    assert "2 files enhanced" in enhance("list.jsonl", "out", source=source)
    assert {Path(name).name for name in held("out")} == {"0.flac", "2.flac"}


class Killed(BaseException):
    """As a kill would: nothing of the program runs after it."""


def test_after_a_kill_what_was_put_is_not_done_again(here, source, monkeypatch):
    monkeypatch.setattr("bloomnet_sb.corpus.stored.GROUP_FILES", 1)
    add, added = stored_run._Report.add, []

    def killed(self, new):
        if len(added) == 4:
            raise Killed
        added.append(new)
        add(self, new)

    run = ("memory://bucket/in", "memory://bucket/out")
    monkeypatch.setattr(stored_run._Report, "add", killed)
    with pytest.raises((Killed, AssertionError)):
        invoked("enhance", *run, "--source", source)
    monkeypatch.setattr(stored_run._Report, "add", add)
    monkeypatch.setattr(stored_run, "PIECE_SECONDS", 1e9)
    output = enhance(*run, source=source)
    kept = sum(line["error"] is None for new in added for line in new)
    assert kept > 0
    assert f"{4 - kept} files enhanced, {kept} had been before, 1 could not be" in output
    enhance("in", "alone", source=source)
    assert held("memory://bucket/out") == held("alone")
    assert entries("memory://bucket/out") == entries("alone")


def test_what_is_there_is_not_overwritten(here, source):
    Store("memory://bucket/out").write("0.flac", b"another's")
    run = ("memory://bucket/in", "memory://bucket/out")
    assert "3 files enhanced" in enhance(*run, source=source)
    assert "0 files enhanced, 3 had been" in enhance(*run, source=source)
    assert Store("memory://bucket/out").read("0.flac") == b"another's"
    assert "1 files enhanced, 3 had been" in enhance(*run, "--force", source=source)


@pytest.mark.parametrize("name", ["shard.tar", "shard/in/0.flac"])
def test_what_is_there_of_a_shard_is_not_overwritten(here, source, name):
    with tarfile.open(here / "shard.tar", "w") as tar:
        for number in ("0", "2"):
            tar.add(here / "in" / f"{number}.flac", f"in/{number}.flac")
    out = Store("memory://bucket/out")
    out.write(name, b"another's")
    run = ("shard.tar", "memory://bucket/out", *["--to-shards"] * name.endswith("tar"))
    for blocks in (1, 1, 2):
        assert "1 could not be" in enhance(*run, "--blocks", blocks, source=source)
        assert out.read(name) == b"another's"
    assert ", 0 could not be" in enhance(*run, "--blocks", 2, "--force", source=source)
    assert out.read(name) != b"another's"


def test_a_report_of_another_program_is_not_overwritten(here, source):
    Store("memory://bucket/out").write("report.jsonl", b"another's")
    result = invoked("enhance", "in", "memory://bucket/out", "--source", source)
    assert "memory://bucket/out/report.jsonl: is there already, and no report" in result.stderr
    assert Store("memory://bucket/out").read("report.jsonl") == b"another's"


def test_the_same_folders_by_another_path(here, source):
    (here / "list.jsonl").write_text('{"path": "memory://bucket/in/0.flac"}\n{"path": "in/2.flac"}')
    enhance("list.jsonl", "out", source=source)
    output = enhance("list.jsonl", here / "out", source=source)
    assert "0 files enhanced, 2 had been before, 0 could not be" in output


def test_shares_are_joined_in_the_store(here, source):
    for number in (1, 2):
        enhance("in", "memory://out", "--shard", f"{number}/2", source=source)
    result = invoked("report", "memory://out")
    assert "4 files enhanced, 1 could not be" in result.stdout
    assert "error: shard" not in result.stderr


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nowhere://bucket", "nowhere://bucket: Protocol not known: nowhere"),
        ("memory://bucket/none", "memory://bucket/none: "),
        ("gs://bucket", "gs://bucket: Please install gcsfs to access Google Storage"),
    ],
)
def test_what_cannot_be_read(here, source, address, message, monkeypatch):
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    result = invoked("enhance", address, "out", "--source", source)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"error: {message}")
    assert not (here / "out").exists()


@pytest.mark.parametrize("options", [(), ("--force",), ("--to-shards",)])
@pytest.mark.parametrize("output", ["memory://bucket/in", "memory:///bucket/in/"])
def test_the_folder_of_the_files_is_none_for_the_results(here, source, output, options):
    before = held("memory://bucket/in")
    result = invoked("enhance", "memory://bucket/in", output, *options, "--source", source)
    assert result.exit_code == 2
    assert "bucket/in: where the files are; name another folder" in result.stderr
    assert Store("memory://bucket/in").files().keys() == before.keys()


def test_results_over_inputs_or_each_other_are_refused(here, source):
    (here / "list.jsonl").write_text('{"path": "in/0.flac"}')
    (here / "shards").mkdir()
    with tarfile.open(here / "shards" / "a.tar", "w") as tar:
        tar.add(here / "in" / "0.flac", "0.flac")
    copy(here / "in", "memory://bucket/other")
    (here / "link").symlink_to("in")
    shard = "shards/a.tar"
    for arguments, message in (
        (["memory://bucket/in/0.flac", "memory:///bucket/in"], "in/0.flac: is an input; its"),
        (
            ["list.jsonl", "memory://bucket/in/2.flac", f"file://{here}/link"],
            "link/0.flac: is an input",
        ),
        ([f"file://{here}/{shard}", "shards", "--to-shards"], f"{shard}: is an input"),
        (
            ["memory://bucket/in", "memory://bucket/other", "memory://out"],
            "memory://out/0.flac: would be the result of both memory://bucket/in/0.flac and "
            "memory://bucket/other/0.flac",
        ),
    ):
        result = invoked("enhance", *arguments, "--force", "--source", source)
        assert (result.exit_code, message in result.stderr) == (2, True), result.stderr
    assert Store("memory://out").files() == {}
    assert held("memory://bucket/in") == held("in")


@pytest.mark.parametrize("output", ["memory://bucket/in/out/", "memory:///bucket/in/out"])
def test_results_below_the_inputs_are_no_inputs(here, source, output):
    run = ("memory://bucket/in", output)
    assert "4 files enhanced, 0 had been" in enhance(*run, source=source)
    assert "0 files enhanced, 4 had been" in enhance(*run, source=source)
    assert not [name for name in held("memory://bucket/in") if name.startswith("out/out")]


def test_a_folder_that_cannot_be_made_is_said(here, source):
    output = "long" * 75
    result = invoked("enhance", "memory://bucket/in", output, "--source", source)
    assert result.stderr == f"error: {output}: cannot be written (File name too long)\n"


def test_files_into_shards_are_fetched_again_where_that_failed(here, source, monkeypatch):
    (here / "list.jsonl").write_text(
        "".join(f'{{"path": "memory://bucket/in/{n}.flac"}}\n' for n in (0, 2, "nowhere"))
    )
    run = ("list.jsonl", "memory://bucket/out", "--to-shards")
    fetch = Store.fetch

    def failing(self, local, name=""):
        if self.address.endswith("/0.flac"):
            raise InputError(f"{self.address}: timed out")
        fetch(self, local, name)

    monkeypatch.setattr(Store, "fetch", failing)
    assert "1 files enhanced" in enhance(*run, source=source)
    monkeypatch.setattr(Store, "fetch", fetch)
    assert "2 files enhanced, 0 had been before, 1 could" in enhance(*run, source=source)
    assert "0 files enhanced, 2 had been before, 1 could" in enhance(*run, source=source)


def test_a_store_that_does_not_say_how_large_files_are(here, source, monkeypatch):
    """As a web server that sends in chunks."""
    memory = type(fsspec.filesystem("memory"))
    info = memory.info
    monkeypatch.setattr(
        memory, "info", lambda *given, **named: {**info(*given, **named), "size": None}
    )
    (here / "list.csv").write_text("path\nmemory://bucket/in/0.flac\nmemory://bucket/in/2.flac\n")
    assert "2 files enhanced, 0 had been" in enhance("list.csv", "out", source=source)
    assert "0 files enhanced, 2 had been" in enhance("list.csv", "out", source=source)
