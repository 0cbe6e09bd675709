"""A Brain that a signal, a lost process or a bad batch does not cost what it has trained."""

import math
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import speechbrain as sb
import torch
from speechbrain.core import INTRA_EPOCH_CKPT_FLAG
from speechbrain.utils.distributed import is_distributed_initialized
from torch.nn.parallel import DistributedDataParallel

from bloomnet_sb.utils.errors import InputError, Stopped

GO_ON = "start it again with the same command, and it goes on from its last checkpoint"
LOST = "another process of this run was lost"
# What torch says, in a RuntimeError, of a worker of a loader and of a peer of gloo.
FAILURES = {
    "DataLoader worker": "a worker of the data loader died (if for memory, lower num_workers)",
    "Connection closed by peer": LOST,
    "Connection reset by peer": LOST,
}


class StopSignals:
    """Notes SIGINT and SIGTERM, and raises `Stopped` at once unless told to wait.

    Example
    -------
    >>> signals = StopSignals()
    >>> with signals.caught(), signals.deferred():
    ...     signal.raise_signal(signal.SIGTERM)
    ...     signals.received
    <Signals.SIGTERM: 15>
    """

    def __init__(self):
        self.received: signal.Signals | None = None
        self._deferred = False
        self._process = os.getpid()

    @contextmanager
    def caught(self) -> Iterator[None]:
        """While this lasts, the signals come here; they are as before afterwards.

        After a signal, every exception is its consequence: a library caught the `Stopped` and
        raised an error of its own, or the signal went to the whole process group and ended the
        loader's workers too.

        Raises
        ------
        Stopped
            If an exception passes after a signal.
        """
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        for number in before:
            signal.signal(number, self._receive)
        try:
            yield
        except Exception as error:
            if self.received is None or isinstance(error, Stopped):
                raise
            raise stopped_by(self.received) from error
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """While this lasts, the first signal is only noted in `received`; a second one raises."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False

    def _receive(self, number: int, frame) -> None:
        if os.getpid() != self._process:
            return self._in_a_worker(number)
        impatient = self.received is not None
        self.received = signal.Signals(number)
        if impatient or not self._deferred:
            raise stopped_by(self.received)

    @staticmethod
    def _in_a_worker(number: int) -> None:
        """A forked process leaves Ctrl-C to the one that forked it, which ends it by SIGTERM."""
        if number == signal.SIGTERM:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)


def stopped_by(number: signal.Signals) -> Stopped:
    """The exception of a program that a signal stopped, with a shell's exit code for it."""
    return Stopped(f"by {number.name}; {GO_ON}", exit_code=128 + number)


@contextmanager
def named_failures() -> Iterator[None]:
    """Raise `Stopped`, with a line that says how to go on, where a worker or a peer was lost.

    Example
    -------
    >>> with named_failures():
    ...     raise RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed.")
    Traceback (most recent call last):
    ...
    bloomnet_sb.utils.errors.Stopped: a worker of the data loader died (if for memory, ...
    """
    try:
        yield
    except (RuntimeError, ConnectionError, EOFError) as error:
        known = [line for sign, line in FAILURES.items() if sign in str(error)]
        if isinstance(error, torch.distributed.DistError | ConnectionError | EOFError):
            known.append(LOST)
        if not known:
            raise
        reason = f"{type(error).__name__}: {error}".strip().splitlines()[0]
        raise Stopped(f"{known[0]} ({reason}); {GO_ON}") from error


def seed_of(*place: int) -> int:
    """A seed for torch that these numbers decide, such as a run's own seed and an update.

    Example
    -------
    >>> seed_of(1, 2) == seed_of(1, 2), seed_of(1, 2) == seed_of(1, 3)
    (True, False)
    """
    return int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)


class ResilientBrain(sb.core.Brain):
    """SpeechBrain's Brain, which saves before a signal ends it and gets over a bad batch.

    Within `with brain.stop_signals.caught()`, SIGINT and SIGTERM end `fit` with a checkpoint: after
    the update at hand, or after the validation at hand. A second signal ends it at once. A batch
    whose loss is not finite leaves the running statistics of norms as they were, as
    `skip_nonfinite_grads` does the weights, and no validation with such a loss is the best one.
    Checkpoints within an epoch are saved by a clock that is not set back.

    Arguments
    ---------
    *args, **kwargs
        As `speechbrain.core.Brain`.

    Attributes
    ----------
    rank, processes : int
        Which of how many processes this is that train together; 0 and 1 where it is alone.

    Example
    -------
    >>> brain = ResilientBrain(modules={"model": torch.nn.Linear(2, 2)}, run_opts={"device": "cpu"})
    >>> with brain.stop_signals.caught():
    ...     pass
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.rank, self.processes = 0, 1
        if is_distributed_initialized():
            self.rank = torch.distributed.get_rank()
            self.processes = torch.distributed.get_world_size()
        self.stop_signals = StopSignals()
        self._saved_at = time.monotonic()
        self._seed = torch.initial_seed()
        self._statistics: dict[str, torch.Tensor] = {}

    @property
    def checkpoint_meta(self) -> dict:
        """What each checkpoint of the training is marked with."""
        return {}

    def fit(self, *args, **kwargs) -> None:
        """As `Brain.fit`.

        Raises
        ------
        Stopped
            After a signal.
        """
        try:
            with self.stop_signals.deferred():
                super().fit(*args, **kwargs)
            self._stop_if(self.stop_signals.received)  # one that came after the last epoch
        except (RuntimeError, OSError, EOFError):
            # torch raises anew, wherever the program is by then, for every other worker that dies.
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            raise

    def optimizers_step(self) -> None:
        """As SpeechBrain's, but what `max_grad_norm` clips is the norm of all gradients.

        SpeechBrain clips an optimizer's first group of parameters alone, and by a negative norm,
        which is to clip nothing, turns gradients around.
        """
        optimizers = list(self.freeze_optimizers(self.optimizers_dict).values())
        for optimizer in optimizers:
            self.scaler.unscale_(optimizer)
        groups = [group for optimizer in optimizers for group in optimizer.param_groups]
        parameters = [parameter for group in groups for parameter in group["params"]]
        if self.max_grad_norm >= 0:
            torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm)
        if self.skip_nonfinite_grads and not self.scaler.is_enabled():
            self.check_gradients()
        for optimizer in optimizers:
            self.scaler.step(optimizer)
        self.scaler.update()
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        self.optimizer_step += 1

    def end_after(self, epoch: int) -> None:
        """Let `fit` end after an epoch, with --debug after `debug_epochs` from where the run is.

        SpeechBrain itself counts those from the first epoch of a run.

        Arguments
        ---------
        epoch : int
            Its number.
        """
        if self.debug and self.debug_epochs > 0:
            epoch = min(epoch, self.epoch_counter.current + self.debug_epochs)
        self.epoch_counter.limit = epoch

    def check_accumulation(self, batches: int) -> None:
        """Refuse a grad_accumulation_factor with which an epoch has no update.

        Arguments
        ---------
        batches : int
            In an epoch.

        Raises
        ------
        InputError
            If the factor is above it.
        """
        if self.grad_accumulation_factor > batches:
            raise InputError(
                f"grad_accumulation_factor is {self.grad_accumulation_factor}, but an epoch has "
                f"{batches} batches: nothing would be trained"
            )

    def on_fit_batch_start(self, batch, should_step: bool) -> None:
        """Remember the statistics that the forward pass will update, and fix its random numbers.

        They are functions of where the training is, so that a run that was stopped has the dropout
        that would have come.
        """
        torch.manual_seed(seed_of(self._seed, self.optimizer_step, self.step, self.rank))
        self._statistics = {name: buffer.clone() for name, buffer in self.modules.named_buffers()}

    def on_fit_batch_end(self, batch, outputs, loss, should_step: bool) -> None:
        """Undo what a bad batch did to them."""
        if not torch.isfinite(loss):
            for name, buffer in self.modules.named_buffers():
                # A table that has grown with the batch is no statistic.
                if buffer.shape == self._statistics[name].shape:
                    buffer.copy_(self._statistics[name])

    def check_loss_isfinite(self, loss: torch.Tensor) -> None:
        """Count a loss that is not finite.

        Raises
        ------
        InputError
            If there have been more than `nonfinite_patience` in an epoch.
        """
        if not torch.isfinite(loss) and self.nonfinite_count >= self.nonfinite_patience:
            raise InputError(
                f"the loss was not finite in {self.nonfinite_count + 1} updates of an epoch, more "
                f"than nonfinite_patience, {self.nonfinite_patience}; try a lower learning rate"
            )
        super().check_loss_isfinite(loss)

    def update_average(self, loss: torch.Tensor, avg_loss: float) -> float:
        """As `Brain.update_average`, but a validation with a loss that is not finite has inf.

        SpeechBrain leaves such a loss out: of few that are left, or none, which would be 0, the
        mean could be the best of the run.
        """
        if not self.modules.training and not (torch.isfinite(loss) and math.isfinite(avg_loss)):
            return math.inf
        return super().update_average(loss, avg_loss)

    def _fit_train(self, *args, **kwargs) -> None:
        self._saved_at = time.monotonic()
        super()._fit_train(*args, **kwargs)

    def _fit_valid(self, *args, **kwargs) -> None:
        super()._fit_valid(*args, **kwargs)
        self._stop_if(self._agreed(self.stop_signals.received))

    def _should_save_intra_epoch_ckpt(self, last_ckpt_time: float, steps_since_ckpt: int) -> bool:
        # SpeechBrain's own goes by time.time(), which may be set back.
        minutes = (time.monotonic() - self._saved_at) / 60
        due = (
            0 < self.ckpt_interval_minutes < minutes
            or 0 < self.ckpt_interval_steps <= steps_since_ckpt
        )
        due, self._stopping = self._agreed((due, self.stop_signals.received))
        # Gradients that are being accumulated are in no checkpoint.
        if self.step % self.grad_accumulation_factor:
            return False
        return self.checkpointer is not None and (due or self._stopping is not None)

    def _save_intra_epoch_ckpt(self) -> None:
        self.checkpointer.save_and_keep_only(
            meta={**self.checkpoint_meta, INTRA_EPOCH_CKPT_FLAG: True},
            end_of_epoch=False,
            importance_keys=[],
            ckpt_predicate=lambda checkpoint: INTRA_EPOCH_CKPT_FLAG in checkpoint.meta,
        )
        self._saved_at = time.monotonic()
        self._stop_if(self._stopping)

    def _wrap_distributed(self) -> None:
        # SpeechBrain's own turns batch norms into SyncBatchNorm, which refuses a CPU, and would
        # take those of the last dimension for ones of the second.
        if self.distributed_launch:
            one_device = self.device != "cpu" and self.distributed_backend != "gloo"
            self.modules["model"] = DistributedDataParallel(
                self.modules["model"],
                device_ids=[self.device] if one_device else None,
                find_unused_parameters=self.find_unused_parameters,
            )

    @staticmethod
    def _stop_if(number: signal.Signals | None) -> None:
        if number is not None:
            raise stopped_by(number)

    @staticmethod
    def _agreed(decision):
        """What the main process decided: the others are never a batch ahead or behind it."""
        if not is_distributed_initialized():
            return decision
        decisions = [decision]
        torch.distributed.broadcast_object_list(decisions, src=0)
        return decisions[0]
