"""What listeners would miss: noisy speech in bands of SNR, clean speech, noise alone, conditions.

`measure_listeners` plays a corpus's trials to any system and keeps a row for each and each depth;
`listener_figures` makes of the rows the figures that tables and bars quote.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from tqdm import tqdm

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.losses import negative_si_sdr
from bloomnet_sb.scoring.conditions import (
    CONDITIONS,
    ONSET_SECONDS,
    PAIRS,
    ConditionPair,
    condition_pairs,
)
from bloomnet_sb.scoring.depth_scores import DepthScores, mean_scores
from bloomnet_sb.scoring.means import mean_over_kinds, quantile_over_kinds
from bloomnet_sb.scoring.metrics import (
    LEAST_LEVEL_DB,
    OCTAVES,
    octave_powers,
    speech_level_db,
)
from bloomnet_sb.scoring.trials import TestPart

Band = tuple[float, float]
# What is played [time] to the estimates of each depth, in order, [time] each.
Estimate = Callable[[torch.Tensor], Sequence[torch.Tensor]]

CLEAN, NOISE, CONDITION = "clean", "noise", "conditions"
# Beyond this nobody hears the difference, and one utterance would decide the mean.
MOST_SI_SDR_DB = 40.0


def measure_listeners(
    estimate: Estimate,
    depths: Sequence[int],
    part: TestPart,
    snr_bands_db: Iterable[Band],
    with_dnsmos: bool = True,
) -> dict[str, dict]:
    """Play every set of trials to a system and score what comes out.

    Arguments
    ---------
    estimate : callable
        Gives, of what is played [time], the estimates [time] of each depth.
    depths : sequence of int
        The numbers of blocks of these; 1 for a system without depths.
    part : TestPart
        Where the trials are from.
    snr_bands_db : iterable of (float, float)
        The ranges of SNR of the noisy sets, in dB.
    with_dnsmos : bool
        Whether DNSMOS is computed for these.

    Returns
    -------
    dict
        Set to what `measure_set` gives.

    Example
    -------
    See `bloomnet_sb.scoring.corpus.listeners_on_librispeech_musan`.
    """
    return {
        name: measure_set(name, estimate, depths, part, band, with_dnsmos)
        for name, band in listener_sets(snr_bands_db).items()
    }


def listener_sets(snr_bands_db: Iterable[Band]) -> dict[str, Band | None]:
    """The names of the sets of trials, each with its range of SNR where it has one.

    Example
    -------
    >>> listener_sets([(-5, 10)])
    {'-5 to 10 dB': (-5, 10), 'clean': None, 'noise': None, 'conditions': None}
    """
    bands: dict[str, Band | None] = {band_name(band): band for band in snr_bands_db}
    return {**bands, CLEAN: None, NOISE: None, CONDITION: None}


def band_name(snr_db: Band) -> str:
    """What a range of SNR is called.

    Example
    -------
    >>> band_name((-5, 10))
    '-5 to 10 dB'
    """
    return f"{snr_db[0]:g} to {snr_db[1]:g} dB"


def measure_set(
    name: str,
    estimate: Estimate,
    depths: Sequence[int],
    part: TestPart,
    snr_db: Band | None = None,
    with_dnsmos: bool = True,
    with_unprocessed: bool = True,
) -> dict:
    """Play one set of trials to a system.

    Arguments
    ---------
    name : str
        Of the set, see `listener_sets`.
    estimate, depths, part, with_dnsmos
        As `measure_listeners`.
    snr_db : (float, float), optional
        The range of SNR of a noisy set.
    with_unprocessed : bool
        Whether a noisy set's mixtures are scored too, as 0 blocks.

    Returns
    -------
    dict
        "rows", a dict for each trial and depth, and "failures", each metric that failed.
    """
    if snr_db is not None:
        scores = DepthScores(depths, part.sample_rate, with_dnsmos, with_unprocessed)
        for trial in _progress(part.mixtures(snr_db), name):
            signals = [trial.mix, *_estimates(estimate, trial.mix)]
            estimates = torch.stack(signals)[1:, None, :, None]  # none of a system without depths
            mix, target = trial.mix[None], trial.target[None, :, None]
            scores.add(trial.name, mix, target, estimates, trial.noise, trial.kind, trial.category)
        return {"rows": scores.rows, "failures": scores.failures}
    rows = {CLEAN: _clean_rows, NOISE: _noise_rows, CONDITION: _condition_rows}[name]
    return {"rows": list(rows(estimate, depths, part)), "failures": []}


def network_estimate(model: BloomNet, depths: Sequence[int] | None = None) -> Estimate:
    """The estimates of an enhancement network, for `measure_listeners`.

    Arguments
    ---------
    model : BloomNet
        The network, in evaluation mode.
    depths : sequence of int, optional
        The numbers of blocks of these, in rising order. Default: every one.

    Returns
    -------
    callable
        Gives, of what is played [time], the estimate [time] of each depth.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> model = BloomNet(LearnedFilterbank(16), ConvTasNetSeparator(16, num_blocks=2))
    >>> [len(signal) for signal in network_estimate(model)(torch.randn(500))]
    [500, 500]
    """
    device = next(model.parameters()).device

    def estimate(mix: torch.Tensor) -> Sequence[torch.Tensor]:
        with torch.no_grad():
            return list(model(mix[None].to(device), depths=depths)[:, 0, :, 0].cpu())

    return estimate


def listener_figures(measured: dict[str, dict]) -> dict:
    """The figures of each depth.

    Arguments
    ---------
    measured : dict
        See `measure_listeners`.

    Returns
    -------
    dict
        "failures" (a list) and "depths", for each number of blocks a dict of "blocks" and, where
        they were measured:

        - each band's `METRICS` with "mixtures", and "by_kind" and "by_category" the same of each;
        - "clean": "mean", "median" and "p10" of the SI-SDR in dB, each utterance's at most 40,
          "level_db", "octaves_db" (output over input) and "by_kind", the same of each;
        - "noise": "mean", "median" and "p90" of what is left in dB, -60 or more, and
          "by_category";
        - "conditions": of each "change_db", how much the SI-SDR of the 4 s changes, and
          "onset_change_db", of their first 0.5 s.

        Where voices are of several kinds, each counts alike.
    """
    failures = [f"{f}, {name}" for name, found in measured.items() for f in found["failures"]]
    rows = {name: found["rows"] for name, found in measured.items()}
    depths = sorted({row["blocks"] for found in rows.values() for row in found})
    table = []
    for blocks in depths:
        of_depth = {
            name: [r for r in found if r["blocks"] == blocks] for name, found in rows.items()
        }
        table.append(
            {"blocks": blocks, **{n: _figures(n, found) for n, found in of_depth.items() if found}}
        )
    return {"failures": failures, "depths": table}


def _figures(name: str, rows: list[dict]) -> dict:
    make = {CLEAN: _clean_figures, NOISE: _noise_figures, CONDITION: _condition_figures}
    return make.get(name, _band_figures)(rows)


def _band_figures(rows: list[dict]) -> dict:
    return {
        "mixtures": len(rows),
        **mean_scores(rows),
        "by_kind": _by("kind", rows, mean_scores),
        "by_category": _by("category", rows, mean_scores),
    }


def _clean_rows(estimate: Estimate, depths: Sequence[int], part: TestPart) -> Iterator[dict]:
    for trial in _progress(part.clean_speech(), CLEAN):
        played = octave_powers(trial.target, part.sample_rate)
        for blocks, signal in zip(depths, _estimates(estimate, trial.mix), strict=True):
            level = speech_level_db(signal[None, None, :, None], trial.target[None, :, None])
            yield {
                "utterance": trial.name,
                "kind": trial.kind,
                "blocks": blocks,
                "si_sdr": _si_sdr(signal, trial.target),
                "level_db": float(level),
                "octaves_in": played,
                "octaves_out": octave_powers(signal, part.sample_rate),
            }


def _clean_figures(rows: list[dict]) -> dict:
    return {**_clean_of(rows), "by_kind": _by("kind", rows, _clean_of)}


def _clean_of(rows: list[dict]) -> dict:
    values, kinds = [row["si_sdr"] for row in rows], [row["kind"] for row in rows]
    levels = [row["level_db"] for row in rows]
    # Within a kind the powers are added up: an utterance without an octave says nothing of it.
    octaves = [
        _octaves_db([row for row in rows if row["kind"] == kind]) for kind in sorted(set(kinds))
    ]
    return {
        "mean": mean_over_kinds(values, kinds),
        "median": quantile_over_kinds(values, kinds, 0.5),
        "p10": quantile_over_kinds(values, kinds, 0.1),
        "level_db": quantile_over_kinds(levels, kinds, 0.5),
        "octaves_db": dict(zip(map(str, OCTAVES), np.mean(octaves, axis=0).tolist(), strict=False)),
    }


def _octaves_db(rows: list[dict]) -> np.ndarray:
    played = np.sum([row["octaves_in"] for row in rows], axis=0)
    left = np.sum([row["octaves_out"] for row in rows], axis=0)
    # Of what was recorded at a lower rate there is nothing in the upper octaves.
    kept = left / np.maximum(played, np.finfo(np.float64).tiny)
    return 10 * np.log10(np.maximum(kept, 10 ** (LEAST_LEVEL_DB / 10)))


def _noise_rows(estimate: Estimate, depths: Sequence[int], part: TestPart) -> Iterator[dict]:
    for trial in _progress(part.noises(), NOISE):
        for blocks, signal in zip(depths, _estimates(estimate, trial.mix), strict=True):
            left = signal.double().square().mean() / trial.mix.double().square().mean()
            yield {
                "noise": trial.noise,
                "category": trial.category,
                "blocks": blocks,
                "left_db": float(10 * torch.log10(left.clamp(min=10 ** (LEAST_LEVEL_DB / 10)))),
            }


def _noise_figures(rows: list[dict]) -> dict:
    return {**_noise_of(rows), "by_category": _by("category", rows, _noise_of)}


def _noise_of(rows: list[dict]) -> dict:
    left = [row["left_db"] for row in rows]
    return {
        "noises": len(left),
        "mean": float(np.mean(left)),
        "median": float(np.median(left)),
        "p90": float(np.quantile(left, 0.9)),
    }


def _condition_rows(estimate: Estimate, depths: Sequence[int], part: TestPart) -> Iterator[dict]:
    pairs = min(part.limit or PAIRS, PAIRS)
    onset = round(ONSET_SECONDS * part.sample_rate)
    reference, references = torch.empty(0), []
    for pair in _progress(condition_pairs(part, pairs), CONDITION):
        if not torch.equal(pair.after_noise, reference):  # one for several conditions
            reference, references = pair.after_noise, _estimates(estimate, pair.after_noise)
        estimates = zip(depths, references, _estimates(estimate, pair.disturbed), strict=True)
        for blocks, calm, disturbed in estimates:
            changes = _changes(pair, calm, disturbed, onset)
            yield {
                "pair": pair.name,
                "kind": pair.kind,
                "category": pair.category,
                "condition": pair.condition,
                "blocks": blocks,
                **changes,
            }


def _changes(
    pair: ConditionPair, calm: torch.Tensor, disturbed: torch.Tensor, onset: int
) -> dict[str, float]:
    """SI-SDR after the disturbance, less that after the noise alone."""
    calm, disturbed = calm[-len(pair.target) :], disturbed[-len(pair.target) :]
    spans = {"change_db": slice(None), "onset_change_db": slice(onset)}
    return {
        name: _si_sdr(disturbed[span], pair.target[span]) - _si_sdr(calm[span], pair.target[span])
        for name, span in spans.items()
    }


def _condition_figures(rows: list[dict]) -> dict:
    figures = {}
    for condition in CONDITIONS:
        of_it = [row for row in rows if row["condition"] == condition]
        kinds = [row["kind"] for row in of_it]
        figures[condition] = {
            name: mean_over_kinds([row[name] for row in of_it], kinds)
            for name in ("change_db", "onset_change_db")
        }
    return figures


def _by(key: str, rows: list[dict], figures: Callable[[list[dict]], dict]) -> dict[str, dict]:
    names = sorted({row[key] for row in rows})
    return {name: figures([row for row in rows if row[key] == name]) for name in names}


def _si_sdr(estimate: torch.Tensor, target: torch.Tensor) -> float:
    """In dB, between -40 and 40."""
    si_sdr = -float(negative_si_sdr(estimate[None, None, :, None], target[None, :, None]))
    return min(max(si_sdr, -MOST_SI_SDR_DB), MOST_SI_SDR_DB)


def _estimates(estimate: Estimate, mix: torch.Tensor) -> list[torch.Tensor]:
    return [signal.float() for signal in estimate(mix)]


def _progress(trials: Iterator, name: str) -> Iterator:
    return tqdm(trials, desc=name, unit="trial", leave=False, disable=None)
