"""OpenEndedBrain: one run without a planned end, of which the average of the weights is kept."""

import subprocess
from pathlib import Path

import numpy as np
import speechbrain as sb
import torch
from speechbrain.utils.epoch_loop import EpochCounter
from torch import nn
from torch.utils.data import DataLoader

from bloomnet_sb.data.pools import PoolDataset
from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.pauses import Pause
from bloomnet_sb.scoring.group_scores import GroupScores
from bloomnet_sb.training.progress import Progress
from bloomnet_sb.training.resilience import ResilientBrain, seed_of
from bloomnet_sb.training.restoring import go_on_from, refuse_other_network
from bloomnet_sb.training.run_state import STARTED
from bloomnet_sb.training.update_draws import check_update_draws, draw_depths, draw_pause
from bloomnet_sb.utils.errors import InputError


class OpenEndedBrain(ResilientBrain):
    """A Brain that trains a `BloomNet` until it is stopped, in epochs of some number of updates.

    What an update draws (depths, and what `generator` is used for) is a function of the seed and
    its number, the latter also of the process: several, started by torchrun, train together, each
    on batches of its own. The learning rate is `hparams.rate`; where that decays, it does from the
    update on after which the run was first asked to, see `Progress.plan_decay`, and `fit` ends with
    it. After each epoch the average of the weights is validated, in groups of mixtures, and saved
    with all that the run needs to go on, on this or another machine; the last and the best state
    are kept.

    Takes the arguments of `speechbrain.core.Brain`; `modules` holds "model" and "loss", and
    `hparams` the entries average, rate, seed, sample_rate, random_depths, depth_weights, pauses,
    compile_parts, number_of_epochs and train_logger. A subclass defines `compute_forward` and
    `compute_objectives`, which puts what it validates into `scores`.

    Raises
    ------
    InputError
        For SpeechBrain's options to compile whole modules and to test only, and for depths and
        pauses that no update can have.

    Attributes
    ----------
    model : BloomNet
        What is trained.
    average : BloomNet
        The average of its weights, for validation and for use.
    scores : GroupScores
        Those of the validation at hand.

    Example
    -------
    See recipes/BandRNN/train_listeners.py.
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.compile or self.compile_module_keys:
            raise InputError("--compile: here compile_parts says whether parts are compiled")
        if self.test_only:
            raise InputError("--test_only: this run has no test; validation follows each epoch")
        names = ("random_depths", "depth_weights", "pauses")
        check_update_draws(**{name: getattr(self.hparams, name) for name in names})
        # Of the blocks and heads beyond the depths of an update
        self.find_unused_parameters = True
        self.model = self.modules["model"]
        self.average = self.hparams.average.model.to(self.device)
        self.progress = Progress(processes=self.processes)
        self.scores = GroupScores(self.hparams.sample_rate)
        self.commit = _commit()
        self.epoch_counter = EpochCounter(self.hparams.number_of_epochs)
        self.checkpointer.add_recoverables(
            {
                "model": self.model,
                "counter": self.epoch_counter,
                "average": self.average,
                "progress": self.progress,
            }
        )

    @property
    def checkpoint_meta(self) -> dict:
        """How far the run is, and whose code trains it."""
        return {
            "commit": self.commit,
            "updates": self.optimizer_step,
            "audio_hours": self.progress.audio_hours,
        }

    def train_loader(self, dataset: PoolDataset, num_workers: int) -> DataLoader:
        """A loader of a pool, which the run goes through epoch by epoch."""
        dataset.share(self.rank, self.processes)
        self.train_set = dataset
        loader = DataLoader(dataset, batch_size=None, num_workers=num_workers)
        self.check_accumulation(len(loader))
        return loader

    def on_fit_start(self) -> None:
        """Go on from the newest checkpoint; see where a decay begins and ends."""
        if self.hparams.compile_parts:
            compile_parts(self.model, self.modules["loss"])
        self._wrap_distributed()
        self.init_optimizers()
        newest = self.checkpointer.find_checkpoint()
        if newest is not None:
            go_on_from(newest, self.checkpointer, self.optimizer)
        self.end_after(self.hparams.number_of_epochs)
        moved = newest is not None and newest.path.name == STARTED
        self.progress.plan_decay(self.hparams.rate, self.optimizer_step, moved)
        if self.progress.decay_to is not None:
            self.optimizer_step_limit = self.progress.decay_to

    def drawn_depths(self) -> list[int]:
        """The numbers of blocks that the update at hand is about, see `draw_depths`."""
        rng = np.random.default_rng([self.hparams.seed, self.optimizer_step])
        return draw_depths(
            self.model.num_blocks, self.hparams.random_depths, self.hparams.depth_weights, rng
        )

    def drawn_pause(self, samples: int) -> Pause | None:
        """The pause of deeper blocks in mixtures of so many samples, see `draw_pause`."""
        rng = np.random.default_rng([self.hparams.seed, self.optimizer_step, 2])
        frames = self.model.encoder.num_frames(samples)
        return draw_pause(self.model.num_blocks, frames, self.hparams.pauses, rng)

    def generator(self) -> torch.Generator:
        """Random numbers for the batch at hand, from the CPU."""
        numbers = [self.hparams.seed, self.optimizer_step, 1, self.rank]
        accumulated = self.step % self.grad_accumulation_factor
        seed = seed_of(*numbers, *([accumulated] if accumulated else []))
        return torch.Generator().manual_seed(seed)

    def on_fit_batch_start(self, batch, should_step: bool) -> None:
        """Set the learning rate of the update."""
        super().on_fit_batch_start(batch, should_step)
        lr = self.hparams.rate(self.optimizer_step, self.progress.decay_from)
        for group in self.optimizer.param_groups:
            group["lr"] = lr

    def on_fit_batch_end(self, batch, outputs, loss, should_step: bool) -> None:
        """Have the average follow."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        if should_step:
            self.hparams.average.update(self.model, self.optimizer_step)
        self.progress.add(batch["heard"].numel() / self.hparams.sample_rate)

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Go on in the epoch where a checkpoint left it, or start the scores afresh."""
        if stage == sb.Stage.TRAIN:
            self.train_set.set_epoch(epoch or 0)
            self.train_set.go_on_after(self.step)
            self.progress.start_clock()
            self._since = (self.progress.audio_hours, self.progress.cpu_hours)
        else:
            self.scores.restart()

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """Log an epoch, a line for each group of validation mixtures, and save its checkpoint."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
            hours, cpu_hours = self.progress.audio_hours, self.progress.cpu_hours
            self._speed = (hours - self._since[0]) / max(cpu_hours - self._since[1], 1e-9)
        if stage == sb.Stage.VALID:
            self.progress.add()
            self._log(stage_loss, epoch)
            self.checkpointer.save_and_keep_only(
                meta={**self.checkpoint_meta, "loss": stage_loss},
                min_keys=["loss"],
                importance_keys=[],
            )

    def load_best(self) -> None:
        """Load the average that did best in validation.

        Raises
        ------
        InputError
            If there was none.
        """
        best = self.checkpointer.find_checkpoint(min_key="loss")
        if best is None:
            raise InputError(f"{self.checkpointer.checkpoints_dir}: no checkpoint of an epoch")
        with refuse_other_network(best):
            self.checkpointer.load_checkpoint(best)

    def _fit_valid(self, *args, **kwargs) -> None:
        # What is compiled for the shapes of training stays as it is.
        with torch.compiler.set_stance("force_eager"):
            super()._fit_valid(*args, **kwargs)

    def _log(self, loss: float, epoch: int | None) -> None:
        progress = self.progress
        stats = {
            "epoch": epoch,
            "updates": self.optimizer_step,
            "lr": self.optimizer.param_groups[0]["lr"],
            "hours of audio": f"{progress.audio_hours:.2f}",
            "a CPU hour, in this epoch": f"{self._speed:.1f}",
            "a CPU hour, with validation": _ratio(progress.audio_hours, progress.cpu_hours),
            "an hour, with validation": _ratio(progress.audio_hours, progress.wall_hours),
        }
        log = self.hparams.train_logger.log_stats
        log(stats, train_stats={"loss": self.train_loss}, valid_stats={"loss": loss})
        for group, scores in self.scores.means().items():
            by_depth = {
                name: " ".join(f"{value:.{digits}f}" for value in values)
                for (name, digits), values in scores.items()
            }
            log({"epoch": epoch, "mixtures": group}, valid_stats=by_depth)


def compile_parts(model: BloomNet, loss: nn.Module) -> None:
    """Compile what takes the time of an update: entry, blocks and heads, and the loss.

    Arguments
    ---------
    model : BloomNet
        What is trained.
    loss : torch.nn.Module
        Its loss.
    """
    separator = model.separator
    for part in (separator.entry, *separator.blocks, *separator.heads, loss):
        part.compile(dynamic=False)


def _ratio(audio: float, time: float) -> str:
    return f"{audio / max(time, 1e-9):.1f}"


def _commit() -> str | None:
    """The commit that this code is from; None where it is in no repository."""
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:  # no git
        return None
    return found.stdout.strip() or None
