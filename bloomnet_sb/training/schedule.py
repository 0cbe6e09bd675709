"""The blockwise schedule as data: which parts train, on which estimates, how long."""

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass

from bloomnet_sb.utils.errors import (
    InputError,
    check_amounts,
    check_not_negative,
    check_positive,
    is_number,
)

KINDS = ("blockwise", "e2e", "joint")
LR_SCHEDULES = ("constant", "one_cycle")


@dataclass(frozen=True)
class StageSettings:
    """How long and how fast a stage trains.

    Arguments
    ---------
    epochs : int
        Passes over the training set; 0 leaves the stage out.
    lr : float
        The highest learning rate.
    segment_seconds : float
        Length of a training mixture.
    lr_schedule : str
        "constant", or "one_cycle": up to `lr` linearly over the first tenth of the stage's
        updates, then down to a hundredth of it along a cosine.
    gradient_scale : float
        What the gradient from deeper blocks counts in the blocks before them, see
        `BloomNet.forward`: below 1 favours the estimates of few blocks.

    Raises
    ------
    InputError
        For a value that cannot be.

    Example
    -------
    >>> StageSettings(epochs=2, lr=1e-3, segment_seconds=1.0).lr_factor(0.5)
    1.0
    """

    epochs: int
    lr: float
    segment_seconds: float
    lr_schedule: str = "constant"
    gradient_scale: float = 1.0

    def __post_init__(self):
        check_not_negative(epochs=self.epochs)
        for name in ("lr", "segment_seconds"):
            value = getattr(self, name)
            if not is_number(value) or not 0 < value < math.inf:
                raise InputError(f"{name} is {value!r}, but must be a number above 0")
        scale = self.gradient_scale
        if not is_number(scale) or not 0 <= scale <= 1:
            raise InputError(f"gradient_scale is {scale!r}, but must be a number from 0 to 1")
        if self.lr_schedule not in LR_SCHEDULES:
            raise InputError(
                f"lr_schedule is {self.lr_schedule!r}, but must be one of {', '.join(LR_SCHEDULES)}"
            )

    def lr_factor(self, progress: float) -> float:
        """The share of `lr` in use at `progress`, 0 to 1, through the stage's updates."""
        if self.lr_schedule == "constant":
            return 1.0
        warm_up = 0.1
        if progress < warm_up:
            return max(progress / warm_up, 0.01)
        decay = min((progress - warm_up) / (1 - warm_up), 1.0)
        return 0.01 + 0.99 * (1 + math.cos(math.pi * decay)) / 2


@dataclass(frozen=True)
class Stage:
    """One stage of training.

    Arguments
    ---------
    name : str
        Its name in logs and checkpoints, unique in a schedule.
    parts : tuple of str
        The parts that train, by the names of `BloomNet.part`; the rest is frozen.
    first, blocks : int
        The loss is the mean over the estimates s_first to s_blocks.
    order_depths : range
        Where there are several sources, their order in a mixture is the one that is best for the
        mean over the estimates of these numbers of blocks.
    settings : StageSettings
        How long and how fast.
    """

    name: str
    parts: tuple[str, ...]
    first: int
    blocks: int
    order_depths: range
    settings: StageSettings

    @property
    def depths(self) -> range:
        """The numbers of blocks whose estimates the stage is about."""
        return range(self.first, self.blocks + 1)


@dataclass(frozen=True)
class OpenEndedRate:
    """The learning rate of a run without a planned end: up linearly, then constant.

    What is to be used is decayed from a copy of such a run: from the update where that begins,
    down to a hundredth along a cosine.

    Arguments
    ---------
    lr : float
        The constant learning rate.
    warm_up_updates : int
        How long it rises.
    decay : float
        How many updates the decay takes, as a share of those before it. Default: there is none.

    Raises
    ------
    InputError
        For a value that cannot be.

    Example
    -------
    >>> rate = OpenEndedRate(lr=0.002, warm_up_updates=4)
    >>> [rate(update) for update in (0, 1, 3, 1000000)]
    [0.0005, 0.001, 0.002, 0.002]
    >>> rate = OpenEndedRate(lr=0.002, warm_up_updates=4, decay=0.25)
    >>> [round(rate(update, decay_from=800), 5) for update in (800, 900, 1000)]
    [0.002, 0.00101, 2e-05]
    """

    lr: float
    warm_up_updates: int = 0
    decay: float = 0.0

    def __post_init__(self):
        check_amounts(lr=self.lr, decay=self.decay)
        check_not_negative(warm_up_updates=self.warm_up_updates)
        if not self.lr:
            raise InputError("lr is 0, but must be above 0")

    def __call__(self, update: int, decay_from: int | None = None) -> float:
        """The learning rate of an update, counted from 0."""
        rate = self.lr * min((update + 1) / max(self.warm_up_updates, 1), 1.0)
        if decay_from is None:
            return rate
        progress = (update - decay_from) / max(self.end(decay_from) - decay_from, 1)
        return rate * (0.01 + 0.99 * (1 + math.cos(math.pi * min(progress, 1.0))) / 2)

    def end(self, decay_from: int) -> int:
        """How many updates a run has had at the end of its decay."""
        return decay_from + round(self.decay * decay_from)


class BlockwiseSchedule:
    """The stages of a training run (Kim and Kim, ICASSP 2022, section 2.3).

    Stage l of the sequential training trains block l, head l and decoder l on the estimate s_l
    (the first stage the encoder and the entry too) with everything earlier frozen; the
    fine-tuning then trains everything on the mean loss over all estimates.

    Where there are several sources, one order of them holds for all depths, so that source 1 is
    the same speaker whatever number of blocks runs: the sequential stages keep the order of the
    first block, the others take the best for the mean over their estimates.

    Arguments
    ---------
    kind : str
        "blockwise": the sequential stages and the fine-tuning. "e2e": one stand-alone network,
        everything on the last estimate only (the baseline). "joint": everything on all
        estimates, from scratch.
    num_blocks : int
        The number of blocks, L.
    block : dict
        `StageSettings` of each sequential stage.
    finetune : dict
        `StageSettings` of the fine-tuning.
    end_to_end : dict
        `StageSettings` of the one stage of "e2e" and of "joint".

    Attributes
    ----------
    stages : list of Stage
        The stages of 1 epoch or more, in order.
    depths : range
        The numbers of blocks whose estimates the finished network has.

    Raises
    ------
    InputError
        For an unknown kind, an unknown or missing setting, or no epoch to train at all.

    Example
    -------
    >>> settings = {"epochs": 1, "lr": 1e-3, "segment_seconds": 1.0}
    >>> schedule = BlockwiseSchedule("blockwise", 2, settings, settings, settings)
    >>> for stage in schedule.stages[:2]:
    ...     print(stage.name, stage.parts, stage.first, stage.blocks)
    block1 ('encoder', 'entry', 'block1', 'head1', 'decoder1') 1 1
    block2 ('block2', 'head2', 'decoder2') 2 2
    >>> schedule.stages[2].name, schedule.stages[2].first, schedule.stages[2].blocks
    ('finetune', 1, 2)
    """

    def __init__(self, kind: str, num_blocks: int, block: dict, finetune: dict, end_to_end: dict):
        if kind not in KINDS:
            raise InputError(f"the schedule is {kind!r}, but must be one of {', '.join(KINDS)}")
        check_positive(num_blocks=num_blocks)
        self.kind = kind
        self.depths = range(num_blocks if kind == "e2e" else 1, num_blocks + 1)
        if kind == "blockwise":
            settings = _settings("block", block)
            stages = [_block_stage(depth, settings) for depth in range(1, num_blocks + 1)]
            settings = _settings("finetune", finetune)
            stages.append(_whole_stage("finetune", 1, num_blocks, settings))
        else:
            settings = _settings("end_to_end", end_to_end)
            stages = [_whole_stage(kind, self.depths[0], num_blocks, settings)]
        self.stages = [stage for stage in stages if stage.settings.epochs > 0]
        if not self.stages:
            raise InputError(f"the {kind} schedule has no stage of 1 epoch or more")

    @classmethod
    def from_hparams(cls, hparams: Mapping, num_blocks: int) -> "BlockwiseSchedule":
        """The schedule that the keys of a recipe's YAML ask for.

        Arguments
        ---------
        hparams : mapping
            "training", the kind; "lr_schedule"; and the other `StageSettings`, each with
            "block_", "finetune_" or "end_to_end_" before its name, such as "block_lr".
        num_blocks : int
            The number of blocks, L.

        Returns
        -------
        BlockwiseSchedule
            The schedule.

        Raises
        ------
        InputError
            For a missing key, or as the class.

        Example
        -------
        >>> hparams = {"training": "e2e", "lr_schedule": "constant"}
        >>> hparams |= {"end_to_end_epochs": 2, "end_to_end_lr": 1e-3}
        >>> hparams["end_to_end_segment_seconds"] = 1.0
        >>> [stage.name for stage in BlockwiseSchedule.from_hparams(hparams, 4).stages]
        ['e2e']
        """
        for key in ("training", "lr_schedule"):
            if key not in hparams:
                raise InputError(f"{key} is missing among the keys of the schedule")
        stages = (_from_keys(hparams, name) for name in ("block", "finetune", "end_to_end"))
        return cls(hparams["training"], num_blocks, *stages)

    def last_epoch(self, stage: Stage) -> int:
        """The number of the last epoch of `stage`; epochs count on from stage to stage."""
        stages = self.stages[: self.stages.index(stage) + 1]
        return sum(stage.settings.epochs for stage in stages)

    def stages_from(self, name: str | None) -> list[Stage]:
        """The stages left for a run whose last checkpoint is of the stage `name`.

        Arguments
        ---------
        name : str, optional
            A stage's name; None for a run without a checkpoint.

        Returns
        -------
        list of Stage
            That stage and all after it.

        Raises
        ------
        InputError
            If this schedule has no such stage.
        """
        names = [stage.name for stage in self.stages]
        if name is None:
            return self.stages
        if name not in names:
            raise InputError(
                f"the last checkpoint is of stage {name!r}, but this schedule has "
                f"{', '.join(names)}"
            )
        return self.stages[names.index(name) :]


def _block_stage(depth: int, settings: StageSettings) -> Stage:
    parts: tuple[str, ...] = (f"block{depth}", f"head{depth}", f"decoder{depth}")
    if depth == 1:
        parts = ("encoder", "entry", *parts)
    return Stage(f"block{depth}", parts, depth, depth, range(1, 2), settings)


def _whole_stage(name: str, first: int, num_blocks: int, settings: StageSettings) -> Stage:
    """The stage that trains all that the estimates s_first to s_L need."""
    blocks = [f"block{depth}" for depth in range(1, num_blocks + 1)]
    depths = range(first, num_blocks + 1)
    outputs = [f"{kind}{depth}" for depth in depths for kind in ("head", "decoder")]
    return Stage(name, ("encoder", "entry", *blocks, *outputs), first, num_blocks, depths, settings)


def _from_keys(hparams: Mapping, stage: str) -> dict:
    keys = {name: f"{stage}_{name}" for name in StageSettings.__dataclass_fields__}
    keys["lr_schedule"] = "lr_schedule"  # one for all stages
    return {name: hparams[key] for name, key in keys.items() if key in hparams}


def _settings(name: str, settings: dict) -> StageSettings:
    if not isinstance(settings, dict):
        raise InputError(f"{name} is {settings!r}, but must have epochs and lr")
    try:
        inspect.signature(StageSettings).bind(**settings)
    except TypeError:
        known = ", ".join(StageSettings.__dataclass_fields__)
        raise InputError(f"{name} has {', '.join(settings)}, but takes {known}") from None
    try:
        return StageSettings(**settings)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
