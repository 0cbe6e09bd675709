"""A training goes on from a checkpoint: of its own network, with the options that are given now."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path

from hyperpyyaml import resolve_references
from ruamel.yaml import YAML
from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from speechbrain.utils.distributed import if_main_process
from torch.optim import Optimizer

from bloomnet_sb.pretrained.saving import network_keys
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import InputError

# Beside the checkpoints of a run: the part of its YAML that says what its network is
NETWORK_FILE = ".network.yaml"
# Keys of it that may change from one start to the next, as no estimate depends on them
FREE_KEYS = ("dropout",)


def keep_to_network(hparams_file: str, overrides: str, checkpointer: Checkpointer) -> None:
    """Refuse to go on with a network that is not the one a run began with.

    One whose weights have the same shapes, with another activation or sample rate, would load them,
    go on, and be written over what was trained.

    Arguments
    ---------
    hparams_file : str
        The YAML file of the training.
    overrides : str
        YAML that overrides keys of it.
    checkpointer : Checkpointer
        The run's.

    Raises
    ------
    InputError
        Naming the first key that differs.

    Example
    -------
    See `bloomnet_sb.training.steps.parse`.
    """
    record = Path(checkpointer.checkpoints_dir) / NETWORK_FILE
    yaml, text = YAML(), StringIO()
    with open(hparams_file, encoding="utf-8") as file:
        yaml.dump(network_keys(yaml, resolve_references(file, overrides)), text)
    if checkpointer.find_checkpoint() is not None and record.is_file():
        _compare(_entries(text.getvalue()), _entries(record.read_text(encoding="utf-8")), record)
    elif if_main_process():
        with written_whole(record) as unfinished:
            unfinished.write_text(text.getvalue(), encoding="utf-8")


def _entries(text: str) -> list[str]:
    lines = (line.split(" #")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and line.split(":")[0] not in FREE_KEYS]


def _compare(entries: list[str], before: list[str], record: Path) -> None:
    if entries == before:
        return
    differing = zip([*entries, "nothing more"], [*before, "nothing more"], strict=False)
    now, then = next(pair for pair in differing if pair[0] != pair[1])
    raise InputError(
        f"{record}: the network of this run began with {then!r}, and now has {now!r}; give "
        "the options that it began with, or another output_folder"
    )


def go_on_from(checkpoint: Checkpoint, checkpointer: Checkpointer, optimizer: Optimizer) -> None:
    """Load a checkpoint, but for the options of the optimizer, which stay those it was made with.

    An optimizer's state has its learning rate, weight decay.. too, which would go before what a
    command line now asks for.

    Arguments
    ---------
    checkpoint : Checkpoint
        What to load.
    checkpointer : Checkpointer
        What it is one of.
    optimizer : torch.optim.Optimizer
        One of what the checkpointer loads.

    Raises
    ------
    InputError
        If the checkpoint is one of another network.

    Example
    -------
    See `bloomnet_sb.training.brain.BlockwiseBrain.on_fit_start`.
    """
    given = [
        {name: value for name, value in group.items() if name != "params"}
        for group in optimizer.param_groups
    ]
    with refuse_other_network(checkpoint):
        checkpointer.load_checkpoint(checkpoint)
    for group, options in zip(optimizer.param_groups, given, strict=True):
        group.update(options)


@contextmanager
def refuse_other_network(checkpoint: Checkpoint) -> Iterator[None]:
    """Name a checkpoint that a network does not take.

    Example
    -------
    >>> with refuse_other_network(Checkpoint("save/CKPT+1", {}, {})):
    ...     raise RuntimeError("size mismatch for weight")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.InputError: save/CKPT+1: a checkpoint of another network than this ...
    """
    try:
        yield
    except (RuntimeError, ValueError) as error:
        # torch lists each name and shape that differs on lines of their own.
        reason = " ".join(str(error).split())
        raise InputError(
            f"{checkpoint.path}: a checkpoint of another network than this run's ({reason[:200]})"
        ) from error
