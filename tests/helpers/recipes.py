"""Running recipes: in a process of their own, as a user does, or in this one."""

import contextlib
import gc
import importlib.util
import io
import logging
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch

import bloomnet_sb  # noqa: F401  # isort: skip (makes SpeechBrain importable)
from speechbrain.utils import logger

REPOSITORY = Path(__file__).parent.parent.parent
SAMPLES = REPOSITORY / "tests" / "samples"
RECIPES = REPOSITORY / "recipes"
RECIPE = RECIPES / "ConvTasNet"

# The list of packages that each run leaves takes pip most of a second and is the same for all here.
logger.get_environment_description = cache(logger.get_environment_description)

# The least that goes through every stage: 2 blocks, 2 epochs of 3 updates each. Of a recurrent
# network few frames: its operations are counted one by one.
TINY = {
    "num_blocks": 2,
    "batch_size": 2,
    "segments_per_epoch": 6,
    "block_epochs": 2,
    "finetune_epochs": 2,
    "end_to_end_epochs": 2,
    "block_segment_seconds": 0.25,
    "finetune_segment_seconds": 0.5,
    "end_to_end_segment_seconds": 0.25,
    "eval_seconds": 1.0,
    "num_workers": 0,
    "with_dnsmos": False,
}
TINY_SEPARATORS = {
    "BandRNN": {"channels": 8},
    "ConvTasNet": {
        "num_filters": 16,
        "layers_per_block": 1,
        "bottleneck_channels": 8,
        "hidden_channels": 8,
    },
    "DPRNN": {
        "num_filters": 16,
        "kernel_size": 320,
        "bottleneck_channels": 8,
        "hidden_channels": 8,
        "chunk_size": 20,
    },
    "SepFormer": {
        "num_filters": 16,
        "bottleneck_channels": 8,
        "feedforward_channels": 8,
        "num_heads": 2,
        "layers_per_path": 1,
        "chunk_size": 20,
    },
}


# What recipes are trained on at their smallest: the samples, unless a test session says otherwise
corpus = SimpleNamespace(folder=SAMPLES)


def tiny_arguments(
    output_folder, recipe: Path = RECIPE, hparams: str | Path = "mini.yaml", **overrides
) -> list[str]:
    """The command line of a recipe at its smallest, and what overrides it."""
    sizes = {**TINY, **TINY_SEPARATORS[recipe.name]}
    if "test_snr_bands_db" in (recipe / "hparams" / hparams).read_text():
        sizes["test_snr_bands_db"] = "[]"  # the test mixtures alone
    options = {"data_folder": corpus.folder, "output_folder": output_folder, **sizes, **overrides}
    arguments = [str(recipe / "hparams" / hparams)]
    for name, value in options.items():
        arguments += [f"--{name}"] if value is True else [f"--{name}", str(value)]
    return arguments


def run_python(
    *arguments, start_new_session: bool = False, **environment
) -> subprocess.CompletedProcess:
    """Run Python in a process of its own, as a user would."""
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        start_new_session=start_new_session,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def run_recipe(output_folder, recipe: Path = RECIPE, **overrides) -> subprocess.CompletedProcess:
    """Run a recipe at its smallest in a process of its own."""
    return run_python(recipe / "train.py", *tiny_arguments(output_folder, recipe, **overrides))


def recipe_module(script: Path = RECIPE / "train.py") -> ModuleType:
    """A recipe's script, imported once; its Brain and its main are the recipe's own."""
    return _imported(script)


@cache
def _imported(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{script.parent.name}_{script.stem}", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recipe_main(arguments: list[str], script: Path = RECIPE / "train.py") -> None:
    """Run a recipe's main in this process, for `tests.helpers.forked`."""
    recipe_module(script).main(arguments)


def run_main(script: Path, arguments: list) -> subprocess.CompletedProcess:
    """Run a recipe's main in this process; an exception that is not for its user passes.

    Its output folder stays locked for other processes.
    """
    main, threads = recipe_module(script).main, torch.get_num_threads()
    output, errors, code = io.StringIO(), io.StringIO(), 0
    torch.set_num_threads(1)
    with (
        _own_logging(errors),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as exit:
            code = exit.code
        finally:
            torch.set_num_threads(threads)
    gc.collect()
    return subprocess.CompletedProcess(arguments, code, output.getvalue(), errors.getvalue())


def run_here(output_folder, recipe: Path = RECIPE, **overrides) -> subprocess.CompletedProcess:
    """Run a recipe at its smallest in this process."""
    return run_main(recipe / "train.py", tiny_arguments(output_folder, recipe, **overrides))


def error_line(result: subprocess.CompletedProcess) -> str:
    """The error of a run that failed as it should: one line, no traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    return line


@contextlib.contextmanager
def _own_logging(errors: io.StringIO):
    """Warnings go to `errors`; what SpeechBrain sets up for the log of a run is taken back."""
    root, hook = logging.getLogger(), sys.excepthook
    handlers, level = root.handlers[:], root.level
    root.handlers[:] = [logging.StreamHandler(errors)]
    root.handlers[0].setLevel(logging.WARNING)
    try:
        yield
    finally:
        for handler in set(root.handlers) - set(handlers):
            handler.close()
        root.handlers[:], sys.excepthook = handlers, hook
        root.setLevel(level)
