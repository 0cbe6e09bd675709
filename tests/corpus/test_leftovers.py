import pytest

from bloomnet_sb.corpus import parts, stored
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.stores import Store, is_address
from tests.helpers.command import invoked, write_network
from tests.helpers.corpora import five_recordings


@pytest.mark.parametrize("output", ["out", "memory://packed-anew"])
def test_of_files_packed_into_fewer_shards_than_before_none_is_in_two(
    tmp_path, monkeypatch, output
):
    """Whatever stopped the run between; and what is another's stays."""
    five_recordings(tmp_path / "in")  # one of them is none
    monkeypatch.chdir(tmp_path)
    run = ("enhance", "in", output, "--to-shards", "--source", write_network(tmp_path / "network"))
    store = Store(output)
    with pytest.MonkeyPatch.context() as patch:
        for module in (parts, stored):
            patch.setattr(module, "groups_of_size", one_by_one)
        invoked(*run)
    store.write(theirs := "enhanced-000009.tar", b"another's")
    before = shards(store)
    assert len(before) == 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "_pack", refused)
        invoked(*run)
    assert shards(store) == before
    for counts in ("4 files enhanced, 0 had been", "0 files enhanced, 4 had been"):
        assert counts in invoked(*run).output
        assert shards(store) == {"enhanced-000000.tar", theirs}
        assert "4 files enhanced, 1 could not be" in invoked("report", output).output
    assert store.read(theirs) == b"another's"


@pytest.mark.parametrize("output", ["out", "memory://seen-from-elsewhere"])
@pytest.mark.parametrize("options", [(), ("--to-shards",)])
def test_a_run_before_from_another_working_folder_is_known(tmp_path, monkeypatch, output, options):
    five_recordings(tmp_path / "in")  # one of them is none
    options = ("--source", write_network(tmp_path / "network"), *options)
    monkeypatch.chdir(tmp_path)
    invoked("enhance", "in", output, *options)
    monkeypatch.chdir(tmp_path / "in")
    output = output if is_address(output) else f"../{output}"
    for _ in range(2):
        result = invoked("enhance", "../in", output, *options)
        assert "0 files enhanced, 4 had been before, 1 could not be" in result.output
        assert "is there already" not in result.stderr


def one_by_one(sized, *_):
    return [[item] for item, _ in sized]


def shards(store):
    return {name for name in store.files() if name.endswith(".tar")}


def refused(part, *_):
    raise InputError(f"{part.output}: cannot be written (Input/output error)")
