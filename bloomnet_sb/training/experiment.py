"""The experiment that every recipe runs: prepare, train blockwise, score every depth, export."""

import sys
from pathlib import Path

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import if_main_process, run_on_main
from torch.utils.data import Sampler

from bloomnet_sb.data import manifests_summary, train_sampler
from bloomnet_sb.data.datasets import DrawDataset
from bloomnet_sb.data.shard_dataset import ShardDataset, ShardSampler
from bloomnet_sb.nn.losses import best_order, in_order
from bloomnet_sb.pretrained.fetching import WEIGHTS_FILE, fetch_from
from bloomnet_sb.pretrained.loading import load_weights
from bloomnet_sb.pretrained.saving import export_pretrained
from bloomnet_sb.scoring.corpus import evaluate_part
from bloomnet_sb.scoring.costs import profile_depths
from bloomnet_sb.scoring.tables import (
    draw_spectrograms,
    make_results,
    results_table,
    write_results,
    write_scores,
)
from bloomnet_sb.scoring.trials import TestPart
from bloomnet_sb.training.brain import BlockwiseBrain
from bloomnet_sb.training.schedule import Stage
from bloomnet_sb.training.steps import parse, recipe_run

USE = {
    "enhancement": """
    from bloomnet_sb import BloomEnhancer
    enhancer = BloomEnhancer.from_hparams(source="this folder")
    enhancer.enhance_file("noisy.wav", "enhanced.wav", blocks=1)
""",
    "separation": """
    from bloomnet_sb import BloomSeparator
    separator = BloomSeparator.from_hparams(source="this folder")
    separator.separate_file("mix.wav", "separated/", blocks=1)
""",
}


def main(argv: list[str]) -> None:
    """Run a recipe from its command line.

    Arguments
    ---------
    argv : list of str
        The YAML file, and SpeechBrain's options and overrides of the file's keys.

    Example
    -------
    See recipes/ConvTasNet/train.py.
    """
    with recipe_run() as stop_signals:
        hparams_file, hparams, run_opts, overrides = parse(argv)
        run_on_main(hparams["prepare"])
        brain = BlockwiseBrain(
            modules={"model": hparams["model"]},
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )
        brain.stop_signals = stop_signals
        if hparams.get("start_from"):
            weights = fetch_from(hparams["start_from"], WEIGHTS_FILE)
            load_weights(hparams["model"], weights)  # a checkpoint of this run goes before them
        _train(brain, hparams)
        if if_main_process():
            _evaluate(brain, hparams, hparams_file, overrides)


def _train(brain: BlockwiseBrain, hparams: dict) -> None:
    def train_set(stage: Stage) -> DrawDataset | ShardDataset:
        return hparams["train_set"](segment_seconds=stage.settings.segment_seconds)

    def sampler(dataset: DrawDataset | ShardDataset) -> Sampler | ShardSampler:
        balance = hparams.get("speaker_balance", 0.0)
        return train_sampler(dataset, hparams["seed"], hparams["segments_per_epoch"], balance)

    brain.run(
        train_set,
        sampler,
        hparams["eval_set"](split="valid"),
        train_loader_kwargs=hparams["train_dataloader_opts"],
        valid_loader_kwargs=hparams["eval_dataloader_opts"],
    )


def _evaluate(brain: BlockwiseBrain, hparams: dict, hparams_file: str, overrides: str) -> None:
    test_set = hparams["eval_set"](split="test")
    model, folder = brain.model, Path(hparams["output_folder"])
    results = _score(brain, hparams, test_set)
    write_results(results, folder)
    write_scores(brain.scores, folder)
    _draw_typical(brain, test_set, folder / "spectrograms.png")
    card = _model_card(hparams, hparams_file, results)
    export_pretrained(model, hparams_file, overrides, folder / "pretrained", card)
    print(results_table(results))


def _score(brain: BlockwiseBrain, hparams: dict, test_set: DynamicItemDataset) -> dict:
    bands = hparams.get("test_snr_bands_db")
    if not bands:
        brain.evaluate(test_set, test_loader_kwargs=dict(hparams["eval_dataloader_opts"]))
        profile = profile_depths(brain.model, hparams["sample_rate"])
        return make_results(brain.scores, profile, brain.model)
    brain.on_evaluate_start()
    brain.model.eval()
    folders = hparams["manifest_folder"], hparams["data_folder"]
    part = TestPart(*folders, "test", hparams["sample_rate"], hparams["eval_seconds"])
    results, brain.scores = evaluate_part(
        brain.model, brain.schedule.depths, part, bands, hparams["with_dnsmos"]
    )
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


def _model_card(hparams: dict, hparams_file: str, results: dict) -> str:
    model = hparams["model"]
    backbone = type(model.separator).__name__
    task = "enhancement" if model.num_sources == 1 else "separation"
    limits = hparams.get("limits")
    limits = "" if limits is None else f"## Limits\n\n{limits}\n\n"
    snr_db = hparams.get("snr_db")
    levels = "" if snr_db is None else f"{snr_db[0]} to {snr_db[1]} dB SNR, "
    return (
        f"# BLOOM-Net speech {task}, {backbone}, {model.num_blocks} blocks\n\n"
        f"Trained with bloomnet_sb, `{Path(hparams_file).name}`, schedule "
        f"`{hparams['schedule'].kind}`, seed {hparams['seed']}:\n\n"
        f"    {_shared_command(sys.argv[1:])}\n\n"
        "## Data\n\n"
        f"{hparams['data_description']}\n\n"
        f"{manifests_summary(hparams['manifest_folder'], hparams['sample_rate'])}\n"
        f"Mixtures at {levels}{hparams['sample_rate']} Hz. Licence of the data and of these "
        f"weights: {hparams['data_license']}\n\n"
        f"## Results on {results['test_mixtures']} test mixtures\n\n"
        f"{results_table(results)}\n"
        f"{limits}"
        f"## Use\n{USE[task]}"
    )


def _shared_command(argv: list[str]) -> str:
    """The command of a run for other machines: without the paths of this one."""
    command = ["python", "train.py"]
    for option, value in zip(["", *argv], argv, strict=False):
        name, equals, path = value.partition("=")
        if equals and Path(path).is_absolute():
            value = f"{name}=DIR"
        elif Path(value).is_absolute():
            value = "DIR" if option.startswith("--") else Path(value).name
        command.append(value)
    return " ".join(command)
