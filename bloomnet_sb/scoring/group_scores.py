"""Quick scores for validation: gains in SI-SDR and PESQ by depth, in groups of mixtures."""

import numpy as np
import torch

from bloomnet_sb.nn.losses import negative_si_sdr
from bloomnet_sb.scoring.metrics import MetricError, pesq_name, pesq_score

MOST_CLEAN_DB = 40.0  # beyond it, nobody hears what is wrong

# Name and digits to print.
SI_SDR_GAIN, SI_SDR = ("SI-SDR gain, dB", 2), ("SI-SDR, dB", 1)


class GroupScores:
    """What each depth adds to mixtures, and what it leaves of clean speech.

    Clean speech, that is a mixture that equals its target, is scored by the SI-SDR of the
    estimates, at most 40 dB.

    Arguments
    ---------
    sample_rate : int
        In Hz, see `bloomnet_sb.scoring.metrics.pesq_rate`.

    Example
    -------
    >>> scores, target = GroupScores(sample_rate=16000), torch.randn(16000)
    >>> scores.add("clean", "an-id", target, target, torch.stack([target, 0.5 * target]))
    >>> scores.means()
    {'clean': {('SI-SDR, dB', 1): [40.0, 40.0]}}
    """

    def __init__(self, sample_rate: int):
        self.sample_rate = sample_rate
        self.pesq_gain = f"{pesq_name(sample_rate)} gain", 3
        self._unprocessed: dict[tuple[str, str], float | None] = {}
        self.restart()

    def restart(self) -> None:
        """Forget the estimates."""
        self._scores: dict[str, dict[tuple[str, int], list[list[float]]]] = {}

    def add(
        self,
        group: str,
        utterance_id: str,
        mix: torch.Tensor,
        target: torch.Tensor,
        estimates: torch.Tensor,
    ) -> None:
        """Score the estimates of one mixture.

        Arguments
        ---------
        group, utterance_id : str
            Its group, and its name in it.
        mix, target : torch.Tensor
            The mixture and the clean source [time].
        estimates : torch.Tensor
            The estimate of each depth [depths, time].
        """
        scores = self._scores.setdefault(group, {})
        si_sdr = _si_sdr(estimates, target)
        if torch.equal(mix, target):
            scores.setdefault(SI_SDR, []).append(si_sdr.clamp(max=MOST_CLEAN_DB).tolist())
            return
        gain = si_sdr - _si_sdr(mix[None], target)
        scores.setdefault(SI_SDR_GAIN, []).append(gain.tolist())
        before = self._pesq_of_mixture(group, utterance_id, mix, target)
        scored = [self._pesq(target, estimate) for estimate in estimates]
        after = [score for score in scored if score is not None]
        if before is not None and len(after) == len(scored):
            scores.setdefault(self.pesq_gain, []).append([score - before for score in after])

    def means(self) -> dict[str, dict[tuple[str, int], list[float]]]:
        """For each group and score, its name and digits to print: the mean at each depth."""
        return {
            group: {score: np.mean(values, axis=0).tolist() for score, values in scores.items()}
            for group, scores in self._scores.items()
        }

    def _pesq_of_mixture(
        self, group: str, utterance_id: str, mix: torch.Tensor, target: torch.Tensor
    ) -> float | None:
        name = (group, utterance_id)
        if name not in self._unprocessed:
            self._unprocessed[name] = self._pesq(target, mix)
        return self._unprocessed[name]

    def _pesq(self, target: torch.Tensor, signal: torch.Tensor) -> float | None:
        try:
            return pesq_score(target.cpu().numpy(), signal.cpu().numpy(), self.sample_rate)
        except MetricError:
            return None


def _si_sdr(signals: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """SI-SDR in dB [signals] of `signals` [signals, time]."""
    return -negative_si_sdr(signals[:, None, :, None], target[None, :, None])[:, 0, 0]
