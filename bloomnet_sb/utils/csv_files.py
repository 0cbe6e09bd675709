"""Reading the CSV files that users write, as spreadsheets save them."""

import codecs
import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from bloomnet_sb.utils.errors import InputError

DELIMITERS = ",;\t"
# What a file in them begins with; that of UTF-16 begins that of UTF-32, which comes first.
MARKS = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


def read_csv(
    path: str | Path, needed: Sequence[str], known: Sequence[str] = ()
) -> Iterator[tuple[int, dict[str, str]]]:
    """Read a CSV file with a line of column names.

    The encoding is UTF-8, or what a byte order mark says; commas, semicolons or tabs divide the
    columns. Between tabs a line is a row, whatever quotes it has: corpora have sentences there that
    begin with one. Empty lines are left out.

    Arguments
    ---------
    path : str or Path
        The file.
    needed : sequence of str
        The columns that it must have.
    known : sequence of str
        Those that it may have. Others are left out.

    Yields
    ------
    (int, dict)
        The number of a line, and what it says: column to text, for each column of `needed` and
        `known`; "" for what is not said.

    Raises
    ------
    InputError
        Naming the file, and the line where there is one: for what is in another encoding, no CSV,
        or lacks a column.

    Example
    -------
    >>> path = Path(getfixture("tmpdir")) / "speakers.csv"
    >>> _ = path.write_text("file;speaker\\na.wav;Ana\\n", encoding="utf-8-sig")
    >>> list(read_csv(path, ["file"], ["speaker", "split"]))
    [(2, {'file': 'a.wav', 'speaker': 'Ana', 'split': ''})]
    """
    text = _text(path)
    heading = "".join(text.splitlines()[:1])
    delimiter = max(DELIMITERS, key=heading.count)
    lines = io.StringIO(text, newline="")
    between_tabs = delimiter == "\t"
    said_in = _unquoted if between_tabs else str.strip
    table = csv.DictReader(
        lines,
        delimiter=delimiter,
        skipinitialspace=True,
        quoting=csv.QUOTE_NONE if between_tabs else csv.QUOTE_MINIMAL,
        strict=True,
    )
    try:
        names = [said_in(name or "") for name in table.fieldnames or []]
        missing = [name for name in needed if name not in names]
        if missing:
            raise InputError(
                f"{path}, line 1: no column {missing[0]!r} among {', '.join(names) or 'none'}"
            )
        table.fieldnames = names
        for row in table:
            said = {name: said_in(row.get(name) or "") for name in (*needed, *known)}
            yield table.line_num, said
    except csv.Error as error:
        raise InputError(f"{path}, line {table.line_num + 1}: no CSV ({error})") from None


def _unquoted(field: str) -> str:
    """What a field between tabs says; spreadsheets put some in quotes there, too."""
    text = field.strip()
    if len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text


def _text(path: str | Path) -> str:
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    encoding = next((name for mark, name in MARKS.items() if content.startswith(mark)), "utf-8")
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: not in {encoding.upper()} (byte 0x{content[error.start]:02x}); "
            "save it as CSV in UTF-8"
        ) from None
