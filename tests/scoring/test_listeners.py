import json

import pytest
import torch

from bloomnet_sb.scoring.conditions import CONDITIONS
from bloomnet_sb.scoring.corpus import corpus_part
from bloomnet_sb.scoring.listener_tables import depth_labels, listener_tables
from bloomnet_sb.scoring.listeners import listener_figures, measure_listeners, measure_set
from tests.helpers.recipes import SAMPLES

BANDS = [(-5, 10), (10, 25)]


@pytest.fixture(scope="module")
def part():
    return corpus_part(str(SAMPLES), "test", 16000, max_seconds=2.0, limit=3)


def half(mix):
    return [mix, 0.5 * mix]


@pytest.fixture(scope="module")
def figures(part):
    """Of a system that gives what it got at one depth, half of it at two."""
    return listener_figures(measure_listeners(half, [1, 2], part, BANDS, with_dnsmos=False))


def test_a_system_that_changes_nothing(figures):
    unprocessed, same, _ = figures["depths"]
    assert [depth["blocks"] for depth in figures["depths"]] == [0, 1, 2]
    for band in ("-5 to 10 dB", "10 to 25 dB"):
        assert same[band]["mixtures"] == 3
        assert same[band]["si_sdr_improvement"] == pytest.approx(0, abs=1e-4)
        assert same[band]["pesq"] == unprocessed[band]["pesq"]
        assert same[band]["level_db"] == pytest.approx(0, abs=0.3)
    assert same["10 to 25 dB"]["si_sdr"] - same["-5 to 10 dB"]["si_sdr"] == pytest.approx(15, abs=1)
    clean, noise = same["clean"], same["noise"]
    assert (clean["mean"], clean["median"], clean["p10"]) == (40, 40, 40)
    assert list(clean["octaves_db"].values()) == pytest.approx([0] * 7)
    assert noise["mean"] == pytest.approx(0, abs=1e-4)
    for condition in CONDITIONS:
        for change in same["conditions"][condition].values():
            assert change == pytest.approx(0, abs=0.01)


def test_a_system_that_halves(figures):
    halved = figures["depths"][2]
    assert halved["clean"]["level_db"] == pytest.approx(-6.02, abs=0.01)
    assert list(halved["clean"]["octaves_db"].values()) == pytest.approx([-6.02] * 7, abs=0.01)
    assert halved["noise"]["mean"] == pytest.approx(-6.02, abs=0.01)
    assert halved["clean"]["mean"] == 40


def test_a_system_that_is_deaf_after_digital_silence(part):
    def deaf(mix):
        start = int(torch.nonzero(mix)[0])
        waiting = torch.zeros(8000) if start else torch.ones(8000)
        return [torch.cat([mix[:start], mix[start : start + 8000] * waiting, mix[start + 8000 :]])]

    found = {"conditions": measure_set("conditions", deaf, [1], part)}
    conditions = listener_figures(found)["depths"][0]["conditions"]
    assert conditions["digital silence"]["onset_change_db"] < -20
    assert -10 < conditions["digital silence"]["change_db"] < -1
    assert conditions["softer talker"]["onset_change_db"] == pytest.approx(0, abs=0.01)


def test_silence_instead_of_an_estimate_is_finite(part):
    measured = measure_listeners(lambda mix: [0 * mix], [1], part, BANDS[:1], with_dnsmos=False)
    figures = listener_figures(measured)["depths"][1]
    assert figures["noise"]["mean"] == -60
    assert figures["clean"]["mean"] == -40
    assert set(figures["clean"]["octaves_db"].values()) == {-60.0}
    json.dumps(measured, allow_nan=False)


def test_figures_are_json_and_a_table_of_them(figures):
    assert json.loads(json.dumps(figures, allow_nan=False)) == figures
    tables = listener_tables(depth_labels(figures), 16000)
    lines = tables.splitlines()
    assert "At -5 to 10 dB SNR, 3 mixtures:" in lines
    assert "At 10 to 25 dB SNR, 3 mixtures:" in lines
    (clean,) = [line for line in lines if line.startswith("| 2 blocks | 40.0")]
    assert clean == "| 2 blocks | 40.0 | 40.0 | 40.0 | -6.0 |" + " -6.0 |" * 7
    assert "by voice" not in tables
    assert "At -5 to 10 dB" not in listener_tables(depth_labels(figures), 16000, True)


def test_kinds_have_tables_of_their_own(part):
    measured = measure_listeners(half, [1, 2], part, BANDS, with_dnsmos=False)
    for found in measured.values():
        for number, row in enumerate(found["rows"]):
            if "kind" in row:
                row["kind"] = ("read", "acted")[number // 3 % 2]
    tables = listener_tables(depth_labels(listener_figures(measured)), 16000)
    assert "At -5 to 10 dB SNR, improvement of SI-SDR / PESQ-WB by voice:" in tables
    assert "|  | acted | read |" in tables
    assert "Clean speech by voice, SI-SDR, median / 10 %:" in tables
