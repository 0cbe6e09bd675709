import pytest

from bloomnet_sb.corpus import parts
from bloomnet_sb.utils.errors import InputError
from tests.helpers.command import invoked, write_network
from tests.helpers.corpora import five_recordings


def test_of_files_packed_into_fewer_shards_than_before_none_is_in_two(tmp_path, monkeypatch):
    """Whatever stopped the run between; and what is another's stays."""
    five_recordings(tmp_path / "in")  # one of them is none
    monkeypatch.chdir(tmp_path)
    run = ("enhance", "in", "out", "--to-shards", "--source", write_network(tmp_path / "network"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "groups_of_size", lambda sized, _: ([item] for item, _ in sized))
        invoked(*run)
    theirs = tmp_path / "out" / "enhanced-000009.tar"
    theirs.write_bytes(b"another's")
    before = shards(tmp_path)
    assert len(before) == 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_pack", refused)
        invoked(*run)
    assert shards(tmp_path) == before
    for counts in ("4 files enhanced, 0 had been", "0 files enhanced, 4 had been"):
        assert counts in invoked(*run).output
        assert shards(tmp_path) == {"enhanced-000000.tar", theirs.name}
        assert "4 files enhanced, 1 could not be" in invoked("report", "out").output
    assert theirs.read_bytes() == b"another's"


def shards(folder):
    return {path.name for path in folder.glob("out/*.tar")}


def refused(part, *_):
    raise InputError(f"{part.output}: cannot be written (Input/output error)")
