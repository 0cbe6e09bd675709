"""SpeechBrain's Checkpointer, made safe against kills, full disks, damage and a second run."""

import logging
import os
import shutil
from pathlib import Path

import yaml
from speechbrain.utils.checkpoints import CKPT_PREFIX, METAFNAME, Checkpoint, Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger

from bloomnet_sb.utils.atomic_files import lock_folder
from bloomnet_sb.utils.errors import InputError, Stopped

logger = get_logger(__name__)

STAGING = ".unfinished"
DAMAGED = "damaged+"
# In the RuntimeErrors of torch.save where it could not write all that it had to
NOT_WRITTEN = ("inline_container", "iostream error", "PytorchStreamWriter")


class AtomicCheckpointer(Checkpointer):
    """A `Checkpointer` that writes a checkpoint beside the others and renames it into place.

    SpeechBrain writes into the final folder, the file that makes it count first: a run that is
    killed while saving leaves a newest checkpoint that cannot be loaded.

    Each checkpoint names the sizes of its files. One that has lost a part of them is set aside
    when the checkpointer is made, with a warning, and the one before counts as the newest. A
    checkpoint counts as newer than those before it even if the clock was set back.

    Arguments
    ---------
    *args, **kwargs
        As `speechbrain.utils.checkpoints.Checkpointer`.

    Raises
    ------
    InputError
        If the folder cannot be made, or another process has a checkpointer in it.

    Example
    -------
    >>> import torch
    >>> tmpdir = getfixture("tmpdir")
    >>> checkpointer = AtomicCheckpointer(tmpdir, {"model": torch.nn.Linear(2, 2)})
    >>> checkpointer.save_checkpoint().path.name.startswith("CKPT+")
    True
    """

    def __init__(self, *args, **kwargs):
        try:
            super().__init__(*args, **kwargs)
        except OSError as error:
            raise InputError(f"{error.filename}: cannot be written ({error.strerror})") from None
        if if_main_process():
            self._lock = lock_folder(self.checkpoints_dir)
            self._remove_leftovers()
            self._set_aside_damaged()

    def save_checkpoint(self, *args, verbosity: int = logging.INFO, **kwargs) -> Checkpoint | None:
        """Save as `Checkpointer.save_checkpoint`; the checkpoint appears when it is complete.

        Raises
        ------
        Stopped
            If it cannot be written, such as on a full disk. The checkpoints before it stay.
        """
        try:
            staged = super().save_checkpoint(*args, verbosity=logging.DEBUG, **kwargs)
            saved = None if staged is None else self._put_in_place(staged)
        except (OSError, RuntimeError) as error:
            self._remove_leftovers()
            if not isinstance(error, OSError) and not any(
                sign in str(error) for sign in NOT_WRITTEN
            ):
                raise
            reason = str(error).strip().splitlines()[0]
            raise Stopped(
                f"{self.checkpoints_dir}: a checkpoint could not be written ({reason}); make room "
                "and start again with the same command, and it goes on from the one before"
            ) from error
        ddp_barrier()  # every process has to see the same checkpoints when it deletes old ones
        if saved is not None:
            logger.log(verbosity, f"Saved a checkpoint in {saved.path}")
        return saved

    def _put_in_place(self, staged: Checkpoint) -> Checkpoint:
        self._complete_meta(staged)
        for file in staged.path.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        path = self._place
        if path.exists():
            shutil.rmtree(path)  # a checkpoint of the same name
        staged.path.rename(path)
        paramfiles = {name: path / file.name for name, file in staged.paramfiles.items()}
        return Checkpoint(path, staged.meta, paramfiles)

    def _complete_meta(self, staged: Checkpoint) -> None:
        newest = max((ckpt.meta["unixtime"] for ckpt in self.list_checkpoints()), default=0.0)
        staged.meta["unixtime"] = max(staged.meta["unixtime"], newest + 1e-3)
        staged.meta["bytes"] = _sizes(staged.path)
        self._save_checkpoint_metafile(staged.path / METAFNAME, staged.meta)

    def _new_checkpoint_dirpath(self) -> Path:
        self._place = super()._new_checkpoint_dirpath()
        return self.checkpoints_dir / STAGING

    def _custom_checkpoint_dirpath(self, name: str) -> Path:
        self._place = super()._custom_checkpoint_dirpath(name)
        return self.checkpoints_dir / STAGING

    def _remove_leftovers(self) -> None:
        # A killed save leaves the staging folder, a killed deletion a folder without its meta file.
        for folder in self.checkpoints_dir.iterdir():
            incomplete = folder.name.startswith(CKPT_PREFIX) and not (folder / METAFNAME).exists()
            if folder.name == STAGING or incomplete:
                shutil.rmtree(folder)

    def _set_aside_damaged(self) -> None:
        for folder in self._list_checkpoint_dirs():
            if _is_whole(folder):
                continue
            aside = folder.rename(_free_place(folder.with_name(DAMAGED + folder.name)))
            logger.warning(f"{folder} is damaged: set aside as {aside.name}, the one before counts")


def note_sizes(checkpoint: Path) -> None:
    """Name the sizes of a checkpoint's files anew, after they were changed.

    Example
    -------
    >>> folder = Path(getfixture("tmpdir"))
    >>> _ = (folder / "CKPT.yaml").write_text("unixtime: 1.0")
    >>> _ = (folder / "model.ckpt").write_text("weights")
    >>> note_sizes(folder)
    >>> yaml.safe_load((folder / "CKPT.yaml").read_text())["bytes"]
    {'model.ckpt': 7}
    """
    file = checkpoint / METAFNAME
    meta = yaml.safe_load(file.read_text(encoding="utf-8"))
    file.write_text(yaml.dump({**meta, "bytes": _sizes(checkpoint)}), encoding="utf-8")


def _sizes(checkpoint: Path) -> dict[str, int]:
    files = [file for file in checkpoint.iterdir() if file.name != METAFNAME]
    return {file.name: file.stat().st_size for file in files}


def _free_place(folder: Path) -> Path:
    """That of a folder, with a number where one is there: CKPT+start may be damaged again."""
    number, place = 1, folder
    while place.exists():
        number += 1
        place = folder.with_name(f"{folder.name}.{number}")
    return place


def _is_whole(checkpoint: Path) -> bool:
    """Whether the files are as large as when they were saved, where that was noted."""
    try:
        meta = yaml.safe_load((checkpoint / METAFNAME).read_bytes())
    except (yaml.YAMLError, UnicodeDecodeError):
        return False
    # The keys are in the order of the alphabet: a file cut short has lost this one.
    if not isinstance(meta, dict) or "unixtime" not in meta:
        return False
    sizes = _sizes(checkpoint)
    return meta.get("bytes", sizes) == sizes
