from importlib import import_module

import pytest

from tests.helpers.recipes import SAMPLES

pytestmark = pytest.mark.usefixtures("beside_benchmarks")


def test_it_goes_on_where_it_was_and_checks_the_bars(tmp_path, capsys, monkeypatch):
    benchmark = import_module("listeners")
    command = ["--data_folder", str(SAMPLES), "--source", "convtasnet-causal-16k", "--no-dnsmos"]
    command += ["--limit", "1", "--max_seconds", "2", "--output", str(tmp_path)]
    command += ["--system", "convtasnet-causal-16k"]
    assert benchmark.main(command) == 1
    first = capsys.readouterr().out
    assert "| convtasnet-causal-16k, 4 blocks |" in first
    assert "| 1, never worse | 4 | clean.median | at least 28 |" in first
    assert "- ulunas | at least 0 |  | not measured |" in first

    monkeypatch.setattr(import_module("listening"), "measure_set", None)
    assert benchmark.main(command) == 1
    assert capsys.readouterr().out == first


def test_paired_differences_by_group():
    benchmark = import_module("listening")
    ours = [
        {"utterance": "a", "kind": "read", "pesq": 2.0},
        {"utterance": "b", "kind": "acted", "pesq": 3.0},
        {"utterance": "c", "kind": "acted", "pesq": None},
    ]
    theirs = [{**row, "pesq": 1.5} for row in reversed(ours)]
    assert benchmark.differences(ours, theirs, "pesq") == {"": (1.0, 0.0)}
    by_kind = benchmark.differences(ours, theirs, "pesq", "kind")
    assert {kind: mean for kind, (mean, _) in by_kind.items()} == {"acted": 1.5, "read": 0.5}
