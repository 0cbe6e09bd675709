"""Trainings that are killed at random moments, again and again.

    make soak [SOAK="--minutes 30 --kills 100 --seed 0"]

Runs the mini recipe undisturbed, then over and over with a signal (SIGKILL mostly, SIGTERM, SIGINT)
after a random time, started again with the same command until it ends. Each must end with the
weights of the undisturbed run, bit for bit, without a checkpoint that cannot be loaded and without
leftovers. Stops after so many minutes, or so many kills where that takes longer. Prints a line for
each run and exits with 1 if one went wrong.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.faults.runs import OFTEN, assert_same_weights, leftovers
from tests.helpers.recipes import RECIPE, run_recipe, tiny_arguments

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
EXIT_CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
SECONDS_TO_STOP = 300  # a hang is for ever, a busy machine only slow
MOST_CHECKPOINTS = 8  # two of each stage, at most, and one within an epoch


def start(folder: Path) -> subprocess.Popen:
    """Start the recipe as a user would."""
    return subprocess.Popen(
        [sys.executable, str(RECIPE / "train.py"), *tiny_arguments(folder, **OFTEN)],
        env={**os.environ, "PYTHONFAULTHANDLER": "1"},  # at SIGABRT it says where it is
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def disturbed_run(folder: Path, seconds: float, rng: random.Random) -> Counter:
    """Run until the end; the kills by the stage whose checkpoint was the last."""
    kills = Counter()
    while True:
        process, number = start(folder), rng.choice(SIGNALS)
        try:
            # Most of the first quarter is Python's imports.
            _, stderr = process.communicate(timeout=rng.uniform(0.2, 0.8) * seconds)
        except subprocess.TimeoutExpired:
            stderr = stopped(process, number)
        if process.returncode == 0:
            return kills
        # A signal before Python listens to it kills at once.
        accepted = (EXIT_CODES[number], -number)
        assert process.returncode in accepted, f"{process.returncode} of {number.name}: {stderr}"
        kills[number.name, stage_of(folder)] += 1


def stopped(process: subprocess.Popen, number: signal.Signals) -> str:
    """What a process writes to its standard error until it ends by a signal."""
    process.send_signal(number)
    try:
        return process.communicate(timeout=SECONDS_TO_STOP)[1]
    except subprocess.TimeoutExpired:
        # Standard error ends with the last of the loader's workers.
        assert process.poll() is None, f"a worker outlives {number.name}: see ps"
    process.send_signal(signal.SIGABRT)
    where = process.communicate()[1]
    raise AssertionError(f"{number.name} did not stop it: {where}")


def stage_of(folder: Path) -> str:
    """The stage that a run is in, by its log."""
    log = folder / "log.txt"
    stages = (
        [line for line in log.read_text().splitlines() if ": estimates " in line]
        if log.exists()
        else []
    )
    return stages[-1].split("Stage ")[1].split(":")[0] if stages else "start"


def main() -> None:
    """Soak, and say how it went."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, kills, runs = random.Random(options.seed), Counter(), 0
    end = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as parent:
        whole = Path(parent) / "undisturbed"
        began = time.monotonic()
        result = run_recipe(whole, **OFTEN)
        seconds = time.monotonic() - began
        assert result.returncode == 0, result.stderr
        while time.monotonic() < end or kills.total() < options.kills:
            folder = Path(parent) / str(runs)
            kills += disturbed_run(folder, seconds, rng)
            assert_same_weights(folder, whole)
            assert not leftovers(folder), leftovers(folder)
            checkpoints = list((folder / "save").glob("*CKPT*"))
            assert len(checkpoints) <= MOST_CHECKPOINTS, checkpoints
            runs += 1
            print(f"{runs} runs, {kills.total()} kills: the same weights", flush=True)
    for (name, stage), count in sorted(kills.items()):
        print(f"{count} {name} in {stage}")


if __name__ == "__main__":
    main()
