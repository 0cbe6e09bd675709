"""SpeechBrain's options, checked before anything is built."""

import json
import re
from dataclasses import replace

import torch
from speechbrain.core import Brain
from speechbrain.utils.run_opts import RunOptions

from bloomnet_sb.utils.devices import check_device
from bloomnet_sb.utils.errors import InputError

REFUSED = {
    "jit": "torch.jit does not take the Python of these networks; --compile compiles them",
    "jit_module_keys": "torch.jit does not take the Python of these networks; --compile does",
    "data_parallel_backend": "DataParallel would put the estimates of the parts of a batch one "
    "after another as if they were depths; start one process a device with torchrun",
    "profile_training": "SpeechBrain's profiler ends the process within the first epoch; "
    "python benchmarks/training.py measures a training",
}
# Keys whose values are paths or words, and how YAML says that there is none
TEXTS = re.compile(
    "(_folder|_list|_log|_description|_license)$|^(limits|noise_split|shards|start_from|start_state)$"
)
NONE = ("null", "Null", "NULL", "~")


class Options(RunOptions):
    """SpeechBrain's options, and what overrides keys of a recipe's YAML.

    In SpeechBrain's own, every "=" separates a key from its value, those within a value too.

    Example
    -------
    >>> argv = ["mini.yaml", "--jit", "--skip_prep", "--data_folder=take #2", "--url=a.b/c?d=e"]
    >>> file, options, overrides = Options.from_command_line_args(argv)
    >>> file, options.jit
    ('mini.yaml', True)
    >>> print(overrides)
    skip_prep:
    data_folder: "take #2"
    url: a.b/c?d=e
    """

    @staticmethod
    def _convert_to_yaml(overrides: list[str]) -> str:
        """YAML of arguments such as --key=value, --key value and --key."""
        values: dict[str, list[str]] = {}
        key = ""
        for argument in overrides:
            if not argument.startswith("--"):
                if not values:
                    raise InputError(f"{argument}: not an option; those begin with --")
                values[key].append(argument)
                continue
            key, equals, value = argument.removeprefix("--").partition("=")
            values[key] = [value] if equals else []
        return "\n".join(_as_yaml(key, words) for key, words in values.items())


def is_trial(options: RunOptions | Brain) -> bool:
    """Whether a run, by its options or its Brain, is to leave what a finished one has made.

    That is one with --debug, whose checkpoints SpeechBrain puts into a temporary folder.

    Example
    -------
    >>> is_trial(Options(debug=True)), is_trial(Options(debug=True, debug_persistently=True))
    (True, False)
    """
    return options.debug and not options.debug_persistently


def _as_yaml(key: str, words: list[str]) -> str:
    """A line of YAML; a text is what was typed, a number, a date or a comment or not."""
    if not words:
        return f"{key}:"
    value = " ".join(words)
    typed = value and TEXTS.search(key) and value not in NONE and value[0] not in "[\"'!"
    return f"{key}: {json.dumps(value, ensure_ascii=False) if typed else value}"


def check_options(options: RunOptions) -> RunOptions:
    """Refuse the options that a training cannot have, and a device that is not there.

    Arguments
    ---------
    options : RunOptions
        From the command line.

    Returns
    -------
    RunOptions
        The same, with the number of optimizer_step_limit, which SpeechBrain leaves a string.

    Raises
    ------
    InputError
        Naming the option and what stands against it.

    Example
    -------
    >>> check_options(RunOptions(optimizer_step_limit="3")).optimizer_step_limit
    3
    >>> check_options(RunOptions(jit=True))
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: --jit: torch.jit does not take the Python of these ...
    """
    for name, reason in REFUSED.items():
        if options.get(name):
            raise InputError(f"--{name}: {reason}")
    if options.device is not None:
        check_device(options.device)
    half = "fp16" in (options.precision, options.eval_precision) or options.auto_mix_prec
    if half and _device_type(options.device) == "cpu":
        raise InputError("precision fp16 is for GPUs; on a CPU it may be fp32 or bf16")
    return replace(options, optimizer_step_limit=_updates(options.optimizer_step_limit))


def _device_type(device: str | None) -> str:
    if device is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(device).type


def _updates(limit: str | int | None) -> int | None:
    """A number of optimizer steps."""
    if limit is None:
        return None
    if not str(limit).isdigit() or int(limit) < 1:
        raise InputError(
            f"optimizer_step_limit is {limit!r}, but must be a whole number of 1 or more"
        )
    return int(limit)
