"""Checkpoints of the BLOOM-Net paper's own code, built on Asteroid, to `pretrained` folders."""

import re
from dataclasses import dataclass
from pathlib import Path

import torch
from hyperpyyaml import load_hyperpyyaml
from safetensors import SafetensorError

from bloomnet_sb.model import BloomNet
from bloomnet_sb.pretrained.loading import MOST_PARAMETERS, limited_size
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.atomic_files import check_new_folder, folder_written_whole
from bloomnet_sb.utils.errors import InputError, check_positive
from bloomnet_sb.utils.resampling import HIGHEST_RATE, LOWEST_RATE

Weights = dict[str, torch.Tensor]
Sizes = dict[str, int]

# Our names to the paper's, where a block is one layer. <n> stands for the number of a head or a
# decoder: from 1 on in a fine-tuned model, none in a sequential one, which has one of each.
NAMES = [
    (r"^encoder\.weight", r"encoder.filterbank._filters"),
    (r"^separator\.entry\.norm", r"masker.bottleneck.0"),
    (r"^separator\.entry\.bottleneck", r"masker.bottleneck.1"),
    (r"^separator\.blocks\.(\d+)\.0\.residual", r"masker.TCN.\1.res_conv"),
    (r"^separator\.blocks\.(\d+)\.0\.expand", r"masker.TCN.\1.shared_block.0"),
    (r"^separator\.blocks\.(\d+)\.0\.activation", r"masker.TCN.\1.shared_block.1"),
    (r"^separator\.blocks\.(\d+)\.0\.norm", r"masker.TCN.\1.shared_block.2"),
    (r"^separator\.blocks\.(\d+)\.0\.taps", r"masker.TCN.\1.shared_block.3"),
    (r"^separator\.blocks\.(\d+)\.0\.last_activation", r"masker.TCN.\1.shared_block.4"),
    (r"^separator\.blocks\.(\d+)\.0\.last_norm", r"masker.TCN.\1.shared_block.5"),
    (r"^separator\.heads\.(\d+)\.activation", r"masker.mask_net<\1>.0"),
    (r"^separator\.heads\.(\d+)\.mask", r"masker.mask_net<\1>.1"),
    (r"^decoders\.(\d+)\.weight", r"decoder<\1>.filterbank._filters"),
    (r"(bottleneck\.0|shared_block\.[25])\.weight$", r"\1.gamma"),
    (r"(bottleneck\.0|shared_block\.[25])\.bias$", r"\1.beta"),
]
OF_ONE_DEPTH = re.compile(r"(?:separator\.heads|decoders)\.(\d+)\.")

HPARAMS = """
sample_rate: {sample_rate}
model: !new:bloomnet_sb.model.BloomNet
  filterbank: !new:bloomnet_sb.nn.filterbanks.LearnedFilterbank
    num_filters: {num_filters}
    window: {window}
    activation: linear
    pad_input: False
    sample_rate: {sample_rate}
  level: !new:bloomnet_sb.nn.levels.NoLevel
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
        Where hyperparams.yaml, model.safetensors and README.md go: a new or an empty one. They
        appear when all of them are complete.
    sample_rate : int
        The rate the network was trained at, in Hz.

    Raises
    ------
    InputError
        If a checkpoint cannot be read, is not of such a network or of one that is too large to be
        loaded again, or does not go on from the one before it, or if the folder is not empty or
        cannot be written.

    Example
    -------
    >>> convert([Path("layer1.pt"), Path("layer2.pt")], Path("converted"))
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: layer1.pt: no such file
    """
    check_positive(sample_rate=sample_rate)
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise InputError(
            f"sample_rate is {sample_rate}, but must be within {LOWEST_RATE} and {HIGHEST_RATE} Hz"
        )
    check_new_folder(folder)  # before the work; and again when it is done
    loaded = [_load(path) for path in checkpoints]
    if len(loaded) > 1 or loaded[0].sequential:
        sizes, weights = _merged(loaded)
    else:
        sizes = loaded[0].sizes()
        weights = loaded[0].our_weights(sizes)
    hparams = HPARAMS.format(sample_rate=sample_rate, **sizes)
    model = load_hyperpyyaml(hparams)["model"]
    model.load_state_dict(weights)
    _write(model, hparams, folder, _card(checkpoints, model))


@dataclass
class Checkpoint:
    """One file of weights under the paper's names.

    Arguments
    ---------
    path : Path
        The file, for messages.
    weights : dict
        Its weights.

    Example
    -------
    >>> weights = {"decoder.filterbank._filters": torch.zeros(20, 1, 16)}
    >>> Checkpoint(Path("layer1.pt"), weights).sequential
    True
    """

    path: Path
    weights: Weights

    def refused(self, reason: str) -> InputError:
        """The error that says why this checkpoint cannot be converted."""
        return InputError(f"{self.path}: {reason}")

    @property
    def sequential(self) -> bool:
        """Whether it has one head and one decoder, without numbers."""
        return any(name.startswith(("masker.mask_net.", "decoder.")) for name in self.weights)

    def sizes(self) -> Sizes:
        """The sizes of the network, by their names in `HPARAMS`."""
        filters = self._shape("encoder.filterbank._filters")
        masks = self._shape(f"masker.mask_net{'' if self.sequential else 1}.1.weight")
        blocks = {n.split(".")[2] for n in self.weights if n.startswith("masker.TCN.")}
        return {
            "num_filters": filters[0],
            "window": filters[2],
            "bottleneck_channels": self._shape("masker.bottleneck.1.weight")[0],
            "hidden_channels": self._shape("masker.TCN.0.shared_block.0.weight")[0],
            "conv_kernel_size": self._shape("masker.TCN.0.shared_block.3.weight")[2],
            "num_blocks": len(blocks),
            "num_sources": max(masks[0] // filters[0], 1),
        }

    def our_weights(self, sizes: Sizes) -> Weights:
        """The weights under our names; all that the network of these sizes has, and no others."""
        skips = [name for name in self.weights if "skip_conv" in name]
        if skips:
            raise self.refused(f"has {skips[0]}, but the paper's network has no skip paths")
        network = self._planned(sizes)
        if self.sequential:
            network = {n: w for n, w in network.items() if _is_used(n, sizes["num_blocks"])}
        names = {name: paper_name(name, numbered=not self.sequential) for name in network}
        for name in names.values():
            if name not in self.weights:
                raise self.refused(f"lacks {name}")
        others = self.weights.keys() - names.values()
        if others:
            raise self.refused(f"{min(others)} is no weight of the paper's network")
        return {ours: self._like(network[ours], name) for ours, name in names.items()}

    def _planned(self, sizes: Sizes) -> Weights:
        """The weights of the network of these sizes, whatever they are, without memory for them."""
        try:
            with limited_size():
                model = load_hyperpyyaml(HPARAMS.format(sample_rate=1, **sizes))["model"]
        except InputError as error:
            raise self.refused(str(error).partition(";")[0]) from None
        return model.state_dict()

    def _shape(self, name: str) -> torch.Size:
        """The shape of a weight that has three dimensions."""
        if name not in self.weights:
            raise self.refused(f"no checkpoint of BLOOM-Net, it lacks {name}")
        shape = self.weights[name].shape
        if len(shape) != 3 or 0 in shape:
            raise self.refused(f"{name} is {list(shape)}, but must have 3 dimensions of 1 or more")
        return shape

    def _like(self, ours: torch.Tensor, name: str) -> torch.Tensor:
        """A weight, in the shape that it has here."""
        # [filters, samples] of the one channel of audio; [taps, channels] here, the other way round
        # there; and a kernel size of 1.
        expected, taps = list(ours.shape), name.endswith("shared_block.3.weight")
        if name.endswith("_filters"):
            expected.insert(1, 1)
        elif taps:
            expected = [expected[1], 1, expected[0]]
        elif ours.dim() == 2:
            expected.append(1)
        found = list(self.weights[name].shape)
        if found != expected:
            raise self.refused(f"{name} is {found}, but must be {expected}")
        if not torch.isfinite(self.weights[name]).all():
            raise self.refused(f"{name} holds NaN or infinite values")
        weight = self.weights[name]
        return weight[:, 0].t().contiguous() if taps else weight.reshape(ours.shape)


def paper_name(name: str, numbered: bool) -> str:
    """What the paper's code calls a weight of ours.

    Arguments
    ---------
    name : str
        Its name in the state dict of a `BloomNet`.
    numbered : bool
        Whether heads and decoders have numbers there, as in the fine-tuned model.

    Returns
    -------
    str
        Its name there.

    Example
    -------
    >>> paper_name("separator.blocks.2.0.last_norm.weight", numbered=True)
    'masker.TCN.2.shared_block.5.gamma'
    >>> paper_name("separator.heads.2.mask.bias", numbered=True)
    'masker.mask_net3.1.bias'
    >>> paper_name("separator.heads.2.mask.bias", numbered=False)
    'masker.mask_net.1.bias'
    """
    for pattern, replacement in NAMES:
        name = re.sub(pattern, replacement, name)
    return re.sub(r"<(\d+)>", lambda index: str(int(index[1]) + 1) if numbered else "", name)


def _is_used(name: str, blocks: int) -> bool:
    """Whether the estimate of so many blocks, the largest number, needs the weight."""
    match = OF_ONE_DEPTH.match(name)
    return match is None or int(match[1]) == blocks - 1


def _load(path: Path) -> Checkpoint:
    if not path.is_file():
        raise InputError(f"{path}: no such file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch's reader raises a dozen kinds, depending on the damage
        if error.__traceback__ is not None and error.__traceback__.tb_next is None:
            raise  # it is of the call itself
        raise InputError(
            f"{path}: not a checkpoint that torch loads with weights_only=True"
        ) from None
    if isinstance(content, dict):
        content = content.get("state_dict", content)
    if not _is_state_dict(content):
        raise InputError(f"{path}: no state dict, that is a dictionary of names and tensors")
    # Before they are float: a file of a few bytes can hold a tensor of any size.
    if sum(value.numel() for value in content.values()) > MOST_PARAMETERS:
        raise InputError(f"{path}: more than {MOST_PARAMETERS} numbers")
    weights = {name.removeprefix("module."): value.float() for name, value in content.items()}
    return Checkpoint(path, weights)


def _is_state_dict(content: object) -> bool:
    if not isinstance(content, dict) or not content:
        return False
    return all(isinstance(n, str) and isinstance(w, torch.Tensor) for n, w in content.items())


def _merged(checkpoints: list[Checkpoint]) -> tuple[Sizes, Weights]:
    """Sizes and weights of the network that sequential models, in order of depth, add up to."""
    merged: Weights = {}
    for depth, checkpoint in enumerate(checkpoints, 1):
        before = checkpoints[max(depth - 2, 0)]
        _check_goes_on(checkpoint, before, depth)
        for name, value in checkpoint.our_weights(checkpoint.sizes()).items():
            if not torch.equal(merged.setdefault(name, value), value):
                raise checkpoint.refused(
                    f"{paper_name(name, numbered=False)} is not that of {before.path}, but a "
                    "sequential model has all weights of the one before, masks and decoder aside"
                )
    return checkpoints[-1].sizes(), merged


def _check_goes_on(checkpoint: Checkpoint, before: Checkpoint, depth: int) -> None:
    """Refuse a checkpoint that is no sequential model of `depth` blocks, or of other sizes."""
    if not checkpoint.sequential:
        raise checkpoint.refused("no sequential model; a fine-tuned one is converted by itself")
    sizes = checkpoint.sizes()
    if sizes["num_blocks"] != depth:
        raise checkpoint.refused(
            f"a model of {sizes['num_blocks']} blocks, but is number {depth} of the checkpoints, "
            "which go from one block on in order of depth"
        )
    for name, size in before.sizes().items():
        if name != "num_blocks" and sizes[name] != size:
            raise checkpoint.refused(f"{name} is {sizes[name]}, but {size} in {before.path}")


def _card(checkpoints: list[Path], model: BloomNet) -> str:
    # With the folder: the paper's code calls each of its checkpoints Dmodel_last.pt.
    names = ", ".join(str(Path(path.parent.name, path.name)) for path in checkpoints)
    return (
        f"# BLOOM-Net, Conv-TasNet, {model.num_blocks} blocks\n\n"
        f"Converted by `bloomnet convert` from {names}, trained with "
        "https://github.com/kimsunwiub/BLOOM-Net. Data and licence are those of the checkpoints. "
        "The loss there is SI-SDR, which leaves the level of the estimates free.\n"
    )


def _write(model: BloomNet, hparams: str, folder: Path, card: str) -> None:
    try:
        with folder_written_whole(folder) as partial:
            write_pretrained(model, hparams, partial, card)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{folder}: cannot be written ({error})") from error
