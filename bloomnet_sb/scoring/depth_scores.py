"""Scores of every depth over a test set: SI-SDR, level, PESQ, STOI and DNSMOS."""

import os
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor

import numpy as np
import torch

from bloomnet_sb.data.librispeech_musan import CATEGORY, KIND
from bloomnet_sb.nn.losses import negative_si_sdr
from bloomnet_sb.scoring.means import mean_over_kinds, quantile_over_kinds
from bloomnet_sb.scoring.metrics import perceptual_scores, speech_level_db
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.processes import end_with_parent

METRICS = ("si_sdr", "si_sdr_improvement", "pesq", "stoi", "dnsmos", "level_db")
SNR_BAND_DB = 5
# Signals that wait for a process are in memory.
MOST_WAITING = 64


class DepthScores:
    """Scores of the unprocessed mixture and of each depth's estimate, over a test set.

    PESQ, STOI and DNSMOS are computed in processes beside this one.

    Arguments
    ---------
    depths : sequence of int
        The numbers of blocks of the estimates to come.
    sample_rate : int
        In Hz, see `bloomnet_sb.scoring.metrics.perceptual_scores`.
    with_dnsmos : bool
        Whether DNSMOS is computed.
    with_unprocessed : bool
        Whether the mixture is scored too. Without it the scores are of the estimates alone.

    Example
    -------
    >>> scores = DepthScores([1, 2], sample_rate=16000, with_dnsmos=False)
    >>> mix, target = torch.randn(1, 16000), torch.randn(1, 16000, 1)
    >>> scores.add("an-id", mix, target, torch.randn(2, 1, 16000, 1))
    >>> [row["blocks"] for row in scores.summary()]
    [0, 1, 2]
    """

    def __init__(
        self,
        depths: Sequence[int],
        sample_rate: int,
        with_dnsmos: bool = True,
        with_unprocessed: bool = True,
    ):
        self.depths = list(depths)
        self.sample_rate = sample_rate
        self.with_dnsmos = with_dnsmos
        self.with_unprocessed = with_unprocessed
        self._rows: list[dict] = []
        self._failures: list[str] = []
        self._waiting: deque[tuple[dict, Future]] = deque()
        self._pool: ProcessPoolExecutor | None = None

    def add(
        self,
        utterance_id: str,
        mix: torch.Tensor,
        target: torch.Tensor,
        estimates: torch.Tensor,
        noise: str | None = None,
        kind: str = KIND,
        category: str = CATEGORY,
        snr_db: float | None = None,
    ) -> None:
        """Score one test mixture.

        Arguments
        ---------
        utterance_id : str
            Its id.
        mix : torch.Tensor
            The mixture [1, time].
        target : torch.Tensor
            The clean sources [1, time, sources].
        estimates : torch.Tensor
            The estimates [blocks, 1, time, sources].
        noise : str, optional
            The name of the noise in it.
        kind : str
            The kind of the voice; means are means over the kinds.
        category : str
            The category of the noise.
        snr_db : float, optional
            What the corpus says that the SNR is, in dB. Default: it is measured.

        Raises
        ------
        InputError
            For a batch of several.
        """
        if len(mix) != 1:
            raise InputError(
                f"a batch of {len(mix)} test mixtures, but they are scored one at a time: the "
                "batch_size of eval_dataloader_opts must be 1"
            )
        if self._pool is None:
            self._pool = ProcessPoolExecutor(os.cpu_count(), initializer=end_with_parent)
        # Scores are of double precision, which the network's device need not have.
        mix, target, estimates = mix.cpu(), target.cpu(), estimates.cpu()
        unprocessed = mix[None, ..., None].expand(1, -1, -1, target.shape[-1])
        signals = torch.cat([unprocessed, estimates])
        # Of a source that is silent there is no SI-SDR, and no level to compare.
        sounding = bool(target.any(1).all())
        si_sdr = -negative_si_sdr(signals, target).mean((1, 2))
        level = speech_level_db(signals, target).mean((1, 2))
        if snr_db is None:
            snr_db = _snr_db(mix, target)
        for index, blocks in enumerate([0, *self.depths]):
            if not (blocks or self.with_unprocessed):
                continue
            clean, signal = target[0].t().numpy(), signals[index, 0].t().numpy()
            row = {
                "utterance": utterance_id,
                "kind": kind,
                "noise": noise,
                "category": category,
                "snr_db": snr_db,
                "blocks": blocks,
                "si_sdr": float(si_sdr[index]) if sounding else None,
                "si_sdr_improvement": float(si_sdr[index] - si_sdr[0]) if sounding else None,
                "level_db": float(level[index]) if sounding else None,
            }
            scores = self._pool.submit(
                perceptual_scores, clean, signal, self.sample_rate, self.with_dnsmos
            )
            self._waiting.append((row, scores))
        self._gather(MOST_WAITING)

    @classmethod
    def from_rows(
        cls, rows: Sequence[dict], failures: Sequence[str], sample_rate: int
    ) -> "DepthScores":
        """Scores that were made before.

        Arguments
        ---------
        rows : sequence of dict
            The `rows` of those.
        failures : sequence of str
            Their `failures`.
        sample_rate : int
            In Hz.

        Returns
        -------
        DepthScores
            The same again.
        """
        depths = sorted({row["blocks"] for row in rows})
        scores = cls(
            [depth for depth in depths if depth], sample_rate, with_unprocessed=0 in depths
        )
        scores._rows, scores._failures = list(rows), list(failures)
        return scores

    def wait(self) -> None:
        """Wait until every score is there, and end the processes."""
        self._gather(0)
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    @property
    def rows(self) -> list[dict]:
        """The scores of each test mixture at each depth; None for a metric without a score.

        Where a clean source is silent, that is SI-SDR, its improvement and the level.
        """
        self.wait()
        return self._rows

    @property
    def failures(self) -> list[str]:
        """Each metric that failed, with utterance, depth and reason; the means leave it out."""
        return self._failures if self.rows else []

    def summary(self) -> list[dict]:
        """The scores of each depth, see `mean_scores`; 0 blocks is the unprocessed mixture.

        Returns
        -------
        list of dict
            For each number of blocks: blocks and each of `METRICS`.
        """
        depths = [0, *self.depths] if self.with_unprocessed else self.depths
        return [
            {"blocks": blocks, **mean_scores([r for r in self.rows if r["blocks"] == blocks])}
            for blocks in depths
        ]

    def improvement_by(self, group: Callable[[dict], str | None]) -> list[dict]:
        """SI-SDR improvement at each depth, by group of test mixtures.

        Arguments
        ---------
        group : callable
            Gives the group of a row, such as `snr_band` and `noise_name`; None: in no group.

        Returns
        -------
        list of dict
            For each group: its name as "group", how many "mixtures" with a score it has, and the
            mean "si_sdr_improvement" at each depth, a list.
        """
        groups: dict[str, dict[int, list[float]]] = {}
        for row in self.rows:
            name, improvement = group(row), row["si_sdr_improvement"]
            if row["blocks"] and name is not None and improvement is not None:
                depths = groups.setdefault(name, {depth: [] for depth in self.depths})
                depths[row["blocks"]].append(improvement)
        return [
            {
                "group": name,
                "mixtures": len(depths[self.depths[0]]),
                "si_sdr_improvement": [float(np.mean(values)) for values in depths.values()],
            }
            for name, depths in sorted(groups.items(), key=_natural)
        ]

    def _gather(self, still_waiting: int) -> None:
        while len(self._waiting) > still_waiting:
            row, future = self._waiting.popleft()
            scores, failures = future.result()
            self._rows.append({**row, **scores})
            where = f"{row['utterance']} at {row['blocks']} blocks"
            self._failures += [f"{m.upper()} of {where}: {why}" for m, why in failures.items()]


def mean_scores(rows: Sequence[dict]) -> dict[str, float | None]:
    """Means over test mixtures, of the level the median, in which each kind of voice counts alike.

    Arguments
    ---------
    rows : sequence of dict
        The scores of one depth, see `DepthScores.rows`.

    Returns
    -------
    dict
        Each of `METRICS`, None where no utterance could be scored.

    Example
    -------
    >>> rows = [{"kind": "read", "pesq": 1.5}, {"kind": "acted", "pesq": 2.5}]
    >>> mean_scores(rows)["pesq"]
    2.0
    """
    means: dict[str, float | None] = {}
    for metric in METRICS:
        scored = [row for row in rows if row.get(metric) is not None]
        values, kinds = [row[metric] for row in scored], [row["kind"] for row in scored]
        if not scored:
            means[metric] = None
        elif metric == "level_db":
            means[metric] = quantile_over_kinds(values, kinds, 0.5)
        else:
            means[metric] = mean_over_kinds(values, kinds)
    return means


def snr_band(row: dict) -> str | None:
    """The band of 5 dB that a row's input SNR is in.

    Example
    -------
    >>> snr_band({"snr_db": -1.5})
    '-5 to 0 dB'
    """
    if row["snr_db"] is None:
        return None
    lower = int(row["snr_db"] // SNR_BAND_DB) * SNR_BAND_DB
    return f"{lower} to {lower + SNR_BAND_DB} dB"


def noise_name(row: dict) -> str | None:
    """The noise of a row.

    Example
    -------
    >>> noise_name({"noise": "rain"})
    'rain'
    """
    return row["noise"]


def _natural(item: tuple[str, dict]) -> tuple[float, str]:
    """Sort "-5 to 0 dB" by its number, and names after that by their letters."""
    first = item[0].split()[0]
    return (float(first), "") if first.lstrip("-").isdecimal() else (float("inf"), item[0])


def _snr_db(mix: torch.Tensor, target: torch.Tensor) -> float | None:
    """Power of all clean sources over that of the rest of the mixture; None if one is silent."""
    speech = target.sum(-1)
    rest = (mix - speech).double().square().mean()
    power = speech.double().square().mean()
    if power == 0 or rest <= 1e-6 * power:
        return None
    return float(10 * torch.log10(power / rest))
