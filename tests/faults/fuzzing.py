"""What the fuzzers share: cases in processes of their own, with limits, and findings that are kept.

Each batch of cases has a process with a limit of memory, and of time for each case, so that a crash
or a hang is a finding too. A case is a folder, which is removed again where nothing is wrong.
"""

import argparse
import faulthandler
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tests.helpers.forked import fork_server

BATCH = 100
MEMORY = 6 * 2**30
SECONDS_EACH = 60
FINDING = "finding.txt"
SPECIAL_INTEGERS = (0, 1, 2, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)

# Fills an empty folder with a case, tries it, and says what is wrong, if anything.
Check = Callable[[Path, np.random.Generator], str | None]


def mutated(data: bytes, rng: np.random.Generator, header: int = 128) -> bytes:
    """The bytes with up to six mutations, most of them in the header."""
    data = bytearray(data)
    for _ in range(rng.integers(0, 7)):
        at = int(rng.integers(0, min(len(data), header if rng.random() < 0.7 else len(data)) + 1))
        kind = rng.integers(0, 6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            size = int(rng.choice([1, 2, 4]))
            value = int(rng.choice(SPECIAL_INTEGERS)) % 2 ** (8 * size)
            data[at : at + size] = value.to_bytes(size, str(rng.choice(["little", "big"])))
        elif kind == 2:
            del data[at : at + int(rng.integers(1, 64))]
        elif kind == 3:
            data[at:at] = rng.bytes(int(rng.integers(1, 64)))
        elif kind == 4:
            data[at : at + 16] = rng.bytes(16)
        else:
            del data[at:]
    return bytes(data)


def run_batch(prepare: Callable[[], Check], seed: int, kept: Path) -> None:
    """Try a batch of cases; leave the folders of those that went wrong."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    faulthandler.enable()  # a crash says where
    torch.set_num_threads(1)
    check, rng = prepare(), np.random.default_rng(seed)
    for number in range(BATCH):
        case = kept / f"{seed}_{number}"
        case.mkdir()
        signal.alarm(SECONDS_EACH)  # ends this process: its last folder has no finding.txt
        try:
            found = check(case, rng)
        except Exception as error:  # a check catches those that are right
            found = f"{type(error).__name__}: {error}"
        signal.alarm(0)
        if found is None:
            shutil.rmtree(case)
        else:
            (case / FINDING).write_text(found)


def fuzz(
    prepare: Callable[[], Check], cases: int, minutes: float, seed: int, kept: Path
) -> tuple[int, list[str]]:
    """The number of cases tried, and the findings, a line each; `prepare` makes the check."""
    kept.mkdir(parents=True, exist_ok=True)
    tried, findings, end = 0, [], time.monotonic() + 60 * minutes
    while tried < cases and time.monotonic() < end:
        process = fork_server().Process(target=run_batch, args=(prepare, seed, kept))
        process.start()
        process.join()
        for case in sorted(kept.glob(f"{seed}_*")):
            note = case / FINDING
            found = note.read_text() if note.exists() else f"ended with {process.exitcode}"
            findings.append(f"{case}: {found}")
        if process.exitcode != 0 and not list(kept.glob(f"{seed}_*")):
            findings.append(f"batch {seed} ended with {process.exitcode}")
        tried, seed = tried + BATCH, seed + 1
    return tried, findings


def main(prepare: Callable[[], Check], what: str) -> None:
    """Fuzz, print the findings, and say how many there are."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, default=Path("fuzz_findings"))
    options = parser.parse_args()
    tried, findings = fuzz(prepare, options.cases, options.minutes, options.seed, options.kept)
    print("\n".join([*findings, f"{tried} {what}, {len(findings)} findings"]))
    sys.exit(bool(findings))
