import pytest

from bloomnet_sb.files import written_whole


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
