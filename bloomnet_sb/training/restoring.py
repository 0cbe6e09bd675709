"""A training goes on from a checkpoint: of its own network, with the options that are given now."""

from collections.abc import Iterator
from contextlib import contextmanager

from speechbrain.utils.checkpoints import Checkpoint, Checkpointer
from torch.optim import Optimizer

from bloomnet_sb.utils.errors import InputError


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
