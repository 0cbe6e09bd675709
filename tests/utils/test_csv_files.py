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
