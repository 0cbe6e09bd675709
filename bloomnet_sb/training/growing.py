"""A run goes on with more blocks than it had."""

import copy
import re
from pathlib import Path

import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.training.checkpointer import note_sizes
from bloomnet_sb.utils.errors import InputError

WEIGHTS = ("model.ckpt", "average.ckpt")
MOMENTS = "optimizer.ckpt"
# What each depth has one of
OF_DEPTHS = ("separator.blocks", "separator.heads", "decoders")
BLOCK = re.compile(r"separator\.blocks\.(\d+)\.")


def grow_checkpoint(folder: str | Path, model: BloomNet) -> None:
    """Give a run's checkpoint the blocks that it lacks, so that no estimate changes at first.

    Each further block is a copy of the last one whose residual is zero, and its head and decoder
    are copies too, so that estimates of it are those of the last depth until it is trained
    (function-preserving growth; Chen et al., 2016, arXiv 1511.05641, and stacking; Gong et al.,
    2019). The optimizer's moments of all else are kept. Nothing is done to a checkpoint that has
    as many blocks as the network, or more.

    Arguments
    ---------
    folder : str or Path
        The checkpoint's, which is changed in place.
    model : BloomNet
        A network of the same sizes with more blocks. Its weights are left as they are.

    Raises
    ------
    InputError
        If the blocks of its separator cannot be zero residuals, or the networks differ in more
        than the number of blocks.

    Example
    -------
    >>> grow_checkpoint("results/BandRNN/1234/save/CKPT+start", model)  # doctest: +SKIP
    """
    folder = Path(folder)
    had = _num_blocks(folder / WEIGHTS[0])
    if not 0 < had < model.num_blocks:
        _check_names(_read(folder / WEIGHTS[0]), model.state_dict())
        return
    if not hasattr(model.separator.blocks[0], "start_as_identity"):
        raise InputError(
            f"it has {had} blocks, the network {model.num_blocks}, and a block of "
            f"{type(model.separator).__name__} cannot start as a zero residual"
        )
    depths = range(had, model.num_blocks)
    further = tuple(f"{modules}.{depth}." for modules in OF_DEPTHS for depth in depths)
    grown = copy.deepcopy(model)
    for name in WEIGHTS:
        _load_all_but(grown, folder / name, further)
        for depth in depths:
            _copy_last(grown, had - 1, depth)
        torch.save(grown.state_dict(), folder / name)
    _move_moments(folder / MOMENTS, grown, further)
    note_sizes(folder)


def _read(file: Path) -> dict:
    """A file of a checkpoint, whose run may have had a GPU."""
    return torch.load(file, map_location="cpu", weights_only=True)


def _num_blocks(weights: Path) -> int:
    found = [BLOCK.match(name) for name in _read(weights)]
    return max((int(match[1]) + 1 for match in found if match), default=0)


def _load_all_but(model: BloomNet, weights: Path, further: tuple[str, ...]) -> None:
    state, expected = _read(weights), model.state_dict()
    _check_names(state, {n: expected[n] for n in expected if not n.startswith(further)})
    model.load_state_dict(state, strict=False)


def _check_names(state: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> None:
    others = expected.keys() ^ state.keys()
    others |= {name for name in state.keys() - others if state[name].shape != expected[name].shape}
    if others:
        found = ", ".join(sorted(others)[:5])
        raise InputError(f"the state of another network than this run's, see {found}")


def _copy_last(model: BloomNet, last: int, depth: int) -> None:
    for name in OF_DEPTHS:
        source = model.get_submodule(f"{name}.{last}")
        model.get_submodule(f"{name}.{depth}").load_state_dict(source.state_dict())
    model.separator.blocks[depth].start_as_identity()  # type: ignore[operator]


def _move_moments(file: Path, model: BloomNet, further: tuple[str, ...]) -> None:
    """Optimizers number parameters in their order."""
    names = [name for name, _ in model.named_parameters()]
    old = [number for number, name in enumerate(names) if not name.startswith(further)]
    state = _read(file)
    state["state"] = {old[number]: moments for number, moments in state["state"].items()}
    [group] = state["param_groups"]
    group["params"] = list(range(len(names)))
    torch.save(state, file)
