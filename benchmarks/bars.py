"""The bars of benchmarks/listeners.yaml: which figure of which depth must reach what."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import log

import numpy as np

from bloomnet_sb.utils.errors import InputError

LIMITS = ("at_least", "at_most", "within")


@dataclass(frozen=True)
class Verdict:
    """A bar for one figure and one number of blocks.

    Arguments
    ---------
    bar : str
        The group of bars.
    what : str
        The figure, and what was taken off it.
    blocks : int
        The number of blocks.
    limit : str
        What it must be.
    value : float or None
        What it is; None where it was not measured.
    passed : bool or None
        Whether it is so.
    """

    bar: str
    what: str
    blocks: int
    limit: str
    value: float | None
    passed: bool | None


def check_bars(
    bars: Mapping[str, list[dict]],
    depths: Mapping[int, dict],
    mmacs: Mapping[int, float],
    peers: Mapping[str, dict],
    peer_mmacs: Mapping[str, float],
) -> list[Verdict]:
    """Hold a network to its bars.

    Arguments
    ---------
    bars : mapping
        Name to bars, see benchmarks/listeners.yaml.
    depths : mapping
        Number of blocks to figures.
    mmacs : mapping
        Number of blocks to cost, in million multiply-accumulates for a second of audio.
    peers : mapping
        Name of another system, or "unprocessed", to its figures.
    peer_mmacs : mapping
        Name of another system to its cost.

    Returns
    -------
    list of Verdict
        One for each bar, figure and number of blocks.

    Raises
    ------
    InputError
        For a bar without a limit, or with blocks that are not understood.
    """
    verdicts = []
    for name, group in bars.items():
        for bar in group:
            for blocks in chosen_depths(bar["blocks"], mmacs):
                for figure in _listed(bar["figure"]):
                    value = _value(bar, figure, depths[blocks], mmacs[blocks], peers, peer_mmacs)
                    than = f" - {' / '.join(_listed(bar['than']))}" if "than" in bar else ""
                    limit, passed = _held(bar, value)
                    verdicts.append(Verdict(name, figure + than, blocks, limit, value, passed))
    return verdicts


def chosen_depths(wanted: int | str, mmacs: Mapping[int, float]) -> list[int]:
    """The numbers of blocks that a bar is for, see benchmarks/listeners.yaml."""
    depths = sorted(mmacs)
    if wanted == "every":
        return depths
    if wanted == "all":
        return depths[-1:]
    if isinstance(wanted, int):
        return [depth for depth in depths if depth == wanted]
    if match := re.fullmatch(r"(\d+) or more", wanted):
        return [depth for depth in depths if depth >= int(match[1])]
    if match := re.fullmatch(r"nearest (\d+) MMAC/s", wanted):
        return [min(depths, key=lambda depth: abs(mmacs[depth] - int(match[1])))]
    if match := re.fullmatch(r"(\d+) MMAC/s or more", wanted):
        return [depth for depth in depths if mmacs[depth] >= int(match[1])]
    raise InputError(f"listeners.yaml: blocks is {wanted!r}; see the comment there")


def verdict_table(verdicts: list[Verdict]) -> str:
    """Every verdict as a Markdown table."""
    words = {True: "yes", False: "**no**", None: "not measured"}
    lines = ["| bar | blocks | figure | limit | value | reached |", "| --- " * 6 + "|"]
    for v in verdicts:
        value = "" if v.value is None else f"{v.value:+.3f}"
        lines.append(
            f"| {v.bar} | {v.blocks} | {v.what} | {v.limit} | {value} | {words[v.passed]} |"
        )
    return "\n".join(lines) + "\n"


def _value(
    bar: dict,
    figure: str,
    depth: dict,
    mmacs: float,
    peers: Mapping[str, dict],
    peer_mmacs: Mapping[str, float],
) -> float | None:
    value = _looked_up(depth, figure)
    if value is None or "than" not in bar:
        return value
    names = _listed(bar["than"])
    others = [_looked_up(peers.get(name, {}), figure) for name in names]
    known = [other for other in others if other is not None]
    if len(known) < len(others):
        return None
    if len(known) == 1:
        return value - known[0]
    line = np.polynomial.Polynomial.fit([log(peer_mmacs[name]) for name in names], known, 1)
    return value - float(line(log(mmacs)))


def _held(bar: dict, value: float | None) -> tuple[str, bool | None]:
    limits = [name for name in LIMITS if name in bar]
    if len(limits) != 1:
        raise InputError(f"listeners.yaml: a bar needs one of {', '.join(LIMITS)}: {bar}")
    (name,), bound = limits, bar[limits[0]]
    limit = f"{name.replace('_', ' ')} {bound:g}"
    if value is None:
        return limit, None
    held = {"at_least": value >= bound, "at_most": value <= bound, "within": abs(value) <= bound}
    return limit, held[name]


def _looked_up(figures: dict, path: str) -> float | None:
    """A figure by the names of what it is in, with dots between."""
    found: object = figures
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, int | float) else None


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
