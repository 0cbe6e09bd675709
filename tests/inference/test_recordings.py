"""A folder of recordings of every kind through `bloomnet enhance`: each right, or named."""

import json
import os
import struct

import mutagen
import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.utils.audio_files import audio_info
from bloomnet_sb.utils.media import has_pyav
from bloomnet_sb.utils.riff import chunks_of, speaker_mask
from tests.helpers.command import invoked, write_network
from tests.helpers.recordings import BEXT, CASES, CUE, LEFT_OUT, MEDIA, make_recordings, sound

# Those of videos only where PyAV is
THERE = CASES + (MEDIA if has_pyav() else [])


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_network(tmp_path_factory.mktemp("network") / "pretrained")


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    """The folders of the recordings and of the results, what was printed, and the report."""
    folder = tmp_path_factory.mktemp("recordings") / "in"
    make_recordings(folder, THERE)
    with pytest.MonkeyPatch.context() as patch:
        # Half of what comes in: what a result should be is then known.
        patch.setattr(BloomEnhancer, "_estimate", lambda self, mix, *_: 0.5 * mix[..., None])
        result = invoked("enhance", folder, folder.parent / "out", "--source", source)
    lines = (folder.parent / "out" / "report.jsonl").read_text().splitlines()
    return folder, folder.parent / "out", result, [json.loads(line) for line in lines[1:]]


@pytest.mark.parametrize("case", THERE, ids=lambda case: f"{case.kind}: {ascii(case.name)[:40]}")
def test_each_recording_is_right_or_named(case, run):
    folder, out, _, report = run
    (entry,) = [line for line in report if line.get("input") == str(folder / case.name)]
    if case.result == "":
        assert case.said in entry["error"]
        assert entry["error"].startswith(str(folder / case.name))
        assert not (out / case.name).exists()
        return
    assert entry["error"] is None
    assert case.said in " ".join(entry["notes"])
    result = out / (case.result or case.name)
    assert entry["output"] == str(result)
    before, after = audio_info(folder / case.name), audio_info(result)
    assert (after.samplerate, after.channels) == (before.samplerate, before.channels)
    one = 0.5 * case.gain * sound(before.samplerate, before.channels)
    expected, written = np.tile(one, (case.repeats, 1)), read(result)
    assert len(written) == before.frames
    # ADPCM and GSM fill up their last block with silence.
    filled = case.kind == "blocks"
    assert len(written) >= len(expected) if filled else len(written) == len(expected)
    written = written[: len(expected)]
    assert np.square(written - expected).sum() < case.tolerance * np.square(expected).sum()


def test_the_report_counts_and_names_what_is_left_out(run):
    folder, out, result, report = run
    left_out = {line["left_out"]: line["reason"] for line in report if "left_out" in line}
    assert left_out.keys() == {str(folder / name) for name in LEFT_OUT}
    for name, reason in LEFT_OUT.items():
        assert reason in left_out[str(folder / name)]
    failures = sum(case.result == "" for case in THERE)
    assert result.exit_code == 1
    right = len(THERE) - failures + 1  # and the linked one
    assert f"{right} files enhanced, 0 had been before, {failures} could not be" in result.stdout
    assert f"{len(LEFT_OUT)} left out: " in result.stdout
    assert (out / "deeper" / "speaker" / "linked.wav").is_file()
    assert len([line for line in result.stderr.splitlines() if line.startswith("error: ")]) == (
        failures
    )


def test_started_again_it_goes_on(run, source):
    folder, out, _, _ = run
    before = {path: path.stat().st_mtime_ns for path in out.iterdir() if path.suffix == ".wav"}
    result = invoked("enhance", folder, out, "--source", source)
    assert "0 files enhanced" in result.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_what_lies_beside_the_sound_is_kept(run):
    _, out, _, _ = run
    chunks = {chunk.name: chunk for chunk in chunks_of(out / "cues.wav")}
    data = (out / "cues.wav").read_bytes()
    for name, content in ((b"cue ", CUE), (b"bext", BEXT), (b"iXML", b"<BWF/>")):
        start, size = chunks[name].start, chunks[name].size
        assert data[start : start + size] == content
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    assert speaker_mask(out / "six.wav") == 0x60F
    for name in ("tags.flac", "tags.mp3", "tags.ogg"):
        assert mutagen.File(out / name, easy=True)["title"] == ["A call"]
    assert mutagen.File(out / "tags.flac")["artist"] == ["Ann"]


def read(path):
    samples, _ = sf.read(os.fsencode(path), always_2d=True)
    return samples
