"""What is in a page."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pyloudnorm
import pytest
import torch

from bloomnet_sb.page import html
from bloomnet_sb.page.html import check_place, write_page
from bloomnet_sb.page.recordings import Track, make_recording
from bloomnet_sb.page.sound import FLAC, OPUS, coded_rate, encoded
from bloomnet_sb.scoring.depth_scores import DepthScores
from bloomnet_sb.utils.errors import InputError
from tests.helpers.pages import (
    NETWORK,
    RATE,
    data_of,
    demo,
    demo_estimates,
    demo_page,
    demo_recording,
    sound_of,
)


class Elements(HTMLParser):
    """The elements of a page, and the text in its tables."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.attributes, self.rows = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data):
        if self.tags and self.tags[-1] in ("td", "th") and data.strip():
            self.rows[-1][-1] += data


def test_a_recording_whose_name_is_no_text_has_its_bytes_as_escapes(tmp_path):
    recording = replace(demo_recording(), name="pluie \udce9t\udce9")
    write_page([recording], [NETWORK], tmp_path / "page.html", "Hear it")
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "pluie \\udce9t\\udce9" in text


def test_a_page_needs_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    written = demo_page(path)
    text = path.read_text()
    elements = Elements(text)
    assert elements.tags.count("script") == 1
    assert not [a for a in elements.attributes if a[0] == "script"]
    links = [value for _, name, value in elements.attributes if name in ("src", "href")]
    assert len(links) == 1 + 10 and all(link.startswith("data:") for link in links)
    assert "default-src 'none'" in text
    script = text[text.index("<script>") :]
    code = re.sub("^const PAGE = .*$", "", script, flags=re.MULTILINE)
    for word in ("//", "fetch", "import", "Worklet", "XMLHttpRequest", "WebSocket", "Worker"):
        assert word not in code.replace("// ", ""), word
    assert "http" not in text.replace('http-equiv="Content-Security-Policy"', "")
    assert written == (10, "FLAC", len(path.read_bytes()), None)
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


@pytest.mark.parametrize(("codec", "most_bytes"), [(FLAC, 5e6), (OPUS, 2.5e5)])
def test_tracks_are_as_loud_and_as_long_as_each_other(codec, most_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(html, "MOST_BYTES", most_bytes)
    recording = demo_recording()
    assert demo_page(tmp_path / "page.html", recording).codec == codec
    data = data_of(tmp_path / "page.html")
    (tracks,) = (recording["tracks"] for recording in data["recordings"])
    assert data["codec"] == codec
    assert [t["kind"] for t in tracks] == ["noisy", "depth", "depth", "depth", "clean"]
    assert [t["blocks"] for t in tracks] == [0, 1, 2, 3, 0]
    meter, loudness, kept = pyloudnorm.Meter(RATE), [], []
    for track, given in zip(tracks, recording.tracks, strict=True):
        samples, rate, kind = sound_of(track)
        assert (rate, kind) == (RATE, "FLAC" if codec == FLAC else "OGG")
        assert len(samples) == len(given.signal)
        loudness.append(meter.integrated_loudness(samples))
        # With the offset taken back, it is the given signal by a gain that all share.
        samples *= 10 ** (-track["offsetDb"] / 20)
        kept.append(np.vdot(samples, given.signal) / np.vdot(given.signal, given.signal))
        rest = np.square(samples - kept[-1] * given.signal).mean() / np.square(samples).mean()
        assert rest < (1e-5 if codec == FLAC else 0.1)
    assert max(loudness) - min(loudness) < 0.1
    np.testing.assert_allclose(kept, kept[0], rtol=1e-3 if codec == FLAC else 0.05)


@pytest.mark.parametrize("scale", [20.0, 1e-3])
def test_no_track_is_clipped_or_lost_in_rounding(scale, tmp_path):
    demo_page(tmp_path / "page.html", demo_recording(scale=scale))
    for track in data_of(tmp_path / "page.html")["recordings"][0]["tracks"]:
        samples, _, _ = sound_of(track)
        peak = np.abs(samples).max()
        assert 0.05 < peak < 0.999
        assert peak * 10 ** (-track["offsetDb"] / 20) < 0.999


@pytest.mark.parametrize("samples", [9, 1600, 16000])
@pytest.mark.parametrize("silent", [(), ("estimate",), ("mix", "estimate")])
def test_silent_and_short_recordings(samples, silent, tmp_path):
    mix = torch.zeros(samples) if "mix" in silent else 0.1 * torch.randn(samples)
    estimate = torch.zeros(samples, 1) if "estimate" in silent else mix[:, None] / 2
    network = replace(NETWORK, costs=NETWORK.costs[:1])
    write_page(
        [make_recording("a", RATE, mix, [{1: estimate}])], [network], tmp_path / "a.html", "A"
    )
    noisy, enhanced = data_of(tmp_path / "a.html")["recordings"][0]["tracks"]
    assert len(sound_of(noisy)[0]) == len(sound_of(enhanced)[0]) == samples
    assert noisy["offsetDb"] == 0
    assert enhanced["offsetDb"] == pytest.approx(0 if silent else 6.02, abs=0.01)


@pytest.mark.parametrize("depths, opus_kbits", [(5, 64), (7, 56)])
def test_a_page_stays_below_its_limit_whatever_is_heard(depths, opus_kbits, tmp_path, monkeypatch):
    # Of 5 s, whose pictures are as large as those of a minute
    monkeypatch.setattr(html, "MOST_BYTES", 600_000)
    noise = 0.1 * torch.randn(5 * RATE, generator=torch.Generator().manual_seed(0))
    estimates = {n: (noise / n)[:, None] for n in range(1, depths + 1)}
    recording = make_recording("hiss", RATE, noise, [estimates])
    written = write_page([recording], [html.Network("mine", [])], tmp_path / "page.html", "Hear it")
    assert (written.tracks, written.codec) == (depths + 1, OPUS)
    assert written.size < html.MOST_BYTES
    assert written.opus_kbits == pytest.approx(opus_kbits, rel=0.2)
    (tracks,) = (recording["tracks"] for recording in data_of(tmp_path / "page.html")["recordings"])
    assert {len(sound_of(track)[0]) for track in tracks} == {len(noise)}


def test_silence_which_no_fewer_kbits_make_smaller_is_allowed_for(tmp_path, monkeypatch):
    noise = 0.1 * torch.randn(5 * RATE, generator=torch.Generator().manual_seed(0))
    noise[RATE // 4 :] = 0
    estimates = {n: (noise / n)[:, None] for n in range(1, 4)}
    recording = make_recording("a word", RATE, noise, [estimates])
    place = [html.Network("mine", [])], tmp_path / "page.html", "Hear it"
    whole = write_page([recording], *place)
    (tracks,) = (recording["tracks"] for recording in data_of(tmp_path / "page.html")["recordings"])
    besides = whole.size - sum(len(track["file"]) for track in tracks)
    monkeypatch.setattr(html, "MOST_BYTES", besides + 21_500)
    written = write_page([recording], *place)
    assert (written.codec, written.size < html.MOST_BYTES) == (OPUS, True)
    assert 16 <= written.opus_kbits < 64


def test_tracks_that_no_page_has_room_for_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(html, "MOST_BYTES", 100_000)
    with pytest.raises(InputError, match="5 tracks would be larger .* 16 kbit/s too; name fewer"):
        demo_page(tmp_path / "page.html", demo_recording())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("codec", [FLAC, OPUS])
@pytest.mark.parametrize("rate", [1000, 11025, 44100, 96000])
def test_any_rate_becomes_one_that_browsers_decode(codec, rate):
    samples, coded, _ = sound_of({"file": html.as_text(encoded(np.zeros(rate), rate, codec))})
    assert coded == coded_rate(rate, codec) and 8000 <= coded <= 48000
    assert len(samples) == coded


def test_costs_and_scores_of_every_depth(tmp_path):
    clean, noisy = demo("clean")[:, None], demo("noisy")
    demo_page(tmp_path / "page.html", demo_recording())
    head, *rows = Elements((tmp_path / "page.html").read_text()).rows
    assert head == [
        "blocks", "parameters", "MMAC/s", "ms for 1 s", "SI-SDR, dB", "SI-SDRi, dB", "PESQ-WB",
        "STOI", "speech level, dB",
    ]  # fmt: skip
    assert [row[:4] for row in rows] == [
        ["noisy", "", "", ""],
        ["1", "1,000", "2.0", "10.0"],
        ["2", "2,000", "4.0", "20.0"],
        ["3", "3,000", "6.0", "30.0"],
    ]
    scores = DepthScores([1, 2, 3], RATE, with_dnsmos=False)
    estimates = torch.stack(list(demo_estimates().values()))[:, None]
    scores.add("street", noisy[None], clean[None], estimates)
    for row, expected in zip(rows, scores.rows, strict=True):
        assert row[4] == f"{expected['si_sdr']:.2f}"
        assert row[7] == f"{expected['stoi']:.3f}"


def test_without_clean_speech_there_are_no_scores(tmp_path):
    recording = make_recording("street", RATE, demo("noisy"), [demo_estimates()])
    demo_page(tmp_path / "page.html", recording)
    rows = Elements((tmp_path / "page.html").read_text()).rows
    assert [row[0] for row in rows] == ["blocks", "1", "2", "3"]
    assert {len(row) for row in rows} == {4}


def test_what_could_not_be_scored_is_said(tmp_path):
    silence = torch.zeros(RATE, 1)
    recording = make_recording("quiet", RATE, 0.1 * torch.randn(RATE), [{1: silence}], silence)
    demo_page(tmp_path / "page.html", recording)
    assert "Not scored: PESQ of quiet at 1 blocks: " in (tmp_path / "page.html").read_text()
    assert "nan" not in Elements((tmp_path / "page.html").read_text()).rows[1]


def test_the_voices_of_a_network_are_in_the_order_of_the_clean_ones():
    clean = torch.stack([demo("clean"), demo("noisy") - demo("clean")], dim=1)
    swapped = clean.flip(1) + 0.01 * torch.randn_like(clean)
    recording = make_recording("two", RATE, clean.sum(1), [{1: swapped, 2: clean}], clean)
    labels = [track.label for track in recording.tracks]
    voices = [f"{depth}, voice {n}" for depth in ("1 block", "2 blocks", "clean") for n in (1, 2)]
    assert labels == ["noisy", *voices]
    first, second = (recording.tracks[n].signal for n in (1, 2))
    # One order for all depths: that of the clean ones fits the better depth.
    assert recording.scores[0][2]["si_sdr"] > recording.scores[0][1]["si_sdr"]
    assert np.abs(first - swapped[:, 0].numpy()).max() == 0
    assert np.abs(second - swapped[:, 1].numpy()).max() == 0
    alone = make_recording("two", RATE, clean.sum(1), [{1: swapped}], clean)
    assert np.abs(alone.tracks[1].signal - swapped[:, 1].numpy()).max() == 0


def test_names_are_text(tmp_path):
    hostile = '</script><img src=x onerror=alert(1)>"'
    recording = replace(demo_recording(), name=hostile)
    recording.tracks[1] = Track("depth", hostile, recording.tracks[1].signal, 0, 1)
    plain = demo_recording()
    network = replace(NETWORK, name=hostile)
    tags = []
    for name, page in (("plain", (plain, NETWORK)), ("hostile", (recording, network))):
        write_page([page[0]], [page[1]], tmp_path / f"{name}.html", "Hear it")
        tags.append(Elements((tmp_path / f"{name}.html").read_text()).tags)
    assert tags[0] == tags[1]


def test_places_that_no_page_can_have(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "index.html").write_text("<!doctype html><p>Mine</p>")
    for place, message in (
        ("page.wav", "ends in .html"),
        ("file/page.html", "cannot be written"),
        ("index.html", "no page of this command"),
    ):
        with pytest.raises(InputError, match=message):
            check_place(tmp_path / place)
    for _ in range(2):
        check_place(tmp_path / "new" / "page.html")
        demo_page(tmp_path / "new" / "page.html", demo_recording())


def test_a_page_has_an_end(tmp_path):
    long = torch.zeros(601 * 8000)
    with pytest.raises(InputError, match="601 s long together, but a page holds up to 600 s"):
        write_page([make_recording("long", 8000, long, [])], [], tmp_path / "page.html", "Long")
