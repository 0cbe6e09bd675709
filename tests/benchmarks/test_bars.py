from importlib import import_module

import pytest
import yaml

from bloomnet_sb.utils.errors import InputError
from tests.helpers.recipes import REPOSITORY

pytestmark = pytest.mark.usefixtures("beside_benchmarks")

MMACS = {1: 24.0, 2: 39.0, 4: 100.0}
PEER_MMACS = {"tiny": 10.0, "base": 100.0, "small": 1000.0}


def figures(si_sdr):
    return {"low": {"si_sdr": si_sdr}}


def check(bar, peers=None):
    depths = {1: figures(5.0), 2: figures(6.0), 4: figures(7.0)}
    bars = import_module("bars")
    return bars.check_bars({"a bar": [bar]}, depths, MMACS, peers or {}, PEER_MMACS)


@pytest.mark.parametrize(
    ("blocks", "expected"),
    [
        ("every", [1, 2, 4]),
        ("all", [4]),
        (2, [2]),
        ("2 or more", [2, 4]),
        ("nearest 35 MMAC/s", [2]),
        ("30 MMAC/s or more", [2, 4]),
    ],
)
def test_the_depths_that_a_bar_is_for(blocks, expected):
    verdicts = check({"figure": "low.si_sdr", "at_least": 6, "blocks": blocks})
    assert [verdict.blocks for verdict in verdicts] == expected
    assert [verdict.passed for verdict in verdicts] == [depth > 1 for depth in expected]


def test_the_limits():
    for limit, passed in (
        ({"at_least": 7}, True),
        ({"at_least": 7.1}, False),
        ({"at_most": 6.9}, False),
        ({"within": 7}, True),
        ({"within": 6.9}, False),
    ):
        (verdict,) = check({"figure": "low.si_sdr", "blocks": "all", **limit})
        assert verdict.passed is passed


def test_against_a_peer_and_a_line_through_several():
    peers = {"tiny": figures(1.0), "base": figures(3.0), "small": figures(5.0)}
    bar = {"figure": "low.si_sdr", "at_least": 0, "blocks": "all"}
    (verdict,) = check({**bar, "than": "small"}, peers)
    assert verdict.value == pytest.approx(2.0)
    (verdict,) = check({**bar, "than": ["tiny", "base", "small"]}, peers)
    assert verdict.value == pytest.approx(4.0)  # at 100 MMAC/s the line is at 3


def test_what_was_not_measured_is_neither_reached_nor_missed():
    bar = {"figure": "low.si_sdr", "at_least": 0, "blocks": "all", "than": "tiny"}
    (verdict,) = check(bar)
    assert verdict.passed is None
    assert "| not measured |" in import_module("bars").verdict_table([verdict])


def test_a_bar_that_is_not_understood():
    with pytest.raises(InputError, match="blocks is 'some'"):
        check({"figure": "low.si_sdr", "at_least": 0, "blocks": "some"})
    with pytest.raises(InputError, match="needs one of at_least, at_most, within"):
        check({"figure": "low.si_sdr", "blocks": "all"})


def test_every_figure_of_the_bars_is_one_that_is_measured():
    from bloomnet_sb.scoring.conditions import CONDITIONS
    from bloomnet_sb.scoring.depth_scores import METRICS
    from bloomnet_sb.scoring.listeners import band_name
    from bloomnet_sb.scoring.metrics import OCTAVES

    config = yaml.safe_load((REPOSITORY / "benchmarks" / "listeners.yaml").read_text())
    known = {f"{band_name(band)}.{metric}" for band in config["snr_bands_db"] for metric in METRICS}
    known |= {f"clean.{name}" for name in ("mean", "median", "p10", "level_db")}
    known |= {f"clean.octaves_db.{octave}" for octave in OCTAVES}
    known |= {f"noise.{name}" for name in ("mean", "median", "p90")}
    known |= {
        f"conditions.{condition}.{change}"
        for condition in CONDITIONS
        for change in ("change_db", "onset_change_db")
    }
    for bars in config["bars"].values():
        for bar in bars:
            found = [bar["figure"]] if isinstance(bar["figure"], str) else bar["figure"]
            assert known.issuperset(found)
