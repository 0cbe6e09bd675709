"""The steps that the main of a recipe is made of."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import speechbrain as sb
from hyperpyyaml import load_hyperpyyaml
from ruamel.yaml import YAMLError

from bloomnet_sb.training.resilience import StopSignals, named_failures
from bloomnet_sb.utils.errors import InputError, exit_with_one_line


class Experiment(NamedTuple):
    """What a recipe's command line asks for.

    Arguments
    ---------
    hparams_file : str
        The YAML file.
    hparams : dict
        What it holds, built.
    run_opts : dict
        SpeechBrain's options, such as the device.
    overrides : str
        YAML that overrides keys of the file.
    """

    hparams_file: str
    hparams: dict
    run_opts: dict
    overrides: str


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
        For a file that cannot be read, or a folder that cannot be written.
    """
    hparams_file, run_opts, overrides = sb.parse_arguments(list(argv))
    overrides = re.sub(r":$", ": True", overrides, flags=re.MULTILINE)  # such as --skip_prep
    sb.utils.distributed.ddp_init_group(run_opts)  # first: the checkpointer asks for the rank
    hparams = load_hparams(hparams_file, overrides)
    create_output_folder(hparams_file, hparams, overrides)
    return Experiment(hparams_file, hparams, run_opts, overrides)


def load_hparams(hparams_file: str, overrides: str) -> dict:
    """Build what a YAML file names.

    Raises
    ------
    InputError
        If it cannot be read, or what it says cannot be.
    """
    try:
        file = open(hparams_file, encoding="utf-8")  # noqa: SIM115 (its own error message)
    except OSError as error:
        raise InputError(f"{hparams_file}: {error.strerror}") from None
    try:
        with file:
            return load_hyperpyyaml(file, overrides)
    except OSError as error:
        # The checkpointer makes its folder when it is built.
        raise InputError(f"{error.filename}: cannot be written ({error.strerror})") from None
    except InputError:
        raise
    except (KeyError, ValueError, TypeError, ImportError, YAMLError) as error:
        raise InputError(f"{hparams_file}: {' '.join(str(error).split())}") from error


def create_output_folder(hparams_file: str, hparams: dict, overrides: str) -> None:
    """Make the output folder, with a copy of the YAML file and the log.

    Raises
    ------
    InputError
        If it cannot be written.
    """
    folder = hparams["output_folder"]
    try:
        sb.create_experiment_directory(folder, hparams_file, overrides)
    except OSError as error:
        raise InputError(f"output_folder {folder}: cannot be written ({error})") from None
