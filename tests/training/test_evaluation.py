"""What a whole run leaves behind."""

import csv
import json

import pytest

from tests.helpers.pages import data_of


def test_scores_and_costs_of_every_depth(finished_run):
    results = json.loads((finished_run / "results.json").read_text())
    assert results["test_mixtures"] == 4
    assert [row["blocks"] for row in results["depths"]] == [0, 1, 2]
    costs = ("parameters", "macs_per_second", "real_time_factor")
    scores = ("si_sdr", "si_sdr_improvement", "pesq", "stoi", "level_db")
    for row in results["depths"][1:]:
        assert all(isinstance(row[key], int | float) for key in (*costs, *scores))
    assert results["depths"][0]["si_sdr_improvement"] == 0
    memory = results["memory_bytes"]
    assert memory["this_network"] < memory["stand_alone_networks"]
    table = (finished_run / "results.md").read_text()
    assert "| unprocessed |" in table
    assert "\nMemory of the weights: " in table
    with open(finished_run / "scores.csv", newline="") as file:
        scores = list(csv.DictReader(file))
    assert len(scores) == 4 * 3
    for row in results["depths"]:
        mean = [float(s["si_sdr"]) for s in scores if s["blocks"] == str(row["blocks"])]
        assert sum(mean) / 4 == pytest.approx(row["si_sdr"])


def test_what_listeners_would_miss(finished_run):
    results = json.loads((finished_run / "results.json").read_text())
    listeners = results["listeners"]["depths"]
    assert [depth["blocks"] for depth in listeners] == [0, 1, 2]
    for depth in listeners[1:]:
        assert {"-5 to 10 dB", "10 to 25 dB", "clean", "noise", "conditions"} < depth.keys()
    assert listeners[2]["-5 to 10 dB"]["si_sdr"] == results["depths"][2]["si_sdr"]
    table = (finished_run / "results.md").read_text()
    assert table.count("\nAt 10 to 25 dB SNR, 4 mixtures:\n") == 1


def test_a_log_and_a_picture(finished_run):
    epochs = (finished_run / "train_log.txt").read_text().splitlines()
    assert [line.split(",")[0] for line in epochs] == [f"epoch: {n}" for n in range(1, 7)]
    assert (finished_run / "spectrograms.png").read_bytes().startswith(b"\x89PNG")


def test_a_page_to_hear_three_test_mixtures(finished_run):
    recordings = data_of(finished_run / "listen.html")["recordings"]
    assert len(recordings) == 3
    for recording in recordings:
        assert recording["seconds"] == 1
        labels = [track["label"] for track in recording["tracks"]]
        assert labels == ["noisy", "1 block", "2 blocks", "clean"]
    with open(finished_run / "scores.csv", newline="") as file:
        scores = [s for s in csv.DictReader(file) if s["blocks"] == "0"]
    text = (finished_run / "listen.html").read_text()
    told = [s for s in scores if f">{s['utterance']}, {s['noise']}</h2>" in text]
    ordered = sorted(scores, key=lambda s: float(s["si_sdr"]))
    assert sorted(map(ordered.index, told)) == [0, 2, 3]
