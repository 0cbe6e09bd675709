"""Shares of a corpus, for as many runs side by side: which files each has, and its report."""

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from bloomnet_sb.inference.report import REPORT
from bloomnet_sb.utils.errors import InputError

NAME = re.compile(r"report-(\d+)-of-(\d+)\.jsonl")


@dataclass(frozen=True, order=True)
class Share:
    """One of several shares of a corpus.

    Arguments
    ---------
    number, count : int
        Which, counted from 1, and of how many.

    Example
    -------
    >>> Share(3, 64).report
    'report-3-of-64.jsonl'
    """

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def report(self) -> str:
        """The name of its report."""
        return f"report-{self.number}-of-{self.count}.jsonl"

    @property
    def packed(self) -> str:
        """What the names of shards begin with that its files are packed into."""
        return "enhanced" if self == WHOLE else f"enhanced-{self.number}-of-{self.count}"

    def of(self, files: Iterable[tuple[Path, Path]]) -> list[tuple[Path, Path]]:
        """The files of this share, of (file, place of its folder).

        By a sum of place and name without suffix: the shares are about as large where files are
        many, a file that is added moves no other, and two whose results could have one name are in
        one share.
        """
        return [
            (path, place)
            for path, place in files
            if _sum(place / path.stem) % self.count == self.number - 1
        ]


# Where there is one run only
WHOLE = Share(1, 1)


def parse_share(text: str) -> Share:
    """A share, as "3/64" names it.

    Arguments
    ---------
    text : str
        Its number, counted from 1, and how many there are; "" for all in one.

    Returns
    -------
    Share
        The share.

    Raises
    ------
    InputError
        If it is none.

    Example
    -------
    >>> parse_share("3/64")
    Share(number=3, count=64)
    >>> parse_share("0/64")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: shard is '0/64', but must be a number from 1 on and ...
    """
    if not text:
        return WHOLE
    found = re.fullmatch(r"([0-9]+)/([0-9]+)", text)
    share = Share(*map(int, found.groups())) if found else Share(0, 0)
    if not 1 <= share.number <= share.count:
        raise InputError(
            f"shard is {text!r}, but must be a number from 1 on and how many there are, as 3/64"
        )
    return share


def report_name(share: Share) -> str:
    """The name of a run's report: report.jsonl where there is one run only.

    Example
    -------
    >>> report_name(WHOLE), report_name(Share(1, 2))
    ('report.jsonl', 'report-1-of-2.jsonl')
    """
    return REPORT if share == WHOLE else share.report


def shares_in(folder: Path) -> list[Share]:
    """The shares whose reports are in a folder.

    Raises
    ------
    InputError
        If they are of several divisions.

    Example
    -------
    >>> shares_in(Path("tests/samples"))
    []
    """
    found = (NAME.fullmatch(path.name) for path in folder.glob("report-*.jsonl"))
    shares = sorted(Share(*map(int, name.groups())) for name in found if name)
    counts = sorted({share.count for share in shares})
    if len(counts) > 1:
        raise InputError(
            f"{folder}: reports of {' and of '.join(map(str, counts))} shards; remove those of one"
        )
    return shares


def _sum(name: Path) -> int:
    return zlib.crc32(name.as_posix().encode(errors="surrogateescape"))
