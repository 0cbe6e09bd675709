"""SpeechBrain's options of a run, `run_opts`, checked before a network is loaded."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from speechbrain.utils.distributed import infer_device
from speechbrain.utils.run_opts import RunOptions

from bloomnet_sb.utils.devices import check_device
from bloomnet_sb.utils.errors import InputError

NAMES = sorted({field.name for field in fields(RunOptions)} - {"overridden_args"})
PRECISIONS = ("fp32", "fp16", "bf16")
COMPILED = "stream(compiled=True) and `bloomnet live --compiled` compile a network"
REFUSED = {
    "jit": f"torch.jit does not take the Python of these networks; {COMPILED}",
    "jit_module_keys": f"torch.jit does not take the Python of these networks; {COMPILED}",
    "compile": f"it would compile what is not called here; {COMPILED}",
    "compile_module_keys": f"it would compile what is not called here; {COMPILED}",
    "data_parallel_backend": "an interface runs on one device; give each device its own",
}


def checked_run_opts(run_opts: Any = None) -> RunOptions:
    """The options with the device that a network is to run on.

    Arguments
    ---------
    run_opts : RunOptions or dict, optional
        SpeechBrain's, such as {"device": "cuda:1", "precision": "bf16"}. Default: those of
        SpeechBrain, whose device is a GPU where there is one. Precision is that of batches, of
        `blocks="auto"` and of the files of networks that are not causal; the files of causal ones
        and streams are computed in fp32.

    Returns
    -------
    RunOptions
        The same, with a device.

    Raises
    ------
    InputError
        For an option that is none or does nothing here, or a device that is not there.

    Example
    -------
    >>> checked_run_opts({"device": "cpu"}).device
    'cpu'
    >>> checked_run_opts({"devise": "cpu"})
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: run_opts has 'devise', but takes ...
    """
    options = _as_options({} if run_opts is None else run_opts)
    for name, reason in REFUSED.items():
        if options.get(name):
            raise InputError(f"run_opts, {name}: {reason}")
    device = check_device(infer_device() if options.device is None else options.device)
    if options.precision not in PRECISIONS:
        raise InputError(
            f"run_opts, precision is {options.precision!r}, but must be one of "
            f"{', '.join(PRECISIONS)}"
        )
    if options.precision == "fp16" and device == "cpu":
        raise InputError("run_opts, precision fp16 is for GPUs; on a CPU it may be fp32 or bf16")
    return replace(options, device=device, overridden_args={*options.overridden_args, "device"})


def _as_options(run_opts: Any) -> RunOptions:
    if isinstance(run_opts, RunOptions):
        return run_opts
    if not isinstance(run_opts, Mapping):
        raise InputError(
            f"run_opts is {run_opts!r}, but must be a dict or SpeechBrain's RunOptions"
        )
    for name in run_opts:
        if name not in NAMES:
            raise InputError(f"run_opts has {name!r}, but takes {', '.join(NAMES)}")
    return RunOptions.from_dictionary(dict(run_opts))
