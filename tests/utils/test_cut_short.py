import struct

import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.utils.audio_files import audio_info
from bloomnet_sb.utils.cut_short import cut_notes
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.media import has_pyav
from tests.helpers.recordings import media

RATE = 16000
KINDS = [
    ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("W64", "PCM_24"), ("CAF", "PCM_16"), ("NIST", "PCM_16"),
    ("NIST", "ULAW"), ("SVX", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"),
]  # fmt: skip


@pytest.mark.parametrize(("container", "subtype"), KINDS)
def test_what_was_cut_short_is_noted_and_what_is_whole_is_not(container, subtype, tmp_path):
    noise = 0.1 * np.random.default_rng(0).standard_normal(8 * RATE)
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    sf.write(whole, noise, RATE, subtype, format=container)
    data = whole.read_bytes()
    cut.write_bytes(data[: len(data) * 6 // 10])
    assert audio_info(whole).notes == ()
    (note,) = audio_info(cut).notes
    assert note.startswith("cut short: " + "the last 4" * (container != "OGG"))


@pytest.mark.parametrize(
    ("container", "size"), [("AIFF", b"\x7f\0\0\0"), ("AU", b"\xff" * 4), ("CAF", b"\xff" * 8)]
)
def test_a_size_that_its_writer_did_not_know_is_no_promise(container, size, tmp_path):
    path = tmp_path / "piped"
    sf.write(path, np.zeros(1000), RATE, format=container)
    data = path.read_bytes()
    named = {"AIFF": b"SSND", "AU": b".snd\0\0\0\x18", "CAF": b"data"}[container]
    at = data.index(named) + len(named)
    path.write_bytes(data[:at] + size + data[at + len(size) :])
    assert cut_notes(path) == []


def test_ogg_with_tags_after_its_end_is_whole_and_with_half_a_page_is_not(tmp_path):
    path = tmp_path / "a.ogg"
    sf.write(path, np.zeros(RATE), RATE)
    data = path.read_bytes()
    path.write_bytes(data + b"TAG" + bytes(125))
    assert cut_notes(path) == []
    path.write_bytes(data[:-1])
    assert cut_notes(path) == ["cut short: its end is missing"]


def test_headers_without_the_numbers_that_are_sought_say_nothing(tmp_path):
    for beginning in (b"NIST_1A\n   1024\n", b".snd", b"FORM", b"riff" + struct.pack("<Q", 3)):
        path = tmp_path / "header"
        path.write_bytes(beginning)
        assert cut_notes(path) == []


@pytest.mark.skipif(not has_pyav(), reason="needs PyAV")
@pytest.mark.parametrize(
    ("container", "codec", "said"),
    [
        ("webm", "libopus", "cut short: the last 4"),
        ("matroska", "flac", "cut short: the last 4"),
        ("ipod", "alac", "broken after "),
        ("wv", "wavpack", "broken after "),
    ],
)
def test_what_pyav_reads_that_was_cut_short_is_noted_or_refused(tmp_path, container, codec, said):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    options = {"movflags": "frag_keyframe+empty_moov"} if codec == "alac" else {}
    data = media(container, codec, 48000, options=options, repeats=20)()
    whole.write_bytes(data)
    cut.write_bytes(data[: len(data) * 11 // 20])
    assert audio_info(whole).notes == ()
    try:
        (note,) = audio_info(cut).notes
    except InputError as error:
        note = str(error).partition(": ")[2]
    assert note.startswith(said)
