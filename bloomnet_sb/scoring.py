"""Scores of every depth: SI-SDR, PESQ, STOI and level."""

import warnings
from collections.abc import Sequence

import numpy as np
import torch
from pesq import PesqError, pesq
from pystoi import stoi

from bloomnet_sb.losses import level_difference_db, negative_si_sdr

METRICS = ("si_sdr", "si_sdr_improvement", "pesq", "stoi", "level_db")


class DepthScores:
    """Scores of the unprocessed mixture and of each depth's estimate, over a test set.

    Arguments
    ---------
    depths : sequence of int
        The numbers of blocks of the estimates to come.
    sample_rate : int
        In Hz; PESQ is wide-band at 16000, narrow-band at 8000, and left out at other rates.

    Attributes
    ----------
    failures : list of str
        Each metric that could not be computed, with its utterance, depth and reason; the means
        leave these out.

    Example
    -------
    >>> scores = DepthScores([1, 2], sample_rate=16000)
    >>> mix, target = torch.randn(1, 16000), torch.randn(1, 16000, 1)
    >>> scores.add("an-id", mix, target, torch.randn(2, 1, 16000, 1))
    >>> [row["blocks"] for row in scores.summary()]
    [0, 1, 2]
    """

    def __init__(self, depths: Sequence[int], sample_rate: int):
        self.depths = list(depths)
        self.sample_rate = sample_rate
        self.rows = []
        self.failures = []

    def add(
        self, utterance_id: str, mix: torch.Tensor, target: torch.Tensor, estimates: torch.Tensor
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
        """
        unprocessed = mix[None, ..., None].expand(1, -1, -1, target.shape[-1])
        signals = torch.cat([unprocessed, estimates])
        si_sdr = -negative_si_sdr(signals, target).mean((1, 2))
        level = level_difference_db(signals, target).mean((1, 2))
        for index, blocks in enumerate([0, *self.depths]):
            clean, signal = target[0].t().cpu().numpy(), signals[index, 0].t().cpu().numpy()
            where = f"{utterance_id} at {blocks} blocks"
            self.rows.append(
                {
                    "utterance": utterance_id,
                    "blocks": blocks,
                    "si_sdr": float(si_sdr[index]),
                    "si_sdr_improvement": float(si_sdr[index] - si_sdr[0]),
                    "pesq": self._pesq(where, clean, signal),
                    "stoi": self._stoi(where, clean, signal),
                    "level_db": float(level[index]),
                }
            )

    def summary(self) -> list[dict]:
        """Means over the test set, the level's median; 0 blocks is the unprocessed mixture.

        Returns
        -------
        list of dict
            For each number of blocks: blocks and each of `METRICS`, None where no utterance could
            be scored.
        """
        table = []
        for blocks in [0, *self.depths]:
            row = {"blocks": blocks}
            for metric in METRICS:
                values = [r[metric] for r in self.rows if r["blocks"] == blocks]
                values = [value for value in values if value is not None]
                average = np.median if metric == "level_db" else np.mean
                row[metric] = float(average(values)) if values else None
            table.append(row)
        return table

    def _pesq(self, where: str, clean: np.ndarray, signal: np.ndarray) -> float | None:
        mode = {16000: "wb", 8000: "nb"}.get(self.sample_rate)
        if mode is None:
            return None
        try:
            pairs = zip(clean, signal, strict=True)
            return float(np.mean([pesq(self.sample_rate, c, s, mode) for c, s in pairs]))
        except (PesqError, ValueError) as error:
            self.failures.append(f"PESQ of {where}: {error}")
            return None

    def _stoi(self, where: str, clean: np.ndarray, signal: np.ndarray) -> float | None:
        # pystoi warns, and returns 1e-5, where it finds too little speech.
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            try:
                pairs = zip(clean, signal, strict=True)
                return float(np.mean([stoi(c, s, self.sample_rate) for c, s in pairs]))
            except RuntimeWarning as error:
                self.failures.append(f"STOI of {where}: {str(error).splitlines()[0]}")
                return None
