import csv
import json

import pytest

from bloomnet_sb.corpus import report_tables
from bloomnet_sb.corpus.report_tables import join_reports, write_tables
from bloomnet_sb.inference.places import refusal
from bloomnet_sb.utils.errors import InputError

HEAD = {"blocks": "auto", "macs": {"fixed": [10, 20, 30, 40], "auto": [10, 22, 34, 46]}}


def good(name, **measures):
    about = {"input": name, "output": f"out/{name}", "state": [], "error": None, "notes": ["a"]}
    about |= {"seconds": 1800.0, "core_seconds": 60.0, "blocks": {"1": 3, "2": 1}}
    return about | {"removed_over_kept_db": -3.0, "clipped": 0} | measures


def bad(name):
    return {
        "input": name,
        "output": f"out/{name}",
        "state": [],
        "error": f"{name}: <b>",
        "notes": [],
    }


def write(folder, *entries, name="report.jsonl", head=HEAD):
    lines = [json.dumps(entry) + "\n" for entry in (head, *entries)]
    (folder / name).write_text("".join(lines))


def test_totals_and_what_auto_saved(tmp_path):
    write(tmp_path, {"left_out": "x.txt", "reason": "no audio"}, good("a"), good("b"), bad("c"))
    totals = write_tables(tmp_path).totals
    assert (totals.enhanced, totals.failed, totals.left_out) == (2, 1, 1)
    assert (totals.hours, totals.core_hours) == (1.0, pytest.approx(1 / 30))
    assert totals.saved == pytest.approx(1 - (3 * 10 + 22) / (4 * 40))
    assert "30.0 hours of audio per core-hour" in str(totals)
    with open(tmp_path / "report.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["depth"] for row in rows] == ["1.25", "1.25", ""]
    assert rows[2]["error"] == "c: <b>"
    page = (tmp_path / "report.html").read_text()
    assert "c: &lt;b&gt;" in page and "<b>" not in page


def test_a_name_with_any_bytes(tmp_path):
    write(tmp_path, good("a\udcff\n,\"b'"))
    write_tables(tmp_path)
    with open(tmp_path / "report.csv", newline="", encoding="utf-8") as file:
        (row,) = csv.DictReader(file)
    assert row["input"] == "a\\udcff\\n,\"b'"


def test_a_file_that_was_done_again_counts_once(tmp_path):
    write(tmp_path, bad("a"), good("a"))
    assert join_reports(tmp_path).totals[:2] == (1, 0)


def test_a_result_that_another_run_was_not_to_overwrite_stays_one(tmp_path):
    """Whichever report comes first."""
    refused = [good(name) | {"error": refusal(f"out/{name}")} for name in ("a", "b", "c")]
    write(tmp_path, good("a"), refused[1], name="report-1-of-1.jsonl")
    write(tmp_path, refused[0], good("b"), refused[2])
    joined = join_reports(tmp_path)
    assert [entry["error"] for entry in joined.entries] == [None, None, refusal("out/c")]
    assert joined.totals[:2] == (2, 1)


def test_of_many_files_the_page_has_those_that_most_was_taken_away_of(tmp_path, monkeypatch):
    monkeypatch.setattr(report_tables, "MOST_ROWS", 2)
    names = ["one", "two", "three"]
    write(tmp_path, *(good(name, removed_over_kept_db=db) for db, name in enumerate(names)))
    write_tables(tmp_path)
    page = (tmp_path / "report.html").read_text()
    assert "The 2 of 3 that most was taken away of" in page
    assert [name in page for name in names] == [False, True, True]


def test_shares_of_another_choice_or_another_division(tmp_path):
    write(tmp_path, good("a"), name="report-1-of-2.jsonl")
    write(tmp_path, good("b"), name="report-2-of-2.jsonl", head={"blocks": 1})
    (problem,) = join_reports(tmp_path).problems
    assert problem == "shard 2/2: made with another choice or network than shard 1/2"
    write(tmp_path, good("b"), name="report-1-of-3.jsonl")
    with pytest.raises(InputError, match="reports of 2 and of 3 shards"):
        join_reports(tmp_path)


@pytest.mark.parametrize("name", ["report.csv", "report.html"])
def test_a_file_of_such_a_name_that_is_none_stays(tmp_path, name):
    write(tmp_path, good("a"))
    (tmp_path / name).write_text("something of another's")
    with pytest.raises(InputError, match=f"{name}: is there already"):
        write_tables(tmp_path)
    assert (tmp_path / name).read_text() == "something of another's"
