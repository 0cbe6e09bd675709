"""Fixtures that the tests share."""

import fcntl
import gc
import signal
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch

import bloomnet_sb  # noqa: F401
from tests.helpers.corpora import few_utterances
from tests.helpers.forked import run_forked
from tests.helpers.recipes import REPOSITORY, SAMPLES, corpus, recipe_main, tiny_arguments

from speechbrain.utils.importutils import LazyModule  # isort: skip (bloomnet_sb makes both
from torchaudio.functional import resample  # isort: skip  importable)

# Hypothesis asks every module for its file, and SpeechBrain's lazy ones would import k2 and others.
LazyModule.__file__ = None

# A shell has what it runs in the background ignore Ctrl-C, and nohup has it ignore SIGHUP, which is
# then ignored by what the tests stop with them, too.
for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, usual)


def pytest_make_parametrize_id(val: object) -> str | None:
    """The content of a file, in the name of a test, is its length."""
    if isinstance(val, bytes | str) and len(val) > 40:
        return f"{len(val)} {'bytes' if isinstance(val, bytes) else 'letters'}"
    return None  # pytest's own


def pytest_collection_modifyitems(items) -> None:
    """The examples of exports run beside the tests of exports: ONNX takes seconds to import."""
    for item in items:
        if item.nodeid.startswith("bloomnet_sb/") and "_export.py" in item.nodeid:
            item.add_marker(pytest.mark.xdist_group("export"))


def pytest_collection_finish() -> None:
    """What is there for good, the modules above all, is not searched for garbage every time."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory, request) -> Callable[[str, Callable[[Path], None]], Path]:
    """Has a folder of a name filled in one of the processes of pytest-xdist, which all share it."""
    shared = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        shared = shared.parent

    def once(name: str, fill: Callable[[Path], None]) -> Path:
        folder, done = shared / name, shared / f"{name}.done"
        with open(shared / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                fill(folder)
                done.touch()
        return folder

    return once


@pytest.fixture(scope="session", autouse=True)
def small_corpus(made_once) -> None:
    """What recipes are trained on at their smallest."""
    corpus.folder = made_once("few_utterances", few_utterances)


@pytest.fixture(scope="session")
def finished_run(made_once) -> Path:
    """The output folder of one whole run of a recipe at its smallest; to be left as it is."""

    def train(folder: Path) -> None:
        options = {"num_workers": 1, "test_snr_bands_db": "[[-5, 10], [10, 25]]"}
        result = run_forked(recipe_main, tiny_arguments(folder, **options))
        assert result.returncode == 0, result.stderr

    return made_once("finished_run", train)


@pytest.fixture(scope="session")
def pretrained(finished_run) -> Path:
    """The folder that the run left for the pretrained interface."""
    return finished_run / "pretrained"


@pytest.fixture
def noisy_file() -> Path:
    """A noisy demonstration file, 16 kHz, one channel."""
    return SAMPLES / "demo" / "noisy_0dB.flac"


@pytest.fixture
def beside_benchmarks(monkeypatch):
    """The benchmarks are no package: they import each other from their own folder."""
    benchmarks = REPOSITORY / "benchmarks"
    monkeypatch.syspath_prepend(str(benchmarks))
    yield
    for path in benchmarks.glob("*.py"):
        sys.modules.pop(path.stem, None)


@pytest.fixture(scope="session")
def librimix_folder(tmp_path_factory) -> Path:
    """Libri2Mix/ and Libri3Mix/ of the sample speech, as LibriMix's scripts lay them out."""
    folder = tmp_path_factory.mktemp("librimix")
    parts = {"train-100": "train-clean-100", "dev": "dev-clean", "test": "test-clean"}
    for (part, speech), sources, first in product(parts.items(), (2, 3), range(4)):
        files = sorted((SAMPLES / "LibriSpeech" / speech).rglob("*.flac"))
        # As far apart as can be, so that speakers differ where there are enough of them.
        chosen = files[first :: len(files) // sources][:sources]
        name = "_".join(file.stem for file in chosen)
        for rate in (8000, 16000):
            signals = [speech_at(file, rate, seconds=3 + 0.5 * n) for n, file in enumerate(chosen)]
            for mode, pick in (("min", min), ("max", max)):
                place = folder / f"Libri{sources}Mix" / f"wav{rate // 1000}k" / mode / part
                write_mixture(place, name, signals, pick(map(len, signals)), rate)
    return folder


def speech_at(file: Path, rate: int, seconds: float) -> np.ndarray:
    """The beginning of a speech file at another rate, at a peak of 0.25."""
    samples, file_rate = sf.read(file, dtype="float32", frames=int(seconds * 16000))
    resampled = resample(torch.from_numpy(samples), file_rate, rate).numpy()
    return 0.25 * resampled / np.abs(resampled).max()


def write_mixture(folder: Path, name: str, signals: list, length: int, rate: int) -> None:
    """Write one mixture of LibriMix with its sources, as 16-bit samples that add up exactly."""
    sources = [np.pad(signal, (0, max(length - len(signal), 0)))[:length] for signal in signals]
    sources.append(0.02 * np.random.default_rng(0).standard_normal(length))
    *speech, noise = [np.round(2**15 * source).astype(np.int16) for source in sources]
    mix = sum(speech)
    files = {"mix_clean": mix, "mix_both": mix + noise, "noise": noise}
    files |= {f"s{number}": source for number, source in enumerate(speech, 1)}
    for part, samples in files.items():
        (folder / part).mkdir(parents=True, exist_ok=True)
        sf.write(folder / part / f"{name}.wav", samples, rate)
