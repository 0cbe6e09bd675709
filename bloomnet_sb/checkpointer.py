"""SpeechBrain's Checkpointer, made safe against a kill at any moment."""

import logging
import os
import shutil
from pathlib import Path

from speechbrain.utils.checkpoints import CKPT_PREFIX, METAFNAME, Checkpoint, Checkpointer
from speechbrain.utils.distributed import ddp_barrier, if_main_process
from speechbrain.utils.logger import get_logger

logger = get_logger(__name__)

STAGING = ".unfinished"


class AtomicCheckpointer(Checkpointer):
    """A `Checkpointer` that writes a checkpoint beside the others and renames it into place.

    SpeechBrain writes into the final folder, the file that makes it count first: a run that is
    killed while saving leaves a newest checkpoint that cannot be loaded.

    Arguments
    ---------
    *args, **kwargs
        As `speechbrain.utils.checkpoints.Checkpointer`.

    Example
    -------
    >>> import torch
    >>> tmpdir = getfixture("tmpdir")
    >>> checkpointer = AtomicCheckpointer(tmpdir, {"model": torch.nn.Linear(2, 2)})
    >>> checkpointer.save_checkpoint().path.name.startswith("CKPT+")
    True
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if if_main_process():
            self._remove_leftovers()

    def save_checkpoint(self, *args, verbosity: int = logging.INFO, **kwargs) -> Checkpoint | None:
        """Save as `Checkpointer.save_checkpoint`; the checkpoint appears when it is complete."""
        staged = super().save_checkpoint(*args, verbosity=logging.DEBUG, **kwargs)
        saved = None if staged is None else self._put_in_place(staged)
        ddp_barrier()  # every process has to see the same checkpoints when it deletes old ones
        if saved is not None:
            logger.log(verbosity, f"Saved a checkpoint in {saved.path}")
        return saved

    def _put_in_place(self, staged: Checkpoint) -> Checkpoint:
        for file in staged.path.iterdir():
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        path = super()._new_checkpoint_dirpath()
        staged.path.rename(path)
        paramfiles = {name: path / file.name for name, file in staged.paramfiles.items()}
        return Checkpoint(path, staged.meta, paramfiles)

    def _new_checkpoint_dirpath(self) -> Path:
        return self.checkpoints_dir / STAGING

    def _remove_leftovers(self) -> None:
        # A killed save leaves the staging folder, a killed deletion a folder without its meta file.
        for folder in self.checkpoints_dir.iterdir():
            incomplete = folder.name.startswith(CKPT_PREFIX) and not (folder / METAFNAME).exists()
            if folder.name == STAGING or incomplete:
                shutil.rmtree(folder)
