"""What the page's script calculates, run by Node.js."""

import json
import shutil
import subprocess
from importlib.resources import files

import pytest
from scipy.stats import binomtest

STATIC = files("bloomnet_sb.page") / "static"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js (the command node)")

# Two networks of two and of ten blocks
TRACKS = [
    {"kind": "noisy", "network": None, "voice": 0, "blocks": 0, "offsetDb": 0},
    *({"kind": "depth", "network": 0, "voice": 0, "blocks": n, "offsetDb": -6} for n in (1, 2)),
    *(
        {"kind": "depth", "network": 1, "voice": 0, "blocks": n, "offsetDb": 20}
        for n in range(1, 11)
    ),
    {"kind": "clean", "network": None, "voice": 0, "blocks": 0, "offsetDb": 3},
]


def calculate(code: str, **values):
    """What the body of a function of `values` returns, beside calculations.js."""
    script = (STATIC / "calculations.js").read_text()
    names = ", ".join(values)
    source = (
        f'"use strict";\n{script}\nconst calculate = ({{{names}}}) => {{ {code} }};\n'
        f"console.log(JSON.stringify(calculate({json.dumps(values)})));\n"
    )
    result = subprocess.run([NODE, "-"], input=source, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_p_value_is_the_binomial_one():
    pairs = [(right, trials) for trials in (1, 5, 10, 16, 20, 50) for right in range(trials + 1)]
    found = calculate(
        "return pairs.map(([right, trials]) => binomialP(right, trials));", pairs=pairs
    )
    expected = [binomtest(*pair, 0.5, alternative="greater").pvalue for pair in pairs]
    assert found == pytest.approx(expected, rel=1e-9)


def test_the_gains_of_a_switch():
    code = """
    let ramps = [1, 0, 0].map((gain) => ({from: gain, to: gain, start: 0, end: 0.01}));
    const seen = [];
    for (let n = 0; n <= 500; n += 1) {
      const time = n / 10000;
      for (const [at, heard] of [[100, 1], [150, 2], [400, 0]]) {
        if (n === at) ramps = rampsTo(gainsOf(tracks, heard, true), ramps, time);
      }
      seen.push(ramps.map((ramp) => gainAt(ramp, time)));
    }
    return seen;
    """
    seen = calculate(code, tracks=TRACKS[:3])
    assert all(sum(gains) == pytest.approx(1) for gains in seen)
    steps = [
        abs(b - a)
        for one, other in zip(seen, seen[1:], strict=False)
        for a, b in zip(one, other, strict=True)
    ]
    assert (
        max(steps) < 0.0101
    )  # a hundredth in a tenth of a millisecond, the second one interrupted
    # The switch at 15 ms begins half way through that of 10 ms, and all take 10 ms.
    assert seen[150] == pytest.approx([0.5, 0.5, 0])
    assert seen[200] == pytest.approx([0.25, 0.25, 0.5])
    assert seen[250] == pytest.approx([0, 0, 1])
    assert seen[399] == pytest.approx([0, 0, 1]) and seen[500] == pytest.approx([1, 0, 0])


def test_loudness_is_taken_back():
    code = (
        "return [true, false].map((equal) => [0, 1, 3].map((n) => gainsOf(tracks, n, equal)[n]));"
    )
    equal, as_they_are = calculate(code, tracks=TRACKS)
    assert equal == [1, 1, 1]
    assert as_they_are == pytest.approx([1, 1.995, 0.1], abs=1e-3)


KEYS = [
    ("0", {}, {"act": "select", "track": 0}),
    ("2", {}, {"act": "select", "track": 2}),
    ("3", {}, None),  # the first network has two blocks
    ("9", {}, {"act": "select", "track": 13}),  # clean
    ("9", {"network": 1}, {"act": "select", "track": 11}),  # nine blocks
    ("n", {"heard": 2}, {"act": "select", "track": 4}),  # two blocks of the next network
    ("N", {"heard": 12, "network": 1}, {"act": "select", "track": 2}),  # which has no ten
    (" ", {}, {"act": "toggle"}),
    (" ", {"control": "button"}, None),  # it is pressed by it
    ("1", {"control": "button"}, {"act": "select", "track": 1}),
    ("1", {"control": "list"}, None),
    ("1", {"ctrlKey": True}, None),
    ("a", {}, None),
    ("Tab", {}, None),
    ("a", {"testing": True}, {"act": "hear", "which": "A"}),
    ("X", {"testing": True}, {"act": "hear", "which": "X"}),
    ("1", {"testing": True}, None),  # it would say what X is
    (" ", {"testing": True}, {"act": "toggle"}),
]


def test_keys():
    code = """
    return cases.map(({key, control, ctrlKey, ...rest}) => actionOfKey(
      {key, ctrlKey}, control || "", {tracks, heard: 0, network: 0, voice: 0, ...rest}));
    """
    cases = [{"key": key, **where} for key, where, _ in KEYS]
    found = calculate(code, cases=cases, tracks=TRACKS)
    for (key, where, expected), action in zip(KEYS, found, strict=True):
        assert action == expected, (key, where)


def test_the_digits_that_are_shown():
    code = """
    return [0, 1].map((network) => tracks.map((_, n) => digitOfTrack(n, tracks, network, 0)));
    """
    first, second = calculate(code, tracks=TRACKS)
    assert first == ["0", "1", "2", *[""] * 10, "9"]
    assert second == ["0", "", "", *map(str, range(1, 10)), "", ""]


def test_a_blind_test():
    code = """
    const coins = [true, false, false, true, true];
    let test = newTest(7, 9, 5, () => coins.shift());
    const heard = [];
    for (let n = 0; n < 5; n += 1) {
      heard.push(["A", "B", "X"].map((which) => trackOfTest(test, which)));
      test = answered(test, answers[n]);
      heard.push(resultOf(test));
    }
    return heard;
    """
    all_right = [True, False, False, True, True]
    seen = calculate(code, answers=all_right)
    assert seen[::2] == [[7, 9, 7], [7, 9, 9], [7, 9, 9], [7, 9, 7], [7, 9, 7]]
    assert seen[1:9:2] == [None] * 4  # nothing is told before the end
    assert seen[9] == {"right": 5, "trials": 5, "p": 1 / 32}
    one_wrong = calculate(code, answers=[False, *all_right[1:]])[9]
    assert one_wrong == {"right": 4, "trials": 5, "p": 6 / 32}
