"""The pretrained folder that a recipe leaves, with its model card."""

import shlex
from pathlib import Path

from bloomnet_sb.data import manifests_summary
from bloomnet_sb.data.manifests import holds_mixtures
from bloomnet_sb.model import BloomNet
from bloomnet_sb.pretrained.saving import export_pretrained
from bloomnet_sb.scoring.tables import results_table
from bloomnet_sb.training.options import is_trial
from bloomnet_sb.training.steps import Experiment

USE = {
    "enhancement": """
    from bloomnet_sb import BloomEnhancer
    enhancer = BloomEnhancer.from_hparams(source="this folder")
    enhancer.enhance_file("noisy.wav", "enhanced.wav", blocks={blocks})
""",
    "separation": """
    from bloomnet_sb import BloomSeparator
    separator = BloomSeparator.from_hparams(source="this folder")
    separator.separate_file("mix.wav", "separated/", blocks={blocks})
""",
}


def export(model: BloomNet, experiment: Experiment, results: dict) -> None:
    """Write pretrained/ in the output folder, unless this is a trial, and print the results.

    A test alone leaves what the training wrote: its card says what the network was trained on.

    Arguments
    ---------
    model : BloomNet
        The trained network.
    experiment : Experiment
        What it was trained by; its YAML needs the keys of `model_card`.
    results : dict
        Its scores, see `bloomnet_sb.training.evaluation.evaluate`.

    Example
    -------
    See recipes/ConvTasNet/train.py.
    """
    folder = Path(experiment.hparams["output_folder"]) / "pretrained"
    is_test_of_it = experiment.run_opts.test_only and folder.is_dir()
    if not is_trial(experiment.run_opts) and not is_test_of_it:
        card = model_card(model, experiment, results)
        export_pretrained(model, experiment.hparams_file, experiment.overrides, folder, card)
    print(results_table(results))


def model_card(model: BloomNet, experiment: Experiment, results: dict) -> str:
    """Says what a network was trained on and by, how good it is, and how it is used.

    Arguments
    ---------
    model, experiment, results
        As `export`. The YAML has training, seed, data_description, data_license, manifest_folder
        and sample_rate, and maybe snr_db and limits.

    Returns
    -------
    str
        Markdown.
    """
    hparams = experiment.hparams
    task = "enhancement" if model.num_sources == 1 else "separation"
    limits = hparams.get("limits")
    limits = "" if limits is None else f"## Limits\n\n{limits}\n\n"
    snr_db = hparams.get("snr_db")
    mixed_already = holds_mixtures(hparams["manifest_folder"])
    levels = "" if snr_db is None or mixed_already else f"{snr_db[0]} to {snr_db[1]} dB SNR, "
    backbone = type(model.separator).__name__
    return (
        f"# BLOOM-Net speech {task}, {backbone}, {model.num_blocks} blocks\n\n"
        f"Trained with bloomnet_sb, `{Path(experiment.hparams_file).name}`, schedule "
        f"`{hparams['training']}`, seed {hparams['seed']}:\n\n"
        f"    {_shared_command(experiment.argv)}\n\n"
        "## Data\n\n"
        f"{hparams['data_description']}\n\n"
        f"{manifests_summary(hparams['manifest_folder'], hparams['sample_rate'])}\n"
        f"Mixtures at {levels}{hparams['sample_rate']} Hz. Licence of the data and of these "
        f"weights: {hparams['data_license']}\n\n"
        f"## Results on {results['test_mixtures']} test mixtures\n\n"
        f"{results_table(results)}\n"
        f"{limits}"
        f"## Use\n{_use(task, results)}"
    )


def _use(task: str, results: dict) -> str:
    """How the fewest blocks that were trained are used; the heads of fewer know nothing."""
    fewest = min(row["blocks"] for row in results["depths"] if row["blocks"] > 0)
    use = USE[task].format(blocks=fewest)
    return use if fewest == 1 else f"{use}\nFewer than {fewest} blocks were not trained.\n"


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
    return shlex.join(command)
