import errno
import fcntl
import os

import pytest

from bloomnet_sb.utils.atomic_files import (
    folder_written_whole,
    lock_folder,
    made_and_locked,
    make_folder,
    written_whole,
)
from bloomnet_sb.utils.errors import InputError
from tests.helpers.forked import run_forked


def test_a_file_that_fails_half_way_leaves_the_old_one(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), written_whole(path) as partial:
        partial.write_text("half of the ne")
        print(1 / 0)
    assert path.read_text() == "old"
    with written_whole(path) as partial:
        partial.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("place", [".", "link", "new", "new/er"])
def test_a_folder_that_is_there_and_empty_stays_the_folder_it_is(tmp_path, monkeypatch, place):
    here = tmp_path / "here"
    here.mkdir()
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    monkeypatch.chdir(here / "real" if place == "." else here)
    is_there = os.path.exists(place)
    before = os.stat(place).st_ino if is_there else None
    with pytest.raises(ZeroDivisionError), folder_written_whole(place) as partial:
        (partial / "a").write_text("half")
        print(1 / 0)
    assert not os.path.exists(place) or not os.listdir(place)
    with folder_written_whole(place) as partial:
        (partial / "manifest.json").write_text("{}")
        (partial / "deeper").mkdir()
        (partial / "deeper" / "a").write_text("all")
    assert sorted(os.listdir(place)) == ["deeper", "manifest.json"]
    assert not is_there or os.stat(place).st_ino == before
    with pytest.raises(InputError), folder_written_whole(place):
        pass


def test_a_second_handle_of_a_process_does_not_let_go_the_lock(tmp_path):
    first = lock_folder(tmp_path)
    second = lock_folder(tmp_path)
    assert second is first
    del second
    result = run_forked(lock_folder, tmp_path)
    assert f"in use by process {os.getpid()}" in result.stderr
    first.close()
    lock_folder(tmp_path).close()


def test_a_file_system_without_locks_is_no_folder_in_use(tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "lockf", no_locks)
    with lock_folder(tmp_path):
        assert "No locks available" in caplog.text


@pytest.mark.parametrize(
    "made", [make_folder, made_and_locked, folder_written_whole, written_whole]
)
def test_a_folder_that_a_file_is_in_the_way_of_is_named_in_one_line(made, tmp_path):
    (tmp_path / "file").touch()
    folder = tmp_path / "file" / "below" / "folder"
    message = r"file/below/folder: .*\(Not a directory\)$"
    with pytest.raises(InputError, match=message), made(folder):
        pass
