import pytest

from bloomnet_sb.utils.csv_files import read_csv
from bloomnet_sb.utils.errors import InputError

SAID = [(2, {"file": "Größe.wav", "speaker": "Ana", "split": ""})]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", ", "])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_what_spreadsheets_save_is_read(tmp_path, encoding, delimiter, line_end):
    rows = [["file", " speaker ", "notes"], ["Größe.wav", "Ana", "loud"], [""]]
    text = "".join(delimiter.join(row) + line_end for row in rows)
    path = tmp_path / "list.csv"
    path.write_bytes(text.encode(encoding))
    assert list(read_csv(path, ["file"], ["speaker", "split"])) == SAID


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("file\nGröße.wav\n".encode("latin-1"), r"line 2: not in UTF-8 \(byte 0xf6\); save it"),
        ("file\nGröße.wav\n".encode("utf-16")[:-1], "not in UTF-16"),
        (b"name,speaker\na.wav,Ana\n", "line 1: no column 'file' among name, speaker"),
        (b"", "line 1: no column 'file' among none"),
        (b"file\n" + b"a" * 200_000, "no CSV"),
        (None, "No such file"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, content, message):
    path = tmp_path / "list.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=f"list.csv.*{message}"):
        list(read_csv(path, ["file"]))


def test_a_line_between_tabs_is_a_row_whatever_quotes_it_has(tmp_path):
    path = tmp_path / "validated.tsv"
    path.write_text('path\tsentence\n1.mp3\t"No, he said.\n2.mp3\tYes.\n"a ""b"".mp3"\t"\n')
    rows = [row["path"] for _, row in read_csv(path, ["path"])]
    assert rows == ["1.mp3", "2.mp3", 'a "b".mp3']


def test_a_quote_without_an_end_swallows_no_rows(tmp_path):
    path = tmp_path / "files.csv"
    path.write_text('file,sentence\n1.wav,"No\n2.wav,"Yes"\n3.wav,\n')
    with pytest.raises(InputError, match=r"files.csv, line 2: no CSV"):
        list(read_csv(path, ["file"]))


def test_quotes_that_a_field_between_commas_has_itself_stay(tmp_path):
    path = tmp_path / "files.csv"
    path.write_text('file,note\n"""a"".wav",\n')
    assert [row["file"] for _, row in read_csv(path, ["file"])] == ['"a".wav']
    path.write_text('file,note\n"""a""",\n')
    assert [row["file"] for _, row in read_csv(path, ["file"])] == ['"a"']
