"""How far a run has come, in hours of audio and of time, kept in its checkpoints."""

import time
from dataclasses import dataclass, field
from pathlib import Path

import yaml
from speechbrain.utils.checkpoints import mark_as_loader, mark_as_saver, register_checkpoint_hooks

# What a checkpoint keeps; another number of processes may go on.
SAVED = ("audio_hours", "wall_hours", "cpu_hours", "decay_from")


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
    decay_from : int, optional
        The update from which the learning rate falls. Default: it does not.
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
