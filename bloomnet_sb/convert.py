"""Checkpoints of the BLOOM-Net paper's own code, built on Asteroid, to `pretrained` folders."""

import pickle
import re
import zipfile
from pathlib import Path

import torch
from hyperpyyaml import load_hyperpyyaml

from bloomnet_sb.errors import InputError, check_positive
from bloomnet_sb.model import BloomNet
from bloomnet_sb.reports import write_pretrained

Weights = dict[str, torch.Tensor]

# The paper's names to ours; a block there is one layer, numbered from 0, and a head is numbered
# from 1. What a function returns stands for a whole name.
NAMES = [
    (r"encoder\.filterbank\._filters", lambda m: "encoder.weight"),
    (r"masker\.bottleneck\.0\.(\w+)", lambda m: f"separator.norm.{m[1]}"),
    (r"masker\.bottleneck\.1\.(\w+)", lambda m: f"separator.bottleneck.{m[1]}"),
    (
        r"masker\.TCN\.(\d+)\.shared_block\.(\d)\.(\w+)",
        lambda m: f"separator.blocks.{m[1]}.0.residual.{m[2]}.{m[3]}",
    ),
    (
        r"masker\.TCN\.(\d+)\.res_conv\.(\w+)",
        lambda m: f"separator.blocks.{m[1]}.0.residual.6.{m[2]}",
    ),
    (
        r"masker\.mask_net(\d+)\.(\d)\.(\w+)",
        lambda m: f"separator.heads.{int(m[1]) - 1}.mask.{m[2]}.{m[3]}",
    ),
    (r"decoder(\d+)\.filterbank\._filters", lambda m: f"decoders.{int(m[1]) - 1}.weight"),
]
NORM_NAMES = {"gamma": "weight", "beta": "bias"}
OF_ONE_DEPTH = re.compile(r"(masker\.mask_net|decoder)\.")

HPARAMS = """
sample_rate: {sample_rate}
model: !new:bloomnet_sb.model.BloomNet
  num_filters: {num_filters}
  kernel_size: {kernel_size}
  encoder_activation: linear
  level_norm: False
  pad_input: False
  separator: !new:bloomnet_sb.separators.ConvTasNetSeparator
    num_filters: {num_filters}
    bottleneck_channels: {bottleneck_channels}
    hidden_channels: {hidden_channels}
    kernel_size: {conv_kernel_size}
    layers_per_block: 1
    num_blocks: {num_blocks}
    num_sources: {num_sources}
    dilation_cycle: 1
    norm: gLN
    norm_eps: 1.0e-8
    mask_activation: sigmoid
"""


def convert(checkpoints: list[Path], folder: Path, sample_rate: int = 16000) -> None:
    """Turn checkpoints of github.com/kimsunwiub/BLOOM-Net into a `pretrained` folder.

    The network there is Asteroid's Conv-TasNet without skip paths: no activation after the
    encoder, gLN with an eps of 1e-8, one layer of dilation 1 a block, sigmoid masks. It does not
    pad its input to whole frames, and its estimates are zero after the last whole frame. The
    converted network's estimates are the same.

    Arguments
    ---------
    checkpoints : list of Path
        The state dicts: those of the sequential models in order of depth, or that of the
        fine-tuned model, as torch saves them.
    folder : Path
        Where hyperparams.yaml, model.safetensors and README.md go.
    sample_rate : int
        The rate the network was trained at, in Hz.

    Raises
    ------
    InputError
        If a checkpoint cannot be read, is not of such a network, or does not go on from the one
        before it.

    Example
    -------
    See `bloomnet convert` in the README.
    """
    check_positive(sample_rate=sample_rate)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: a file, but the result is a folder")
    loaded = [_load(path) for path in checkpoints]
    last = checkpoints[-1]
    if any(OF_ONE_DEPTH.match(name) for name in loaded[-1]):
        weights = _merge(checkpoints, loaded)
    elif len(loaded) == 1:
        weights = loaded[0]
    else:
        raise InputError(f"{last}: no sequential model; a fine-tuned one is converted by itself")
    hparams = HPARAMS.format(sample_rate=sample_rate, **_sizes(last, weights))
    model = load_hyperpyyaml(hparams)["model"]
    _fill(model, {_our_name(last, name): value for name, value in weights.items()}, last)
    write_pretrained(model, hparams, folder, _card(checkpoints, model))


def _load(path: Path) -> Weights:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, RuntimeError, OSError, EOFError) as error:
        reason = " ".join(str(error).split())[:100]
        raise InputError(f"{path}: not a checkpoint that torch loads safely ({reason})") from None
    content = content.get("state_dict", content) if isinstance(content, dict) else None
    if not content or not all(isinstance(value, torch.Tensor) for value in content.values()):
        raise InputError(f"{path}: no state dict, that is a dictionary of names and tensors")
    return {name.removeprefix("module."): value.float() for name, value in content.items()}


def _merge(checkpoints: list[Path], loaded: list[Weights]) -> Weights:
    """The weights of sequential models under the names of the fine-tuned one."""
    last = loaded[-1]
    merged = {name: value for name, value in last.items() if not OF_ONE_DEPTH.match(name)}
    for depth, (path, weights) in enumerate(zip(checkpoints, loaded, strict=True), 1):
        layers = {name.split(".")[2] for name in weights if name.startswith("masker.TCN.")}
        if layers != {str(index) for index in range(depth)}:
            raise InputError(
                f"{path}: a model of {len(layers)} blocks, but is number {depth} of the "
                "checkpoints, which go from one block on in order of depth"
            )
        for name, value in weights.items():
            if OF_ONE_DEPTH.match(name):
                merged[OF_ONE_DEPTH.sub(rf"\g<1>{depth}.", name)] = value
            elif name not in last or not torch.equal(value, last[name]):
                raise InputError(
                    f"{path}: {name} is not that of {checkpoints[-1]}, but sequential models "
                    "share all but the masks and the decoder"
                )
    return merged


def _sizes(path: Path, weights: Weights) -> dict[str, int]:
    try:
        num_filters, _, kernel_size = weights["encoder.filterbank._filters"].shape
        masks = weights["masker.mask_net1.1.weight"].shape[0]
        return {
            "num_filters": num_filters,
            "kernel_size": kernel_size,
            "bottleneck_channels": weights["masker.bottleneck.1.weight"].shape[0],
            "hidden_channels": weights["masker.TCN.0.shared_block.0.weight"].shape[0],
            "conv_kernel_size": weights["masker.TCN.0.shared_block.3.weight"].shape[-1],
            "num_blocks": sum(name.endswith("res_conv.weight") for name in weights),
            "num_sources": max(masks // num_filters, 1),
        }
    except KeyError as error:
        raise InputError(f"{path}: no checkpoint of BLOOM-Net, it lacks {error.args[0]}") from None
    except ValueError:
        raise InputError(
            f"{path}: encoder.filterbank._filters has "
            f"{weights['encoder.filterbank._filters'].dim()} dimensions, but must have 3"
        ) from None


def _our_name(path: Path, name: str) -> str:
    if "skip_conv" in name:
        raise InputError(f"{path}: has {name}, but the paper's network has no skip paths")
    for pattern, our_name in NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            *parents, leaf = our_name(match).split(".")
            return ".".join([*parents, NORM_NAMES.get(leaf, leaf)])
    raise InputError(f"{path}: {name} is no weight of the paper's network")


def _fill(model: BloomNet, weights: Weights, path: Path) -> None:
    for name, parameter in model.state_dict().items():
        if name not in weights:
            raise InputError(f"{path}: lacks the weights that are {name} here")
        # The filterbanks have a dimension for the one channel of audio.
        if weights[name].dim() > parameter.dim():
            weights[name] = weights[name].squeeze(1)
        if weights[name].shape != parameter.shape:
            raise InputError(
                f"{path}: {name} here is {list(weights[name].shape)}, but must be "
                f"{list(parameter.shape)}"
            )
    unused = weights.keys() - model.state_dict().keys()
    if unused:
        raise InputError(f"{path}: has weights for {min(unused)}, which the network does not have")
    model.load_state_dict(weights)


def _card(checkpoints: list[Path], model: BloomNet) -> str:
    names = ", ".join(path.name for path in checkpoints)
    return (
        f"# BLOOM-Net, Conv-TasNet, {model.num_blocks} blocks\n\n"
        f"Converted by `bloomnet convert` from {names}, trained with "
        "https://github.com/kimsunwiub/BLOOM-Net. Data and licence are those of the checkpoints.\n"
    )
