"""The benchmarks run for minutes; here, that what they are made of still fits the package."""

import ast
import importlib
import sys

import pytest

from bloomnet_sb import BlockwiseSchedule
from tests.helpers.benchmarks import benchmark_helps
from tests.helpers.recipes import REPOSITORY

BENCHMARKS = REPOSITORY / "benchmarks"
NAMES = sorted(path.stem for path in BENCHMARKS.glob("*.py"))
HELPERS = ("bars", "listening", "onnx_peers", "options", "timing")  # no commands


@pytest.fixture(autouse=True)
def beside_them(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", NAMES)
def test_what_it_imports_is_there(name):
    """Inside functions too, where each imports what takes long."""
    tree = ast.parse((BENCHMARKS / f"{name}.py").read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and is_ours(node.module):
            module = importlib.import_module(node.module)
            for alias in node.names:
                assert hasattr(module, alias.name), f"line {node.lineno}: {alias.name}"
    importlib.import_module(name)


def is_ours(module: str) -> bool:
    return module.partition(".")[0] in ("bloomnet_sb", *NAMES)


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(HELPERS)))
def test_its_help_says_what_it_does_without_torch(name):
    said = benchmark_helps()[name]
    purpose = ast.get_docstring(ast.parse((BENCHMARKS / f"{name}.py").read_text()))
    assert purpose in said
    assert said.startswith(f"usage: {name}.py [-h]")


@pytest.mark.parametrize("number", [0, -1])
def test_a_training_step(number):
    training = importlib.import_module("training")
    settings = training.SETTINGS
    stages = BlockwiseSchedule("blockwise", 2, settings, settings, settings).stages
    model = training.paper_model(2)
    before = model.encoder.weight.detach().clone()
    training.step_of(model, stages[number], batch_size=1)()
    assert (model.encoder.weight != before).any()
