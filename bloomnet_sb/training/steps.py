"""The steps that the main of a recipe is made of."""

import re
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import hyperpyyaml
import ruamel.yaml
import speechbrain as sb
import torch
import yaml
from speechbrain.utils.run_opts import RunOptions

from bloomnet_sb.training.options import Options, check_options
from bloomnet_sb.training.resilience import StopSignals, named_failures
from bloomnet_sb.training.restoring import keep_to_network
from bloomnet_sb.utils.errors import (
    InputError,
    check_amounts,
    check_not_negative,
    check_positive,
    check_range_db,
    check_seconds,
    exit_with_one_line,
)

YAML_LIBRARIES = [
    Path(str(library.__file__)).parent for library in (hyperpyyaml, ruamel.yaml, yaml)
]
# Keys of the recipes that are true or false
TRUTHS = {"skip_prep", "listen", "allow_upsampling", "with_dnsmos", "use_tensorboard", "causal"}
TRUTHS |= {"compile_parts", "skip_nonfinite_grads"}
VALUE_CHECKERS = [Path(str(library.__file__)).parent for library in (sb, torch)]


class Experiment(NamedTuple):
    """What a recipe's command line asks for.

    Arguments
    ---------
    argv : list of str
        The command line.
    hparams_file : str
        The YAML file.
    hparams : dict
        What it holds, built.
    run_opts : RunOptions
        SpeechBrain's options, such as the device.
    overrides : str
        YAML that overrides keys of the file.
    """

    argv: list[str]
    hparams_file: str
    hparams: dict
    run_opts: RunOptions
    overrides: str


class Keys(dict):
    """The keys of a YAML file, which says its name where one is asked for that it has not.

    Arguments
    ---------
    file : str
        The name.
    keys : dict
        The keys.

    Example
    -------
    >>> Keys("mini.yaml", {"seed": 1})["lr"]
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: mini.yaml has no key lr, which this recipe needs
    """

    def __init__(self, file: str, keys: dict):
        super().__init__(keys)
        self.file = file

    def __missing__(self, key: str):
        raise InputError(f"{self.file} has no key {key}, which this recipe needs")


@contextmanager
def recipe_run() -> Iterator[StopSignals]:
    """What a recipe runs in: signals are caught, and what a user can mend is said in one line.

    Yields
    ------
    StopSignals
        For the Brain, see `bloomnet_sb.training.resilience.ResilientBrain`.

    Example
    -------
    >>> with recipe_run() as stop_signals:
    ...     stop_signals.received
    """
    stop_signals = StopSignals()
    with exit_with_one_line(), named_failures(), stop_signals.caught():
        yield stop_signals


def parse(argv: Sequence[str]) -> Experiment:
    """Parse a recipe's command line, build what its YAML names, and make the output folder.

    Arguments
    ---------
    argv : sequence of str
        The YAML file, and SpeechBrain's options and overrides of the file's keys.

    Returns
    -------
    Experiment
        All of it.

    Raises
    ------
    InputError
        For a file that cannot be read, a folder that cannot be written, or a network that is not
        the one of the run in it.
    """
    hparams_file, run_opts, overrides = Options.from_command_line_args(list(argv))
    run_opts = check_options(run_opts)
    overrides = re.sub(r":$", ": True", overrides, flags=re.MULTILINE)  # such as --skip_prep
    try:
        sb.utils.distributed.ddp_init_group(run_opts)  # first: the checkpointer asks for the rank
    except ValueError as error:
        raise InputError(f"torchrun: {' '.join(str(error).split())}") from None
    hparams = load_hparams(hparams_file, overrides)
    check_truths(hparams)
    check_loading(hparams)
    check_draws(hparams)
    check_weights(hparams)
    keep_to_network(hparams_file, overrides, hparams["checkpointer"])
    create_output_folder(hparams_file, hparams, overrides, run_opts.log_config)
    return Experiment(list(argv), hparams_file, hparams, run_opts, overrides)


def load_hparams(hparams_file: str, overrides: str) -> dict:
    """Build what a YAML file names.

    Raises
    ------
    InputError
        For a fault of the file or of an override: what cannot be parsed or found, a key that is
        not there, an argument that a class does not take. What is raised within the code of a
        class that is built passes as it is.
    """
    try:
        file = open(hparams_file, encoding="utf-8")  # noqa: SIM115 (its own error message)
    except OSError as error:
        raise InputError(f"{hparams_file}: {error.strerror}") from None
    try:
        with file:
            return Keys(hparams_file, hyperpyyaml.load_hyperpyyaml(file, overrides))
    except InputError:
        raise
    except Exception as error:
        if not _raised_by_yaml(error):
            raise
        if isinstance(error, OSError):  # an included file
            raise InputError(f"{error.filename}: {error.strerror}") from None
        reason = ": ".join(str(argument) for argument in error.args) or str(error)
        raise InputError(f"{hparams_file}: {' '.join(reason.split())}") from error


def _raised_by_yaml(error: Exception) -> bool:
    """Whether an error is of the YAML, and not of code that was written for this training.

    It is where a YAML library raises it, as where a class gets arguments that it does not take,
    and where a class or function of SpeechBrain or torch, named in the file, refuses a value.
    """
    files = [Path(frame.filename) for frame in traceback.extract_tb(error.__traceback__)]
    of_yaml = [n for n, file in enumerate(files) if _is_of(file, YAML_LIBRARIES)]
    called = files[of_yaml[-1] + 1 :] if of_yaml else files
    return not called or _is_of(called[0], VALUE_CHECKERS)


def _is_of(file: Path, libraries: Sequence[Path]) -> bool:
    return any(library in file.parents for library in libraries)


def check_truths(hparams: dict) -> None:
    """Refuse words for what is true or false: to YAML 1.2, no and off are texts, which are true.

    Raises
    ------
    InputError
        Naming the key.

    Example
    -------
    >>> check_truths({"skip_prep": "off"})
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: skip_prep is 'off', but must be True or False
    """
    for key in sorted(TRUTHS & hparams.keys()):
        if not isinstance(hparams[key], bool):
            raise InputError(f"{key} is {hparams[key]!r}, but must be True or False")


def check_loading(hparams: dict) -> None:
    """Refuse sizes of batches, numbers of workers and optimizers that none can train with.

    Raises
    ------
    InputError
        Naming the key.

    Example
    -------
    >>> check_loading({"batch_size": 8, "num_workers": 0})
    """
    check_positive(batch_size=hparams.get("batch_size", 1))
    check_not_negative(num_workers=hparams.get("num_workers", 0))
    optimizer = hparams.get("opt_class", torch.optim.Adam)
    if not callable(optimizer):
        raise InputError(
            f"opt_class is {optimizer!r}, but must be a class, such as !name:torch.optim.Adam"
        )


def check_draws(hparams: dict) -> None:
    """Refuse a seed and ranges of SNR that no mixture can be drawn by, before the training.

    Raises
    ------
    InputError
        Naming the key.

    Example
    -------
    >>> check_draws({"seed": 1, "snr_db": [-5, 10], "test_snr_bands_db": [[-5, 10], [10, 25]]})
    """
    check_not_negative(seed=hparams.get("seed", 0))
    if "snr_db" in hparams:
        check_range_db(snr_db=hparams["snr_db"])
    bands = hparams.get("test_snr_bands_db") or []
    if not isinstance(bands, list):
        raise InputError(f"test_snr_bands_db is {bands!r}, but must be a list of ranges")
    for band in bands:
        check_range_db(**{"a range of test_snr_bands_db": band})
    if "draw_seconds" in hparams:
        drawn, segment = hparams["draw_seconds"], hparams["segment_seconds"]
        check_seconds(draw_seconds=drawn, segment_seconds=segment)
        if segment > drawn:
            raise InputError(f"segment_seconds is {segment}, but draw_seconds, {drawn}, at most")


def check_weights(hparams: dict) -> None:
    """Refuse weights of the terms of a loss that none can have, before the training.

    Raises
    ------
    InputError
        Naming the key.

    Example
    -------
    >>> check_weights({"level_weight": 0.01, "pesq_weight": 0})
    """
    names = ("level_weight", "spectral_weight", "pesq_weight", "snr_weight")
    check_amounts(**{name: hparams[name] for name in names if name in hparams})


def create_output_folder(
    hparams_file: str, hparams: dict, overrides: str, log_config: str | None = None
) -> None:
    """Make the output folder, with a copy of the YAML file and the log.

    Raises
    ------
    InputError
        If it cannot be written, or there is no such configuration of logs.
    """
    folder = hparams["output_folder"]
    if log_config is not None and not Path(log_config).is_file():
        raise InputError(f"log_config {log_config}: no such file")
    config = {} if log_config is None else {"log_config": log_config}
    try:
        sb.create_experiment_directory(folder, hparams_file, overrides, **config)
    except OSError as error:
        raise InputError(f"output_folder {folder}: cannot be written ({error})") from None
