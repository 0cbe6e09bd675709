"""Means and quantiles over test items of several kinds, in which every kind counts alike."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

NORMAL_95 = 1.96  # standard errors on either side of a mean, for an interval of 95 %


def kind_weights(kinds: Sequence[str]) -> np.ndarray:
    """The weight of each item, so that every kind has the same, and all together 1.

    Arguments
    ---------
    kinds : sequence of str
        The kind of each item.

    Returns
    -------
    numpy.ndarray
        The weights [items].

    Example
    -------
    >>> kind_weights(["read", "read", "acted"])
    array([0.25, 0.25, 0.5 ])
    """
    items = Counter(kinds)
    return np.array([1 / (len(items) * items[kind]) for kind in kinds])


def mean_over_kinds(values: Sequence[float], kinds: Sequence[str]) -> float:
    """The mean over the kinds of the mean of each kind.

    Arguments
    ---------
    values : sequence of float
        A value of each item.
    kinds : sequence of str
        The kind of each item.

    Returns
    -------
    float
        The mean.

    Example
    -------
    >>> mean_over_kinds([1.0, 3.0, 6.0], ["read", "read", "acted"])
    4.0
    """
    return float(np.dot(kind_weights(kinds), values))


def quantile_over_kinds(values: Sequence[float], kinds: Sequence[str], share: float) -> float:
    """The value that a share of the items is below, where every kind counts alike.

    Arguments
    ---------
    values : sequence of float
        A value of each item.
    kinds : sequence of str
        The kind of each item.
    share : float
        0.5 for the median. Between two items the value is interpolated (Hyndman and Fan, 1996,
        definition 5, with weights).

    Returns
    -------
    float
        The quantile.

    Example
    -------
    >>> quantile_over_kinds([1.0, 2.0, 3.0, 9.0], ["read"] * 4, 0.5)
    2.5
    """
    order = np.argsort(values)
    weights = kind_weights(kinds)[order]
    below = np.cumsum(weights) - weights / 2
    return float(np.interp(share, below, np.asarray(values)[order]))


def difference_over_kinds(
    differences: Sequence[float], kinds: Sequence[str]
) -> tuple[float, float]:
    """A mean of paired differences over the kinds, and half its interval of 95 %.

    Arguments
    ---------
    differences : sequence of float
        The difference between two systems on each item.
    kinds : sequence of str
        The kind of each item. The kinds are taken as given, the items as drawn from them.

    Returns
    -------
    (float, float)
        The mean, see `mean_over_kinds`, and 1.96 of its standard errors; a kind of one item adds
        none.

    Example
    -------
    >>> mean, half = difference_over_kinds([1.0, 2.0, 3.0, 2.0], ["read"] * 4)
    >>> round(mean, 2), round(half, 2)
    (2.0, 0.8)
    """
    weights, values, names = kind_weights(kinds), np.asarray(differences), np.asarray(kinds)
    variance = 0.0
    for kind, items in Counter(kinds).items():
        if items > 1:
            chosen = names == kind
            variance += (weights[chosen].sum() ** 2) * values[chosen].var(ddof=1) / items
    return mean_over_kinds(values.tolist(), kinds), NORMAL_95 * float(np.sqrt(variance))
