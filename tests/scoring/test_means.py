import numpy as np
import pytest

from bloomnet_sb.scoring.means import (
    difference_over_kinds,
    mean_over_kinds,
    quantile_over_kinds,
)


def test_a_kind_of_many_items_counts_as_much_as_one_of_few():
    values, kinds = [0.0] * 98 + [10.0] * 2, ["read"] * 98 + ["acted"] * 2
    assert mean_over_kinds(values, kinds) == pytest.approx(5.0)
    assert quantile_over_kinds(values, kinds, 0.25) == 0
    assert quantile_over_kinds(values, kinds, 0.75) == 10


def test_one_kind_is_numpy():
    values = np.random.default_rng(0).standard_normal(101)
    kinds = ["read"] * 101
    assert mean_over_kinds(values, kinds) == pytest.approx(values.mean())
    for share in (0.1, 0.5, 0.9):
        expected = np.quantile(values, share, method="hazen")
        assert quantile_over_kinds(values, kinds, share) == pytest.approx(expected)


def test_the_interval_holds_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    kinds = ["read"] * 60 + ["acted"] * 15
    held = 0
    for _ in range(1000):
        values = np.where(np.array(kinds) == "read", 1.0, 3.0) + rng.standard_normal(75)
        mean, half = difference_over_kinds(values.tolist(), kinds)
        held += abs(mean - 2.0) < half
    assert 0.92 < held / 1000 < 0.97


def test_the_level_within_a_kind_is_no_doubt_about_the_mean():
    assert difference_over_kinds([1.0, 1.0, 3.0], ["read", "read", "acted"]) == (2.0, 0.0)
