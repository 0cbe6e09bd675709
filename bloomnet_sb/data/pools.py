"""Pools of draws in memory-mapped files: training reads them faster than it could draw."""

import json
import logging
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from bloomnet_sb.data.draws import Draw
from bloomnet_sb.data.mixing import power
from bloomnet_sb.data.synthetic import unit_power
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import InputError, check_positive
from bloomnet_sb.utils.processes import end_with_parent, worker_context

logger = logging.getLogger(__name__)

MOST_BYTES = 40_000_000  # of a file
STORED_RMS = 0.05  # of full scale, where the peak lets it
STORED_PEAK = 0.98
FULL_SCALE = 32767
ABOUT = "pool.json"
NAME = re.compile(r"draws-(\d{6,})\.npy")

Draws = Callable[[np.random.Generator], Draw]


def fill_pool(
    folder: str | Path,
    draws: Draws,
    files: int,
    seed: int,
    first: int | None = None,
    workers: int = 1,
) -> None:
    """Fill a pool: write those of its files that are not there.

    A pool is a folder of files draws-NUMBER.npy of at most 40 MB: int16 [draws, 3, samples], heard,
    target and noise, see `bloomnet_sb.data.draws.Draw`. Each file is a function of the seed and its
    number, and appears when it is complete. pool.json holds the sample rate and the seed, and a
    fingerprint of the draws: a pool of others is used all the same, with a warning.

    Arguments
    ---------
    folder : str or Path
        The pool; made if it is not there.
    draws : TrainingDraws
        What makes a draw.
    files : int
        How many files the pool is to have.
    seed : int
        Another seed, other draws.
    first : int, optional
        The number of the first file. Default: that of the oldest there, or 0.
    workers : int
        How many processes draw.

    Raises
    ------
    InputError
        If the pool there is one of another seed, sample rate or length of draws.

    Example
    -------
    >>> from bloomnet_sb.data import Augmentation, TrainingDraws, prepare_librispeech_musan
    >>> folder = str(getfixture("tmpdir"))
    >>> prepare_librispeech_musan("tests/samples", folder)
    >>> draws = TrainingDraws(folder, "tests/samples", Augmentation(16000), segment_seconds=20.0)
    >>> fill_pool(f"{folder}/pool", draws, files=1, seed=0)
    >>> [path.name for path in pool_files(f"{folder}/pool")]
    ['draws-000000.npy']
    """
    check_positive(files=files, workers=workers)
    folder = Path(folder)
    _open_pool(folder, draws, seed)
    _warn_of_other_draws(folder, draws)
    there = {_number(path) for path in pool_files(folder)}
    start = min(there, default=0) if first is None else first
    missing = [number for number in range(start, start + files) if number not in there]
    write = partial(_write_file, folder, draws, seed)
    if workers == 1:
        for number in missing:
            write(number)
        return
    with ProcessPoolExecutor(workers, worker_context(__name__), initializer=_start_worker) as pool:
        list(pool.map(write, missing))


def refresh(folder: str | Path, draws: Draws, files: int, seed: int) -> None:
    """Draw a pool anew, file by file: write new files, and remove the oldest for them.

    A reader in its epoch keeps what it opened.

    Arguments
    ---------
    folder, draws, seed
        As `fill_pool`.
    files : int
        How many files to replace.

    Raises
    ------
    InputError
        As `fill_pool`, and if there is no pool.

    Example
    -------
    >>> refresh(folder, draws, files=10, seed=0)  # doctest: +SKIP
    """
    check_positive(files=files)
    folder = Path(folder)
    for _ in range(files):
        there = pool_files(folder)
        if not there:
            raise InputError(f"{folder}: no pool to refresh")
        _open_pool(folder, draws, seed)
        _write_file(folder, draws, seed, _number(there[-1]) + 1)
        there[0].unlink(missing_ok=True)


def pool_files(folder: str | Path) -> list[Path]:
    """The files of a pool, the oldest first.

    Example
    -------
    >>> pool_files("tests/samples")
    []
    """
    return sorted(
        (path for path in Path(folder).glob("*") if NAME.fullmatch(path.name)), key=_number
    )


class PoolDataset(IterableDataset):
    """Batches of speech and noise from a pool, paired anew each time, for a `Mixer`.

    To be loaded with `batch_size=None`. The speech is a random crop of one draw, the noise of
    another: from a random place on, in a loop, forwards or backwards. Each batch is a function of
    the files there, the seed, the epoch and its number: the number of workers does not matter, and
    an epoch can go on after any batch. The folder is looked at when an epoch begins, so that a
    pool can be drawn anew meanwhile.

    Arguments
    ---------
    folder : str
        The pool, see `fill_pool`.
    sample_rate : int
        In Hz; that of the pool.
    segment_seconds : float
        Length of what is read, at most that of a draw.
    batch_size : int
        Draws in a batch.
    batches : int
        Batches in an epoch.
    seed : int
        Another seed, other pairs.

    Raises
    ------
    InputError
        If there is no pool, or one of another sample rate or of shorter draws.

    Example
    -------
    >>> from bloomnet_sb.data import Augmentation, TrainingDraws, prepare_librispeech_musan
    >>> folder = str(getfixture("tmpdir"))
    >>> prepare_librispeech_musan("tests/samples", folder)
    >>> draws = TrainingDraws(folder, "tests/samples", Augmentation(16000), segment_seconds=20.0)
    >>> fill_pool(f"{folder}/pool", draws, files=1, seed=0)
    >>> dataset = PoolDataset(f"{folder}/pool", 16000, 1.0, batch_size=4, batches=2, seed=0)
    >>> [batch["noise"].shape for batch in dataset]
    [torch.Size([4, 16000]), torch.Size([4, 16000])]
    """

    def __init__(
        self,
        folder: str,
        sample_rate: int,
        segment_seconds: float,
        batch_size: int,
        batches: int,
        seed: int,
    ):
        check_positive(batch_size=batch_size, batches=batches)
        self.folder, self.batch_size, self.batches, self.seed = folder, batch_size, batches, seed
        self.frames = round(segment_seconds * sample_rate)
        found = _about(Path(folder))
        if found is None:
            raise InputError(f"{folder}: no pool of draws; fill one first")
        if found["sample_rate"] != sample_rate or not 1 <= self.frames <= found["samples"]:
            raise InputError(
                f"{folder}: draws of {found['samples'] / found['sample_rate']} s at "
                f"{found['sample_rate']} Hz, but {segment_seconds} s at {sample_rate} Hz are asked "
                "for"
            )
        self._rank, self._processes = 0, 1
        # Shared, as workers may persist from epoch to epoch
        self._epoch_and_done = torch.zeros(2, dtype=torch.long).share_memory_()

    def share(self, rank: int, processes: int) -> None:
        """Let so many processes take turns in the batches, each of which has an epoch of its own.

        Call it before there is a loader.
        """
        self._rank, self._processes = rank, processes

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch."""
        self._epoch_and_done[0] = epoch

    def go_on_after(self, batches: int) -> None:
        """Leave out the first batches of an epoch: those before an interruption."""
        self._epoch_and_done[1] = batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[dict[str, torch.Tensor]]:
        """Yield batches: heard, target and noise, each [batch, samples], float32."""
        epoch, done = self._epoch_and_done.tolist()
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        files = _mapped(self.folder)
        for number in range(done + first, self.batches, step):
            turn = number * self._processes + self._rank
            yield self._batch(files, np.random.default_rng([self.seed, epoch, turn]))

    def _batch(self, files: list[np.ndarray], rng: np.random.Generator) -> dict[str, torch.Tensor]:
        speech = np.empty((self.batch_size, 2, self.frames), dtype=np.float32)
        noise = np.empty((self.batch_size, self.frames), dtype=np.float32)
        for item in range(self.batch_size):
            speech[item] = self._speech(_random_draw(files, rng), rng)
            noise[item] = self._noise(_random_draw(files, rng), rng)
        heard, target = torch.from_numpy(speech).unbind(1)
        return {"heard": heard, "target": target, "noise": torch.from_numpy(noise)}

    def _speech(self, draw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        stored = draw[:2].astype(np.float32)
        start = int(rng.integers(stored.shape[1] - self.frames + 1))
        scale = 1 / max(np.sqrt(power(stored[0])), 1.0)
        return scale * stored[:, start : start + self.frames]

    def _noise(self, draw: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = unit_power(draw[2].astype(np.float32))
        return np.roll(noise[:: rng.choice([-1, 1])], rng.integers(len(noise)))[: self.frames]


def _random_draw(files: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    file = files[int(rng.integers(len(files)))]
    return file[rng.integers(len(file))]


def _mapped(folder: str) -> list[np.ndarray]:
    files = []
    for path in pool_files(folder):
        try:
            files.append(np.load(path, mmap_mode="r"))
        except FileNotFoundError:  # drawn anew since the folder was listed
            continue
        except ValueError as error:
            raise InputError(f"{path}: no file of a pool ({error})") from None
    if not files:
        raise InputError(f"{folder}: no draws there; fill the pool first")
    return files


def _write_file(folder: Path, draws: Draws, seed: int, number: int) -> None:
    rng = np.random.default_rng([seed, number])
    first = _stored(draws(rng))
    stored = np.empty((max(MOST_BYTES // first.nbytes, 1), *first.shape), dtype=np.int16)
    stored[0] = first
    for index in range(1, len(stored)):
        stored[index] = _stored(draws(rng))
    with (
        written_whole(folder / f"draws-{number:06d}.npy") as unfinished,
        open(unfinished, "wb") as f,
    ):
        np.save(f, stored)


def _stored(draw: Draw) -> np.ndarray:
    """A draw as int16 [3, samples]; heard and target have one scale."""
    speech, noise = np.stack([draw.heard, draw.target]), draw.noise[None]
    scaled = np.concatenate([_scaled(speech), _scaled(noise)])
    return np.round(FULL_SCALE * scaled).astype(np.int16)


def _scaled(signals: np.ndarray) -> np.ndarray:
    peak, rms = np.abs(signals).max(), np.sqrt(power(signals[0]))
    return signals * min(STORED_RMS / max(rms, 1e-9), STORED_PEAK / max(peak, 1e-9))


def _open_pool(folder: Path, draws: Draws, seed: int) -> None:
    """Say what a pool holds, or see that it holds that."""
    about = {
        "sample_rate": draws.sample_rate,  # type: ignore[attr-defined]
        "samples": draws.frames,  # type: ignore[attr-defined]
        "seed": seed,
    }
    folder.mkdir(parents=True, exist_ok=True)
    found = _about(folder)
    if found is None:
        with written_whole(folder / ABOUT) as unfinished:
            written = {**about, "fingerprint": draws.fingerprint()}  # type: ignore[attr-defined]
            unfinished.write_text(json.dumps(written) + "\n", encoding="utf-8")
    elif found != about:
        raise InputError(f"{folder} holds a pool of {found}, but {about} is to be drawn")


def _warn_of_other_draws(folder: Path, draws: Draws) -> None:
    # One of an earlier version does not say by what it was drawn.
    found = json.loads((folder / ABOUT).read_text(encoding="utf-8")).get("fingerprint")
    if found not in (None, draws.fingerprint()):  # type: ignore[attr-defined]
        logger.warning(
            "%s was drawn with other settings, or from other files, than this run's; it is used as "
            "it is, and only what is drawn from now on has these",
            folder,
        )


def _about(folder: Path) -> dict | None:
    path = folder / ABOUT
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {key: int(found[key]) for key in ("sample_rate", "samples", "seed")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not what a pool's should be ({error!r})") from None


def _number(path: Path) -> int:
    return int(path.stem.split("-")[1])


def _start_worker() -> None:
    torch.set_num_threads(1)
    end_with_parent()
