"""What a run starts from: its own checkpoint, or else the weights or the state that are given."""

import hashlib
import json
from pathlib import Path

from speechbrain.utils.checkpoints import Checkpointer
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.logger import get_logger

from bloomnet_sb.model import BloomNet
from bloomnet_sb.pretrained.fetching import fetch_pretrained
from bloomnet_sb.pretrained.loading import load_weights
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import InputError

logger = get_logger(__name__)

# Beside the checkpoints of a run
RECORD = ".started_from.json"
# What an error calls the network that `start_from` is for.
THIS_RUNS = "this run's network, whose sizes must be those of the hyperparams.yaml beside it"


def start_from(source: str | None, model: BloomNet, checkpointer: Checkpointer) -> None:
    """Load the weights that a training is to start from; a checkpoint of its own goes before them.

    Arguments
    ---------
    source : str, optional
        A pretrained folder, or a name of `bloomnet list`. Default: nothing is loaded.
    model : BloomNet
        The network.
    checkpointer : Checkpointer
        The run's.

    Raises
    ------
    InputError
        If there is no such folder, it has the weights of another network, or the run has begun from
        others.

    Example
    -------
    >>> start_from(None, model=None, checkpointer=None)
    """
    if source is None:
        return
    weights = fetch_pretrained(source)[1]
    if not has_begun("start_from", source, Path(weights), checkpointer):
        load_weights(model, weights, THIS_RUNS)


def has_begun(option: str, source: str, file: Path, checkpointer: Checkpointer) -> bool:
    """Whether a run has a checkpoint, so that it does not start from what an option names.

    The same command starts a run and goes on with it. What it was started from is kept beside its
    checkpoints, so that an option that now names something else is not taken for done.

    Arguments
    ---------
    option : str
        Its name.
    source : str
        What the option names.
    file : Path
        The file that it stands for; once there is a checkpoint, it need not be there any more.
    checkpointer : Checkpointer
        The run's.

    Returns
    -------
    bool
        Whether it has one.

    Raises
    ------
    InputError
        If the run was started from something else.

    Example
    -------
    See `start_from`.
    """
    folder = Path(checkpointer.checkpoints_dir)
    record = folder / RECORD
    about = {"option": option, "source": source}
    if file.is_file():
        about["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    if checkpointer.find_checkpoint() is None:
        if if_main_process():
            with written_whole(record) as unfinished:
                unfinished.write_text(json.dumps(about) + "\n", encoding="utf-8")
        return False
    before = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
    if not before:
        logger.warning(f"{option} {source} is not used: the run in {folder} has begun without it")
    elif "sha256" in about and before.get("sha256") != about["sha256"]:
        raise InputError(
            f"{option} {source}: the run in {folder} was started from {before['source']}, and goes "
            "on from there; name another output_folder"
        )
    return True
