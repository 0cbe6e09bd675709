"""What a recipe does when it has trained: score every depth, let some be seen and heard."""

from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from bloomnet_sb.data.manifests import holds_mixtures
from bloomnet_sb.nn.losses import best_order, in_order
from bloomnet_sb.page.html import write_page
from bloomnet_sb.page.recordings import Network, Recording, make_recording
from bloomnet_sb.scoring.corpus import evaluate_part
from bloomnet_sb.scoring.costs import DepthProfile, profile_depths
from bloomnet_sb.scoring.tables import draw_spectrograms, make_results, write_results, write_scores
from bloomnet_sb.scoring.trials import TestPart
from bloomnet_sb.training.brain import BlockwiseBrain
from bloomnet_sb.training.options import is_trial


def evaluate(brain: BlockwiseBrain, test_set: DynamicItemDataset, test_loader_kwargs: dict) -> dict:
    """Score every depth of the best network, and write what a run leaves for readers.

    results.json, results.md, scores.csv, spectrograms.png, and listen.html with three of the test
    mixtures, in the output folder. Where `hparams` has test_snr_bands_db and the manifests are of
    speech and noise apart, also what listeners would miss is measured in those bands, see
    `bloomnet_sb.scoring.corpus.evaluate_part`.

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
    folder = _results_folder(brain)
    write_results(results, folder)
    write_scores(brain.scores, folder)
    hard, typical, easy = (_example(brain, test_set, share) for share in (1 / 6, 1 / 2, 5 / 6))
    _draw(typical, brain, folder / "spectrograms.png")
    costs = [_cost(row) for row in results["depths"][1:]]
    _write_page({e.name: e for e in (hard, typical, easy)}, costs, brain, folder / "listen.html")
    return results


def _results_folder(brain: BlockwiseBrain) -> Path:
    """The output folder; with --debug SpeechBrain's temporary one, so that results stay."""
    if is_trial(brain):
        return Path(brain.checkpointer.checkpoints_dir)
    return Path(brain.hparams.output_folder)


def _score_in_bands(brain: BlockwiseBrain) -> dict:
    hparams = brain.hparams
    brain.on_evaluate_start()
    brain.model.eval()
    folders = hparams.manifest_folder, hparams.data_folder
    part = TestPart(*folders, "test", hparams.sample_rate, hparams.eval_seconds)
    bands, depths = hparams.test_snr_bands_db, brain.schedule.depths
    results, brain.scores = evaluate_part(brain.model, depths, part, bands, hparams.with_dnsmos)
    return results


class _Example(NamedTuple):
    """A test mixture with its estimates by number of blocks; the sources are in one order."""

    name: str
    mix: torch.Tensor  # [time]
    estimates: dict[int, torch.Tensor]  # [time, sources]
    clean: torch.Tensor  # [time, sources]


def _example(brain: BlockwiseBrain, test_set: DynamicItemDataset, share: float) -> _Example:
    """The test mixture above a share of all in SI-SDR."""
    mixtures = [row for row in brain.scores.rows if row["blocks"] == 0]
    scored = [row for row in mixtures if row["si_sdr"] is not None]
    ordered = sorted(scored, key=lambda row: row["si_sdr"]) or mixtures
    chosen = ordered[int(len(ordered) * share)]["utterance"]
    item = test_set[test_set.data_ids.index(chosen)]
    mix, target = (item[key][None].to(brain.device) for key in ("mix", "target"))
    depths = brain.schedule.depths
    with torch.no_grad():
        estimates = brain.model(mix, depths=depths)
    clean = in_order(target, best_order(target, estimates))[0].cpu()
    by_depth = dict(zip(depths, estimates[:, 0].cpu(), strict=True))
    name = f"{chosen}, {item['noise']}" if item["noise"] else chosen
    return _Example(name, mix[0].cpu(), by_depth, clean)


def _draw(example: _Example, brain: BlockwiseBrain, path: Path) -> None:
    """Draw a test mixture at up to three depths."""
    depths = list(example.estimates)
    signals = {"unprocessed": example.mix}
    for index in sorted({0, (len(depths) - 1) // 2, len(depths) - 1}):
        title = f"{depths[index]} of {depths[-1]} blocks"
        signals |= _by_source(title, example.estimates[depths[index]])
    signals |= _by_source("clean", example.clean)
    draw_spectrograms(signals, brain.hparams.sample_rate, path)


def _write_page(
    examples: dict[str, _Example], costs: list[DepthProfile], brain: BlockwiseBrain, path: Path
) -> None:
    """Write a page to hear test mixtures at every depth."""
    hparams = brain.hparams

    def recording(name: str, example: _Example) -> Recording:
        signals = [example.estimates]
        rate, clean, dnsmos = hparams.sample_rate, example.clean, hparams.with_dnsmos
        return make_recording(name, rate, example.mix, signals, clean, dnsmos)

    network = Network(type(brain.model.separator).__name__.removesuffix("Separator"), costs)
    recordings = [recording(name, example) for name, example in examples.items()]
    write_page(recordings, [network], path, "Three test mixtures at every depth")


def _cost(row: dict) -> DepthProfile:
    """What a depth costs, of the results."""
    return DepthProfile(**{field.name: row[field.name] for field in fields(DepthProfile)})


def _by_source(title: str, signals: torch.Tensor) -> dict[str, torch.Tensor]:
    """Title to signal [time], for each of `signals` [time, sources]."""
    sources = signals.unbind(-1)
    if len(sources) == 1:
        return {title: sources[0]}
    return {f"{title}, source {number}": signal for number, signal in enumerate(sources, 1)}
