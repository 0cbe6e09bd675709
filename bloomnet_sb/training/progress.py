"""How far a run has come, in hours of audio and of time, kept in its checkpoints."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks

from bloomnet_sb.training.schedule import OpenEndedRate
from bloomnet_sb.utils.errors import InputError

# What a checkpoint keeps; another number of processes may go on.
SAVED = ("audio_hours", "wall_hours", "cpu_hours", "decay_from", "decay_to")


@register_checkpoint_hooks
@dataclass
class Progress:
    """Hours of audio that a run has trained on, and the time that this took.

    Arguments
    ---------
    audio_hours : float
        Of mixtures.
    wall_hours : float
        While the run was running, validation and checkpoints included.
    cpu_hours : float
        Of all processes and their threads together.
    decay_from, decay_to : int, optional
        The update from which the learning rate falls, and the one before which the run ends.
        Default: it does not.
    processes : int
        How many train together, each on as much audio as this one, taking as much time.

    Example
    -------
    >>> progress = Progress()
    >>> progress.add(3600.0)
    >>> progress.audio_hours
    1.0
    """

    audio_hours: float = 0.0
    wall_hours: float = 0.0
    cpu_hours: float = 0.0
    decay_from: int | None = None
    decay_to: int | None = None
    processes: int = 1
    _now: tuple[float, float] = field(default_factory=lambda: _clocks(), repr=False)

    def start_clock(self) -> None:
        """Leave out the time since the last call of `add`, or since this was made."""
        self._now = _clocks()

    def add(self, audio_seconds: float = 0.0) -> None:
        """Add audio of this process, and the time since the last call."""
        wall, cpu = _clocks()
        self.audio_hours += self.processes * audio_seconds / 3600
        self.wall_hours += (wall - self._now[0]) / 3600
        self.cpu_hours += self.processes * (cpu - self._now[1]) / 3600
        self._now = wall, cpu

    def plan_decay(self, rate: OpenEndedRate, updates: int, moved: bool) -> None:
        """Set where the decay that a run is asked for begins and ends.

        One that is under way goes on, in its output folder as elsewhere. One that has ended is at
        its end in its own folder, where the same command may only have to export once more; from a
        state that was moved, another one begins.

        Arguments
        ---------
        rate : OpenEndedRate
            What the run is asked for.
        updates : int
            How many it has had.
        moved : bool
            Whether it begins in its output folder, from the state of another.

        Raises
        ------
        InputError
            If there are too few updates for a decay to be a share of.
        """
        if not rate.decay:
            self.decay_from = self.decay_to = None  # also where the state is that of a decay
            return
        # A state of an earlier version does not say it; those that were packed have ended.
        ended = self.decay_to is None or updates >= self.decay_to
        if self.decay_from is None or (moved and ended):
            self.decay_from = updates
        self.decay_to = rate.end(self.decay_from)
        if self.decay_to == self.decay_from:
            raise InputError(
                f"decay is {rate.decay}, a share of the updates before it, of which there are "
                f"{updates}; it needs the checkpoint of a longer run in output_folder, or one as "
                "start_state"
            )

    @mark_as_saver
    def save(self, path: Path) -> None:
        """Write it into a checkpoint."""
        values = {name: getattr(self, name) for name in SAVED}
        Path(path).write_text(yaml.safe_dump(values), encoding="utf-8")

    @mark_as_loader
    def load(self, path: Path, end_of_epoch: bool) -> None:
        """Read it from a checkpoint."""
        del end_of_epoch
        for name, value in yaml.safe_load(Path(path).read_text(encoding="utf-8")).items():
            setattr(self, name, value)
        self.start_clock()


def _clocks() -> tuple[float, float]:
    return time.monotonic(), time.process_time()
