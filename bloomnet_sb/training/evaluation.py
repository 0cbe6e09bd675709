"""What a recipe does when it has trained: score every depth, and draw a typical mixture."""

from pathlib import Path

import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from bloomnet_sb.data.manifests import holds_mixtures
from bloomnet_sb.nn.losses import best_order, in_order
from bloomnet_sb.scoring.corpus import evaluate_part
from bloomnet_sb.scoring.costs import profile_depths
from bloomnet_sb.scoring.tables import draw_spectrograms, make_results, write_results, write_scores
from bloomnet_sb.scoring.trials import TestPart
from bloomnet_sb.training.brain import BlockwiseBrain


def evaluate(brain: BlockwiseBrain, test_set: DynamicItemDataset, test_loader_kwargs: dict) -> dict:
    """Score every depth of the best network, and write what a run leaves for readers.

    results.json, results.md, scores.csv and spectrograms.png, in the output folder. Where
    `hparams` has test_snr_bands_db and the manifests are of speech and noise apart, also what
    listeners would miss is measured in those bands, see `bloomnet_sb.scoring.corpus.evaluate_part`.

    Arguments
    ---------
    brain : BlockwiseBrain
        Which has trained; in the main process.
    test_set : DynamicItemDataset
        Its test mixtures.
    test_loader_kwargs : dict
        Options of the data loader.

    Returns
    -------
    dict
        See `bloomnet_sb.scoring.tables.make_results`.

    Raises
    ------
    InputError
        If there is no checkpoint of the last stage.

    Example
    -------
    See recipes/ConvTasNet/train.py.
    """
    bands = getattr(brain.hparams, "test_snr_bands_db", None)
    if bands and not holds_mixtures(brain.hparams.manifest_folder):
        results = _score_in_bands(brain)
    else:
        brain.evaluate(test_set, test_loader_kwargs=dict(test_loader_kwargs))
        profile = profile_depths(brain.model, brain.hparams.sample_rate)
        results = make_results(brain.scores, profile, brain.model)
    folder = Path(brain.hparams.output_folder)
    write_results(results, folder)
    write_scores(brain.scores, folder)
    _draw_typical(brain, test_set, folder / "spectrograms.png")
    return results


def _score_in_bands(brain: BlockwiseBrain) -> dict:
    hparams = brain.hparams
    brain.on_evaluate_start()
    brain.model.eval()
    folders = hparams.manifest_folder, hparams.data_folder
    part = TestPart(*folders, "test", hparams.sample_rate, hparams.eval_seconds)
    bands, depths = hparams.test_snr_bands_db, brain.schedule.depths
    results, brain.scores = evaluate_part(brain.model, depths, part, bands, hparams.with_dnsmos)
    return results


def _draw_typical(brain: BlockwiseBrain, test_set: DynamicItemDataset, path: Path) -> None:
    """Draw the test mixture of the median SI-SDR at up to three depths."""
    mixtures = sorted((r for r in brain.scores.rows if r["blocks"] == 0), key=lambda r: r["si_sdr"])
    typical = mixtures[len(mixtures) // 2]["utterance"]
    example = test_set[test_set.data_ids.index(typical)]
    mix, target = (example[key][None].to(brain.device) for key in ("mix", "target"))
    scored = brain.schedule.depths
    with torch.no_grad():
        estimates = brain.model(mix, depths=scored)
    signals = {"unprocessed": mix[0]}
    for index in sorted({0, (len(scored) - 1) // 2, len(scored) - 1}):
        title = f"{scored[index]} of {scored[-1]} blocks"
        signals |= _by_source(title, estimates[index, 0])
    signals |= _by_source("clean", in_order(target, best_order(target, estimates))[0])
    draw_spectrograms(signals, brain.hparams.sample_rate, path)


def _by_source(title: str, signals: torch.Tensor) -> dict[str, torch.Tensor]:
    """Title to signal [time], for each of `signals` [time, sources]."""
    sources = signals.unbind(-1)
    if len(sources) == 1:
        return {title: sources[0]}
    return {f"{title}, source {number}": signal for number, signal in enumerate(sources, 1)}
