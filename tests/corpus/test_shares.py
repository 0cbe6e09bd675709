from pathlib import Path

import pytest

from bloomnet_sb.corpus.shares import WHOLE, Share, parse_share
from bloomnet_sb.utils.errors import InputError

FILES = [(Path(f"in/{n}/{n}.wav"), Path(str(n % 7))) for n in range(600)]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/4/2", "1.0/2", "²/4"])
def test_what_is_no_share(text):
    with pytest.raises(InputError, match="must be a number from 1 on"):
        parse_share(text)


def test_every_file_is_in_one_share_and_they_are_about_as_large():
    shares = [parse_share(f"{n}/3").of(FILES) for n in (1, 2, 3)]
    assert sorted(file for share in shares for file in share) == sorted(FILES)
    assert all(150 < len(share) < 250 for share in shares)
    assert WHOLE.of(FILES) == FILES


def test_a_file_more_moves_no_other():
    share = Share(2, 3)
    assert share.of(FILES)[: len(share.of(FILES[:300]))] == share.of(FILES[:300])


def test_files_that_differ_in_their_suffix_are_in_one_share():
    """Their results may have one name, which only their own run knows."""
    pair = [(Path("in/call.m4a"), Path(".")), (Path("in/call.flac"), Path("."))]
    assert {len(Share(n, 5).of(pair)) for n in range(1, 6)} == {0, 2}
