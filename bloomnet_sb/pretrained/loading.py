"""Pretrained folders of strangers: built from an allowlist, checked before anything is built.

HyperPyYAML's tags call whatever they name. Here a pretrained folder may name the classes of this
package that a network is made of, and nothing else, and one parser both checks and builds. Weights
are safetensors, which hold no code.
"""

import importlib
import inspect
import re
import types
import typing
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
import yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.error import YAMLError as RuamelError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from speechbrain.utils.run_opts import RunOptions
from torch import nn
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn import filterbanks, levels
from bloomnet_sb.nn.causal import causal_children
from bloomnet_sb.nn.depthwise import DepthwiseConv
from bloomnet_sb.separators import Separator
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.resampling import HIGHEST_RATE, LOWEST_RATE

# What an error calls the network that weights are not of.
OF_ITS_FOLDER = "the network in hyperparams.yaml"

# What a pretrained folder may name, beside the separators
NAMED = {
    "bloomnet_sb.BloomNet": BloomNet,
    "bloomnet_sb.model.BloomNet": BloomNet,
    "bloomnet_sb.nn.filterbanks.LearnedFilterbank": filterbanks.LearnedFilterbank,
    "bloomnet_sb.nn.filterbanks.STFTFilterbank": filterbanks.STFTFilterbank,
    "bloomnet_sb.nn.levels.NoLevel": levels.NoLevel,
    "bloomnet_sb.nn.levels.SignalLevel": levels.SignalLevel,
    "bloomnet_sb.nn.levels.RmsLevel": levels.RmsLevel,
    "bloomnet_sb.nn.levels.LogLevel": levels.LogLevel,
}
SEPARATORS = re.compile(r"bloomnet_sb\.separators(\.[a-z]\w*)?", re.ASCII)
PLAIN_KINDS = ("null", "bool", "int", "float", "str", "seq", "map")
PLAIN_TAGS = {f"tag:yaml.org,2002:{kind}" for kind in PLAIN_KINDS}

MOST_YAML_BYTES = 100_000
MOST_TENSORS = 20_000
MOST_PARAMETERS = 2**28  # a gigabyte in single precision
MOST_SIZE = 10**6  # of any number of channels, samples, frames..
# Of what is built at once, and not only as far as it has weights
MOST = {
    "STFTFilterbank": {"window": 2**16},
    "BandRNNSeparator": {"num_filters": 2**14 + 2, "num_bands": 2**11},
}
MOST_REACH = 10**6  # frames that a network looks back
MOST_REACH_SAMPLES = 2**25  # over half an hour at 16 kHz
MOST_STATE = 2**24  # numbers that a network carries from one piece of a signal to the next
# SpeechBrain takes its options from a folder's keys, too.
RUN_OPTIONS = {field.name for field in fields(RunOptions)}
DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's floats, such as 1e-8, and the tag !new."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), "-+.0123456789"
)


def _class_named(name: str) -> type | None:
    """The class of that name, if a pretrained folder may name it."""
    if name in NAMED:
        return NAMED[name]
    module, _, name = name.rpartition(".")
    if not SEPARATORS.fullmatch(module):
        return None
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ModuleNotFoundError as error:
        if error.name != module:  # one that there is lacks a package
            raise
        return None
    return found if isinstance(found, type) and issubclass(found, Separator) else None


def _new(loader: _Loader, name: str, node: yaml.Node) -> nn.Module:
    found = _class_named(name)
    assert found is not None  # the tags were checked before
    arguments = loader.construct_mapping(node, deep=True) if node.value else {}
    for argument, value in arguments.items():
        most = MOST.get(found.__name__, {}).get(argument, MOST_SIZE)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int | float) and not abs(number) <= most:
                raise InputError(f"{argument} is {number:.1e}, but must be at most {most}")
    _check_arguments(found, arguments)
    return found(**arguments)


def _check_arguments(found: type, arguments: dict) -> None:
    """Refuse arguments by name and type, so that a TypeError of a class is a fault of the class."""
    try:
        inspect.signature(found).bind(**arguments)
    except TypeError as error:
        raise InputError(f"{found.__name__}: {error}") from None
    unknown = arguments.keys() - inspect.signature(found).parameters.keys()
    if unknown:
        raise InputError(f"{found.__name__} takes no {', '.join(sorted(unknown))}")
    hints = typing.get_type_hints(found.__init__)  # type: ignore[misc]
    for name, value in arguments.items():
        if not _fits(value, hints.get(name, Any)):
            kind = getattr(hints[name], "__name__", hints[name])
            raise InputError(f"{found.__name__}, {name}: {str(value)[:40]!r}, but must be {kind}")


def _fits(value: object, hint: Any) -> bool:
    """Whether a value is of the type that an argument is annotated with."""
    parts = typing.get_args(hint)
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return any(_fits(value, part) for part in parts)
    if typing.get_origin(hint) is tuple:
        if not isinstance(value, list) or len(value) != len(parts):
            return False
        return all(map(_fits, value, parts))
    if hint in (int, float):
        return isinstance(value, hint | int) and not isinstance(value, bool)
    if typing.get_origin(hint) is not None:  # such as a function, which YAML has none of
        return False
    return hint is Any or isinstance(value, hint)


_Loader.add_multi_constructor("!new:", _new)


def load_pretrained(hparams_path: Path, weights_path: Path) -> dict:
    """The contents of a pretrained folder, which need not be trusted.

    Arguments
    ---------
    hparams_path : Path
        Its hyperparams.yaml.
    weights_path : Path
        Its model.safetensors.

    Returns
    -------
    dict
        What the YAML file holds, with sample_rate and modules, whose model has the weights.

    Raises
    ------
    InputError
        If the file is larger than 100 kB, is no YAML, has a tag other than !new with a class of
        this package's networks, an alias of anything but such a network, or lacks a key; if the
        network is larger than a limit; or if the weights are not its own by name, shape and type.

    Example
    -------
    >>> folder = Path("bloomnet_sb/pretrained/convtasnet-16k")
    >>> load_pretrained(folder / "hyperparams.yaml", folder / "model.safetensors")["sample_rate"]
    16000
    """
    with limited_size():
        planned = _built(hparams_path)["modules"]["model"]
    # Also that of a norm over all time; its separator has no `reach`.
    layers = [layer for layer in planned.separator.modules() if isinstance(layer, DepthwiseConv)]
    reach = sum(layer.reach for layer in layers)
    if reach > MOST_REACH or reach * planned.encoder.hop > MOST_REACH_SAMPLES:
        raise InputError(
            f"{hparams_path}: a network that looks back more than {MOST_REACH} frames or "
            f"{MOST_REACH_SAMPLES} samples"
        )
    like = torch.zeros(1, device="meta")
    states = [layer.start(1, like) for _, layer in causal_children(planned)]
    if sum(value.numel() for state in states for value in state.values()) > MOST_STATE:
        raise InputError(f"{hparams_path}: a network that carries more than {MOST_STATE} numbers")
    _check_weights(planned, weights_path)
    hparams = _built(hparams_path)
    load_weights(hparams["modules"]["model"], weights_path)
    return hparams


def load_trusted(
    hparams_path: Path,
    weights_path: Path,
    overrides: dict | str | None = None,
    overrides_must_match: bool = True,
) -> dict:
    """The contents of a pretrained folder of which every tag of HyperPyYAML is followed.

    Arguments
    ---------
    hparams_path, weights_path : Path
        As `load_pretrained`.
    overrides : dict or str, optional
        Other values for keys of the file, as HyperPyYAML takes them.
    overrides_must_match : bool
        Whether each has to be of a key that there is.

    Returns
    -------
    dict
        What the YAML file holds, with sample_rate and modules, whose model has the weights.

    Raises
    ------
    InputError
        If the file is no YAML, or lacks a key that is overridden or needed, or the weights are not
        the network's. What is raised within the code that a tag names passes as it is.

    Example
    -------
    >>> folder = Path("bloomnet_sb/pretrained/convtasnet-16k")
    >>> load_trusted(folder / "hyperparams.yaml", folder / "model.safetensors")["sample_rate"]
    16000
    """
    try:
        with open(hparams_path, encoding="utf-8") as file:
            text = resolve_references(file, overrides, overrides_must_match)
    except (RuamelError, KeyError, ValueError) as error:
        raise InputError(f"{hparams_path}: {_reason(error)}") from error
    hparams = load_hyperpyyaml(text)
    _check_contents(hparams, hparams_path)
    load_weights(hparams["modules"]["model"], weights_path)
    return hparams


def load_weights(model: nn.Module, path: Path, network: str = OF_ITS_FOLDER) -> None:
    """Load a network's weights.

    Arguments
    ---------
    model : torch.nn.Module
        The network.
    path : Path
        A safetensors file.
    network : str
        What an error calls the network.

    Raises
    ------
    InputError
        If they are not the network's.
    """
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError, OSError) as error:
        raise _not_its_weights(path, " ".join(str(error).split())[:200], network) from error


def _built(path: Path) -> dict:
    """The contents of the file, of which every tag is checked before anything is built."""
    with open(path, "rb") as file:
        text = file.read(MOST_YAML_BYTES + 1)
    if len(text) > MOST_YAML_BYTES:
        raise InputError(f"{path}: larger than {MOST_YAML_BYTES} bytes")
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        _check_tags(node)
        hparams = loader.construct_document(node)
    except (yaml.YAMLError, ValueError, LookupError, ArithmeticError, RuntimeError) as error:
        # Of a parser, or of a class that cannot take a value. A TypeError or AttributeError would
        # be a fault of the class: the types of its arguments were checked.
        raise InputError(f"{path}: {_reason(error)}") from None
    _check_contents(hparams, path)
    if not LOWEST_RATE <= hparams["sample_rate"] <= HIGHEST_RATE:
        raise InputError(
            f"{path}: sample_rate must be within {LOWEST_RATE} and {HIGHEST_RATE} hertz"
        )
    for name in hparams:
        if not isinstance(name, str):
            raise InputError(f"{path}: {str(name)[:40]!r} is no name of a key")
        if name in RUN_OPTIONS:
            raise InputError(f"{path}: {name} is for whoever loads it to say, as one of run_opts")
    return hparams


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:400] or type(error).__name__


def _check_contents(hparams: object, path: Path) -> None:
    """Refuse what holds no network or sample rate."""
    modules = hparams.get("modules") if isinstance(hparams, dict) else None
    if not isinstance(modules, dict) or not isinstance(modules.get("model"), BloomNet):
        raise InputError(f"{path}: has no BloomNet as modules: model")
    if len(modules) > 1:
        raise InputError(f"{path}: has more modules than model")
    assert isinstance(hparams, dict)
    if type(hparams.get("sample_rate")) is not int or hparams["sample_rate"] < 1:
        raise InputError(f"{path}: sample_rate must be a whole number of hertz")


def _check_tags(root: yaml.Node | None) -> None:
    """Refuse tags that are not allowed, and aliases that would multiply what is built."""
    left, seen = [root] if root else [], set()
    while left:
        node = left.pop()
        line = f"line {node.start_mark.line + 1}"
        new = node.tag.startswith("!new:") and _class_named(node.tag.removeprefix("!new:"))
        if not new and node.tag not in PLAIN_TAGS:
            raise InputError(
                f"{line}: {node.tag} is not allowed in a pretrained folder, only !new: of BloomNet "
                "and of bloomnet_sb's separators, filterbanks and levels; if you trust whoever "
                "made it with all that your account can do, load it with trust_source=True"
            )
        if id(node) in seen:
            if not new and not isinstance(node, yaml.ScalarNode):
                raise InputError(f"{line}: a list or mapping is used twice, by an alias")
            continue
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            left += [part for pair in node.value for part in pair]
        elif new and node.value:
            raise InputError(f"{line}: {node.tag} needs its arguments by name")
        elif isinstance(node, yaml.SequenceNode):
            left += node.value


@contextmanager
def limited_size() -> Iterator[None]:
    """Stop the making of networks that are too large, without memory for their weights.

    Raises
    ------
    InputError
        If one is.

    Example
    -------
    >>> with limited_size():
    ...     nn.Linear(3, 5).weight.device
    device(type='meta')
    """
    tensors = parameters = 0

    def count(module: nn.Module, name: str, value: torch.Tensor | None) -> None:
        nonlocal tensors, parameters
        tensors += 1
        parameters += 0 if value is None else value.numel()
        if tensors > MOST_TENSORS or parameters > MOST_PARAMETERS:
            raise InputError(
                f"a network of more than {MOST_TENSORS} tensors or {MOST_PARAMETERS} parameters; "
                "load it with trust_source=True if it is to be so large"
            )

    register = (
        register_module_parameter_registration_hook,
        register_module_buffer_registration_hook,
    )
    handles = [register_hook(count) for register_hook in register]
    try:
        with torch.device("meta"):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _check_weights(model: nn.Module, path: Path) -> None:
    """See by the header of a file whether its weights are a network's."""
    expected = {
        name: (list(value.shape), DTYPES.get(value.dtype))
        for name, value in model.state_dict().items()
    }
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            found = {name: (part.get_shape(), part.get_dtype()) for name, part in found.items()}
    except (SafetensorError, OSError) as error:
        raise _not_its_weights(path, " ".join(str(error).split())[:200]) from None
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise _not_its_weights(
                path,
                f"{name}: {_form(found.get(name))}, where the network has "
                f"{_form(expected.get(name))}",
            )


def _form(form: tuple[list[int], str | None] | None) -> str:
    return "nothing" if form is None else f"{form[1]} {form[0]}"


def _not_its_weights(path: Path, reason: str, network: str = OF_ITS_FOLDER) -> InputError:
    return InputError(f"{path}: not the weights of {network} ({reason})")
