"""BlockwiseBrain: runs the stages of a blockwise schedule, resumes them, scores every depth."""

import hashlib
from functools import partial

import speechbrain as sb
import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import SaveableDataLoader
from speechbrain.utils.checkpoints import Checkpoint, torch_recovery
from speechbrain.utils.distributed import if_main_process
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.logger import get_logger
from speechbrain.utils.optimizers import rm_vector_weight_decay
from speechbrain.utils.train_logger import TensorboardLogger
from torch.utils.data import DataLoader, Dataset, Sampler

from bloomnet_sb.data.shard_dataset import ShardDataset, ShardSampler
from bloomnet_sb.nn.losses import best_order, in_order, negative_si_sdr
from bloomnet_sb.nn.pesq import check_pesq_weight
from bloomnet_sb.scoring.depth_scores import DepthScores
from bloomnet_sb.training.polarity import align_polarity
from bloomnet_sb.training.resilience import ResilientBrain
from bloomnet_sb.training.restoring import go_on_from, refuse_other_network
from bloomnet_sb.training.schedule import BlockwiseSchedule, Stage
from bloomnet_sb.utils.errors import InputError

logger = get_logger(__name__)

# What the loss of a validation depends on, beside the network and the mixtures
LOSS_OPTIONS = ("level_weight", "spectral_weight", "pesq_weight", "snr_db", "eval_seconds")


class BlockwiseBrain(ResilientBrain):
    """SpeechBrain's Brain for a `BloomNet` and the stages of a `BlockwiseSchedule`.

    A subclass defines `compute_forward`, the estimates of `depths(stage)`, and
    `compute_objectives`, the loss of what `paired` gives; that passes estimates in validation and
    test to `score`.

    Takes the arguments of `speechbrain.core.Brain`; `modules` holds the network as "model", and
    `hparams` the keys of the schedule (see `BlockwiseSchedule.from_hparams`) and train_logger,
    use_tensorboard, output_folder, sample_rate, pesq_weight and with_dnsmos.

    Attributes
    ----------
    model : BloomNet
        What is trained.
    schedule : BlockwiseSchedule
        The stages.
    stage : Stage
        The one at hand.

    Raises
    ------
    InputError
        If PESQ is to be trained on at a lower rate than its own.

    Example
    -------
    See recipes/ConvTasNet/train.py.
    """

    step: int  # of the epoch, SpeechBrain's

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        check_pesq_weight(self.hparams.pesq_weight, self.hparams.sample_rate)
        self.model = self.modules["model"]
        self.frozen = []
        self.schedule = BlockwiseSchedule.from_hparams(vars(self.hparams), self.model.num_blocks)
        self.stage = self.schedule.stages[-1]
        self.epochs_before = 0
        self.loss_of = ""
        self.epoch_counter = EpochCounter(0)  # each stage sets its limit
        self.checkpointer.add_recoverables({"model": self.model, "counter": self.epoch_counter})
        self.loggers = [self.hparams.train_logger]
        if self.hparams.use_tensorboard and if_main_process():
            self.loggers.append(_tensorboard_logger(f"{self.hparams.output_folder}/tensorboard"))

    @property
    def checkpoint_meta(self) -> dict:
        """Each checkpoint is marked with its stage, and with what its counts are counts of."""
        return {
            "stage": self.stage.name,
            "epochs_before": self.epochs_before,
            "mixtures_in_batch": self.mixtures_in_batch,
            "updates_in_epoch": self.updates_in_epoch,
            "loss_of": self.loss_of,
        }

    def stages_left(self) -> list[Stage]:
        """The stages that are still to run, the one of the last checkpoint first.

        Raises
        ------
        InputError
            If the last checkpoint is of a stage that the schedule does not have.
        """
        if self.test_only:
            return []
        latest = self.checkpointer.find_checkpoint()
        return self.schedule.stages_from(latest and latest.meta["stage"])

    def fit_stage(
        self,
        stage: Stage,
        train_set: Dataset | ShardDataset,
        train_sampler: Sampler | ShardSampler,
        valid_set: Dataset,
        train_loader_kwargs: dict,
        valid_loader_kwargs: dict,
    ) -> None:
        """Train what a stage trains, from its last checkpoint on where there is one.

        It ends with the weights that did best on `valid_set`, from which the next one starts.

        Arguments
        ---------
        stage : Stage
            One of the schedule's.
        train_set, valid_set : Dataset
            Mixtures with their clean sources.
        train_sampler : Sampler
            In which order those of the training come.
        train_loader_kwargs, valid_loader_kwargs : dict
            Options of the data loaders (batch_size, num_workers..).

        Raises
        ------
        InputError
            If the stage's last checkpoint is of another network, or an epoch has no update.
        """
        self._enter_stage(stage)
        self.train_sampler = train_sampler
        self.train_loader = self._train_loader(train_set, train_loader_kwargs)
        self.mixtures_in_batch = self.processes * train_loader_kwargs.get("batch_size", 1)
        self.check_accumulation(len(self.train_loader))
        self.updates_in_epoch = len(self.train_loader) // self.grad_accumulation_factor
        self.updates_in_stage = stage.settings.epochs * self.updates_in_epoch
        self.loss_of = self._loss_of(valid_set)
        self.fit(
            self.epoch_counter,
            self.train_loader,
            valid_set,
            valid_loader_kwargs=valid_loader_kwargs,
        )
        self._load_best()

    def depths(self, stage: sb.Stage) -> list[int]:
        """The numbers of blocks that `stage` needs the estimates of, in rising order.

        Those that decide on the order of several sources come first, then those that count.
        """
        depths = set(self._depths(stage))
        if self.model.num_sources > 1:
            depths |= set(self._order_depths(stage))
        return sorted(depths)

    def paired(
        self, predictions: torch.Tensor, target: torch.Tensor, stage: sb.Stage
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The estimates that count, and the clean sources in the order of the estimates.

        Arguments
        ---------
        predictions : torch.Tensor
            The estimates of `depths(stage)`, [depths, batch, time, sources].
        target : torch.Tensor
            The clean sources [batch, time, sources].
        stage : speechbrain.Stage
            Training, validation or test.

        Returns
        -------
        (torch.Tensor, torch.Tensor)
            [depths, batch, time, sources] and [batch, time, sources].
        """
        deciding = predictions[: len(self._order_depths(stage))]
        estimates = predictions[-len(self._depths(stage)) :]
        return estimates, in_order(target, best_order(target, deciding))

    def score(
        self, estimates: torch.Tensor, target: torch.Tensor, batch: PaddedBatch, stage: sb.Stage
    ) -> None:
        """Gather the scores of a batch of validation or test; training has none.

        Arguments
        ---------
        estimates, target : torch.Tensor
            As `paired` gives them.
        batch : PaddedBatch
            With id, mix and noise, and where the corpus says it snr_db.
        stage : speechbrain.Stage
            Training, validation or test.
        """
        if stage == sb.Stage.VALID:
            self.valid_si_sdr.append(-negative_si_sdr(estimates, target).mean((1, 2)).cpu())
            self.valid_products.append((estimates * target).sum((1, 2, 3)).cpu())
        if stage == sb.Stage.TEST:
            said = float(batch.snr_db[0]) if hasattr(batch, "snr_db") else None
            mix, noise = batch.mix.data, batch.noise[0] or None
            self.scores.add(batch.id[0], mix, target, estimates, noise, snr_db=said)

    def _train_loader(self, dataset: Dataset | ShardDataset, options: dict) -> DataLoader:
        if isinstance(dataset, ShardDataset) and isinstance(self.train_sampler, ShardSampler):
            return dataset.loader(self.train_sampler, **options)
        return self.make_dataloader(dataset, sb.Stage.TRAIN, sampler=self.train_sampler, **options)

    def _enter_stage(self, stage: Stage) -> None:
        """Freeze all but the stage's parts, their dropout included."""
        logger.info(f"Stage {stage.name}: estimates {stage.first} to {stage.blocks}")
        self.stage = stage
        self.epochs_before = self._epochs_before(stage)
        self.end_after(self.epochs_before + stage.settings.epochs)
        parts = [self.model.part(name) for name in stage.parts]
        trained = {parameter for part in parts for parameter in part.parameters()}
        for parameter in self.model.parameters():
            parameter.requires_grad_(parameter in trained)
            parameter.grad = None
        in_training = {module for part in parts for module in part.modules()}
        self.frozen = [
            module
            for module in self.model.modules()
            if module not in in_training
            and not any(parameter in trained for parameter in module.parameters())
        ]

    def _epochs_before(self, stage: Stage) -> int:
        """How many epochs the run had when a stage began, whatever its settings were then."""
        latest = self.checkpointer.find_checkpoint(ckpt_predicate=self._of_this_stage)
        if latest is None:
            return self.epoch_counter.current
        as_planned = self.schedule.last_epoch(stage) - stage.settings.epochs
        return latest.meta.get("epochs_before", as_planned)

    def on_fit_start(self) -> None:
        """Wrap and optimise what the stage trains, and go on from the stage's own checkpoint."""
        self.modules["model"] = self.model
        self._compile()
        self._wrap_distributed()
        self.init_optimizers()
        latest = self.checkpointer.find_checkpoint(ckpt_predicate=self._of_this_stage)
        if latest is not None:
            go_on_from(latest, self.checkpointer, self.optimizer)
            self._count_anew(latest.meta)
            self._set_learning_rates()

    def _count_anew(self, meta: dict) -> None:
        """Stand after as many mixtures as a checkpoint, should a batch now have more or fewer.

        The mixtures of a batch that is not whole come again.
        """
        if meta["mixtures_in_batch"] != self.mixtures_in_batch:
            mixtures = self.step * meta["mixtures_in_batch"]
            self.step = min(mixtures // self.mixtures_in_batch, len(self.train_loader))
            if isinstance(self.train_loader, SaveableDataLoader):  # the sampler tells shards
                self.train_loader._speechbrain_recovery_skip_to = self.step
        if meta["updates_in_epoch"] != self.updates_in_epoch:
            epochs = self.lr_scheduler.last_epoch / meta["updates_in_epoch"]
            self.lr_scheduler.last_epoch = round(epochs * self.updates_in_epoch)

    def _set_learning_rates(self) -> None:
        """Those of the stage's settings, which may be others than when the checkpoint was saved."""
        lr = self.stage.settings.lr
        self.lr_scheduler.base_lrs = [lr] * len(self.optimizer.param_groups)
        factor = self.lr_scheduler.lr_lambdas[0](self.lr_scheduler.last_epoch)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * factor

    def init_optimizers(self) -> None:
        """An optimizer of the trained parameters only, and the stage's learning rates."""
        settings = self.stage.settings
        trained = [p for p in self.model.parameters() if p.requires_grad]
        if self.remove_vector_weight_decay:
            trained = rm_vector_weight_decay(self.model)
        self.optimizer = self.opt_class(trained, lr=settings.lr)
        self.optimizers_dict = {"opt_class": self.optimizer}
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(
            self.optimizer, lambda update: settings.lr_factor(update / self.updates_in_stage)
        )
        self.checkpointer.add_recoverable("optimizer", self.optimizer)
        self.checkpointer.add_recoverable("lr_scheduler", self.lr_scheduler)

    def on_fit_batch_start(self, batch, should_step: bool) -> None:
        """Keep frozen norms from updating their running statistics."""
        super().on_fit_batch_start(batch, should_step)
        for module in self.frozen:
            module.training = False

    def on_fit_batch_end(self, batch, outputs, loss, should_step: bool) -> None:
        """Step the learning rate with the optimizer."""
        super().on_fit_batch_end(batch, outputs, loss, should_step)
        if should_step:
            self.lr_scheduler.step()

    def on_stage_start(self, stage: sb.Stage, epoch: int | None = None) -> None:
        """Start the scores afresh, and shards where a checkpoint within the epoch left them."""
        if stage == sb.Stage.TRAIN and isinstance(self.train_sampler, ShardSampler):
            self.train_sampler.go_on_after(self.step)
        if stage == sb.Stage.VALID:
            self.valid_si_sdr: list[torch.Tensor] = []
            self.valid_products: list[torch.Tensor] = []
        if stage == sb.Stage.TEST:
            self.scores = DepthScores(
                self.schedule.depths, self.hparams.sample_rate, self.hparams.with_dnsmos
            )

    def on_stage_end(self, stage: sb.Stage, stage_loss: float, epoch: int | None = None) -> None:
        """Log an epoch and save its checkpoint."""
        if stage == sb.Stage.TRAIN:
            self.train_loss = stage_loss
        if stage == sb.Stage.TEST:
            self.scores.wait()
        if stage == sb.Stage.VALID:
            products = torch.stack(self.valid_products).sum(0).tolist()
            products_of = dict(zip(self.stage.depths, products, strict=True))
            align_polarity(self.model, self.optimizer, products_of)
            si_sdr = torch.stack(self.valid_si_sdr).mean(0)
            by_depth = zip(self.stage.depths, si_sdr.tolist(), strict=True)
            valid_stats = {"loss": stage_loss, **{f"si_sdr_{d}": v for d, v in by_depth}}
            for train_logger in self.loggers:
                train_logger.log_stats(
                    {"epoch": epoch, "lr": self.optimizer.param_groups[0]["lr"]},
                    train_stats={"loss": self.train_loss},
                    valid_stats=valid_stats,
                )
            self.checkpointer.save_and_keep_only(
                meta={**self.checkpoint_meta, "loss": stage_loss},
                min_keys=["loss"],
                importance_keys=[],
                ckpt_predicate=partial(self._has_loss_of, self.loss_of),
            )

    def on_evaluate_start(self, max_key: str | None = None, min_key: str | None = None) -> None:
        """Load the weights with which the last stage did best in validation."""
        self.modules["model"] = self.model
        self._load_best()

    def _depths(self, stage: sb.Stage) -> range:
        """The numbers of blocks whose estimates count."""
        return self.schedule.depths if stage == sb.Stage.TEST else self.stage.depths

    def _order_depths(self, stage: sb.Stage) -> range:
        """The numbers of blocks whose estimates decide on the order of the sources."""
        return self.schedule.depths if stage == sb.Stage.TEST else self.stage.order_depths

    def _of_this_stage(self, checkpoint: Checkpoint) -> bool:
        return checkpoint.meta["stage"] == self.stage.name

    def _is_validated(self, checkpoint: Checkpoint) -> bool:
        return self._of_this_stage(checkpoint) and "loss" in checkpoint.meta

    def _has_loss_of(self, loss_of: str | None, checkpoint: Checkpoint) -> bool:
        return self._is_validated(checkpoint) and checkpoint.meta.get("loss_of") == loss_of

    def _loss_of(self, valid_set: Dataset) -> str:
        """Tells losses apart that cannot be compared: of other options, or of other mixtures."""
        options = {name: getattr(self.hparams, name, None) for name in LOSS_OPTIONS}
        described = repr((options, getattr(valid_set, "data_ids", None)))
        return hashlib.sha256(described.encode()).hexdigest()[:16]

    def _load_best(self) -> None:
        """The best of those whose loss is that of the last."""
        last = self.checkpointer.find_checkpoint(ckpt_predicate=self._is_validated)
        if last is None:
            raise InputError(
                f"{self.checkpointer.checkpoints_dir}: no checkpoint of stage {self.stage.name}"
            )
        of_one_loss = partial(self._has_loss_of, last.meta.get("loss_of"))
        best = self.checkpointer.find_checkpoint(min_key="loss", ckpt_predicate=of_one_loss)
        assert best is not None  # for mypy: the last is one of them
        logger.info(f"Stage {self.stage.name}: best checkpoint {best.path.name}")
        with refuse_other_network(best):
            torch_recovery(self.model, best.paramfiles["model"], True)


def _tensorboard_logger(folder: str) -> TensorboardLogger:
    try:
        return TensorboardLogger(folder)
    except ModuleNotFoundError as error:
        raise InputError(
            f"use_tensorboard: True needs a package that is not installed, {error.name}: "
            "pip install 'bloomnet_sb[tensorboard]'"
        ) from None
