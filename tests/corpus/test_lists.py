import gzip
import json
from pathlib import Path

import pytest

from bloomnet_sb.corpus.lists import is_list, names_addresses, read_addresses, read_list
from bloomnet_sb.utils.errors import InputError

LHOTSE = {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "a/1.wav"}]}
PADDING = {"id": "p", "duration": 1, "sampling_rate": 16000, "type": "PaddingCut"}
CUT = {"id": "c", "start": 0, "duration": 1, "recording": LHOTSE, "type": "MonoCut"}


def lines(*entries):
    return "".join(json.dumps(entry) + "\n" for entry in entries)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("speechbrain.csv", "ID,duration,wav,wav_format\n1,2.0,$data_root/a/1.wav,wav\n"),
        ("speechbrain.json", json.dumps({"1": {"wav": "{data_root}/a/1.wav", "length": 2.0}})),
        ("nemo.json", lines({"audio_filepath": "a/1.wav", "duration": 2.0, "text": ""})),
        ("nemo.jsonl", lines({"audio_filepath": "a/1.wav"}, {"audio_filepath": "a/../a/1.wav"})),
        ("recordings.jsonl", lines(LHOTSE, LHOTSE)),
        ("cuts.jsonl", lines(CUT)),
        ("mixed.jsonl", lines({"id": "m", "tracks": [{"cut": CUT, "offset": 0}]})),
        ("padded.jsonl", lines({"id": "m", "tracks": [{"cut": CUT}, {"cut": PADDING}]})),
        ("text.jsonl", '{"path": "a/1.wav", "text": "one\u2028line"}\n' * 2),
        ("spreadsheet.csv", "\ufefffile;speaker\na/1.wav;Ana\n"),
        ("paths.json", json.dumps(["a/1.wav"])),
    ],
)
def test_manifests_of_others(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    assert is_list(path)
    assert read_list(path) == [(tmp_path / "a" / "1.wav", Path("."))]


def test_a_compressed_list(tmp_path):
    path = tmp_path / "cuts.jsonl.gz"
    path.write_bytes(gzip.compress(lines(CUT).encode()))
    assert is_list(path)
    assert read_list(path) == [(tmp_path / "a" / "1.wav", Path("."))]


def test_places_are_below_the_folder_in_common(tmp_path):
    path = tmp_path / "list.jsonl"
    path.write_text(lines({"path": "/in/a/1.wav"}, {"path": "/in/b/c/1.wav"}))
    assert [place for _, place in read_list(path)] == [Path("a"), Path("b/c")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (lines({"text": "hello"}), "line 1: no path of a recording among text"),
        (lines({"path": "a.wav"}) + "{", "line 2: no JSON"),
        ("", "names no recording"),
        (lines(LHOTSE | {"sources": [{"type": "command", "source": "x"}]}), "type 'command'"),
        (lines({"path": "s3://bucket/a.wav"}), "is no path of a file"),
        ("3", "int, but must be an object with a path"),
        (b"\xff\xfe\xff", "not in UTF-8"),
    ],
)
def test_what_is_no_list(tmp_path, text, message):
    path = tmp_path / "list.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=message):
        read_list(path)


def test_a_damaged_compressed_list_is_named(tmp_path):
    path = tmp_path / "cuts.jsonl.gz"
    whole = bytearray(gzip.compress(lines(*[CUT] * 50).encode()))
    whole[20:40] = bytes(20)
    path.write_bytes(whole)
    with pytest.raises(InputError, match=r"cuts.jsonl.gz: cannot be read"):
        read_list(path)


def test_addresses_are_those_of_recordings(tmp_path):
    """A licence that is an address makes no list one of a store."""
    path = tmp_path / "list.jsonl.gz"
    licence = {"path": "a.wav", "licence": "https://example.org/by"}
    path.write_bytes(gzip.compress(lines(licence).encode()))
    assert not names_addresses(path)
    url = LHOTSE | {"sources": [{"type": "url", "source": "s3://bucket/a.wav"}]}
    path.write_bytes(gzip.compress(lines(url).encode()))
    assert names_addresses(path)
    path = tmp_path / "escaped.json"
    path.write_text(lines(url).replace("/", "\\/"))
    assert names_addresses(path)
    path = tmp_path / "spreadsheet.csv"
    path.write_text("file\ns3://bucket/a.wav\n", encoding="utf-16")
    assert names_addresses(path)


def test_steps_up_in_a_list_of_a_store_are_taken(tmp_path):
    """So that no result has its place outside the folder of the results."""
    path = tmp_path / "list.jsonl"
    path.write_text(lines({"path": "../wavs/1.wav"}, {"path": "s3://b/x/../2.wav"}))
    found = read_addresses(path, "s3://b/lists/list.jsonl")
    assert found == [("s3://b/wavs/1.wav", "wavs"), ("s3://b/2.wav", "")]
    path.write_text(lines({"path": "../../../1.wav"}))
    with pytest.raises(InputError, match=r"s3://b/list.jsonl, line 1: .* leads out of the store"):
        read_addresses(path, "s3://b/list.jsonl")
