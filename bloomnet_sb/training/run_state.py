"""The whole state of a run in one file, to go on from it elsewhere.

python -m bloomnet_sb.training.run_state OUTPUT_FOLDER FILE
"""

import argparse
import shutil
import zipfile
from pathlib import Path

import yaml
from speechbrain.utils.checkpoints import CKPT_PREFIX, METAFNAME, Checkpointer

from bloomnet_sb.model import BloomNet
from bloomnet_sb.training.growing import grow_checkpoint
from bloomnet_sb.training.starting import has_begun
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import InputError, exit_with_one_line

STARTED = CKPT_PREFIX + "+start"
TRIES = 5


def pack_state(output_folder: str | Path, file: str | Path) -> None:
    """Pack the newest checkpoint of a run, which may be running, into one file.

    A zip of the checkpoint's files: weights, their average, the optimizer's moments, counters, and
    CKPT.yaml, which names the commit of the code that trains it.

    Arguments
    ---------
    output_folder : str or Path
        The run's.
    file : str or Path
        The file to write.

    Raises
    ------
    InputError
        If there is no checkpoint.

    Example
    -------
    >>> pack_state("results/BandRNN/1234", "state.zip")  # doctest: +SKIP
    """
    for left in reversed(range(TRIES)):
        newest = _newest_checkpoint(Path(output_folder) / "save")
        try:
            with written_whole(file) as unfinished:
                _write_zip(newest, unfinished)
            return
        except FileNotFoundError:  # the run has deleted it for a newer one
            if not left:
                raise


def start_from_state(file: str | Path | None, checkpointer: Checkpointer, model: BloomNet) -> None:
    """Unpack a state as the first checkpoint of a run that has none.

    Arguments
    ---------
    file : str or Path, optional
        What `pack_state` wrote. Default: nothing is done.
    checkpointer : Checkpointer
        The run's.
    model : BloomNet
        The run's network. If it has more blocks than the state, the state gets them, see
        `growing.grow_checkpoint`.

    Raises
    ------
    InputError
        If that is no such file, it is of another network and cannot grow to this one, or the run
        was started from another.

    Example
    -------
    >>> start_from_state(None, checkpointer=None, model=None)
    """
    if file is None or has_begun("start_state", str(file), Path(file), checkpointer):
        return
    folder = checkpointer.checkpoints_dir / STARTED
    unfinished = folder.with_name(f".{STARTED}.partial")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with zipfile.ZipFile(file) as packed:
            names = packed.namelist()
            if METAFNAME not in names or any(Path(name).name != name for name in names):
                raise InputError(f"{file}: not the state of a run")
            packed.extractall(unfinished)
    except (OSError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: cannot be read as the state of a run ({error})") from None
    try:
        grow_checkpoint(unfinished, model)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    unfinished.rename(folder)


def _newest_checkpoint(folder: Path) -> Path:
    """By its own note of the time; without a Checkpointer, which a running run keeps to itself."""
    found = []
    for path in folder.glob(f"{CKPT_PREFIX}+*"):
        try:
            meta = yaml.safe_load((path / METAFNAME).read_text(encoding="utf-8"))
        except FileNotFoundError:  # being deleted
            continue
        found.append((meta["unixtime"], path))
    if not found:
        raise InputError(f"{folder}: no checkpoint there")
    return max(found)[1]


def _write_zip(checkpoint: Path, file: Path) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for path in sorted(checkpoint.iterdir()):
            packed.write(path, path.name)


def main(argv: list[str] | None = None) -> None:
    """Pack the state of a run, from the command line."""
    parser = argparse.ArgumentParser(
        description="Pack the newest checkpoint of a run into one file."
    )
    parser.add_argument("output_folder", help="that of the run")
    parser.add_argument("file", help="what to write")
    arguments = parser.parse_args(argv)
    with exit_with_one_line():
        pack_state(arguments.output_folder, arguments.file)


if __name__ == "__main__":
    main()
