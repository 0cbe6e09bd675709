"""The claim: every depth of one BLOOM-Net beside a stand-alone network of that depth.

    python benchmarks/claim.py --data_folder DIR

Trains, on the same data and segments, for every seed of the configuration:

- stand-alone end-to-end networks of each depth, for as many updates as a block of BLOOM-Net gets in
  its own stage;
- the same for as many updates as a block gets in its stage and in the fine-tuning together (for
  `longer_seeds` only);
- BLOOM-Net block after block;
- the same, then fine-tuned, for as many epochs as keep its total training cost at or below that of
  the first stand-alone networks;
- all depths jointly from scratch, at or below that cost too.

The training cost is the multiply-accumulates of the forward and backward passes. Writes
results.json, results.md and two plots to the output folder. Started again with the same command, it
goes on where it was.
"""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import yaml
from options import parser_of

from bloomnet_sb.utils.atomic_files import written_whole

if TYPE_CHECKING:
    from bloomnet_sb import BlockwiseSchedule, BloomNet
    from bloomnet_sb.training.schedule import Stage

ROOT = Path(__file__).resolve().parents[1]
SYSTEMS = {
    "alone": "stand-alone, equal cost",
    "alone_longer": "stand-alone, equal updates",
    "sequential": "sequential",
    "finetuned": "fine-tuned",
    "joint": "joint",
}
BASELINES = ("alone", "alone_longer")


@dataclass(frozen=True)
class Run:
    """A training run: what it is part of, its overrides, and the run whose checkpoints it takes."""

    system: str
    folder: Path
    overrides: dict
    starts_from: Path | None = None


class Experiment:
    """The runs of a configuration, and what they cost."""

    def __init__(self, config: dict, data_folder: str, folder: Path):
        self.config, self.folder = config, folder
        self.common = {**config["overrides"], "data_folder": str(Path(data_folder).resolve())}
        self.num_blocks = self.common["num_blocks"]
        self.epochs = config["epochs"]
        self.model, _ = self._build({})
        self.alone_macs = sum(
            self._training_macs(self._alone(depth, self.epochs))
            for depth in range(1, self.num_blocks + 1)
        )
        sequential = self._training_macs(self._blockwise(0))
        one_epoch = self._training_macs(self._blockwise(1)) - sequential
        self.finetune_epochs = int((self.alone_macs - sequential) / one_epoch)
        self.joint_epochs = int(self.alone_macs / self._training_macs(self._joint(1)))

    def runs(self, seed: int) -> list[Run]:
        """All runs of a seed, in order."""
        folder, depths = self.folder / str(seed), range(1, self.num_blocks + 1)
        longer = self.epochs + self.finetune_epochs
        sequential = folder / "sequential"
        runs = [Run("alone", folder / f"alone{d}", self._alone(d, self.epochs)) for d in depths]
        runs += [
            Run("sequential", sequential, self._blockwise(0)),
            Run(
                "finetuned",
                folder / "finetuned",
                self._blockwise(self.finetune_epochs),
                starts_from=sequential,
            ),
            Run("joint", folder / "joint", self._joint(self.joint_epochs)),
        ]
        if seed in self.config["longer_seeds"]:
            runs += [
                Run("alone_longer", folder / f"alone_longer{d}", self._alone(d, longer))
                for d in depths
            ]
        return runs

    def seeds(self, system: str) -> list[int]:
        """The seeds that a system is trained with."""
        return self.config["longer_seeds" if system == "alone_longer" else "seeds"]

    def training_macs(self, system: str) -> int:
        """Multiply-accumulates of training a system with one seed."""
        runs = self.runs(self.seeds(system)[0])
        return sum(self._training_macs(run.overrides) for run in runs if run.system == system)

    def train(self, run: Run, seed: int) -> None:
        """Train and score a run; one that is finished stays as it is."""
        if (run.folder / "scores.csv").exists():
            return
        if run.starts_from is not None and not run.folder.exists():
            partial = run.folder.with_name(f".{run.folder.name}.partial")
            shutil.copytree(run.starts_from / "save", partial / "save", dirs_exist_ok=True)
            partial.rename(run.folder)
        options = {**self.common, **run.overrides, "seed": seed, "output_folder": str(run.folder)}
        command = [sys.executable, ROOT / self.config["recipe"], ROOT / self.config["hparams"]]
        command += [text for key, value in options.items() for text in (f"--{key}", str(value))]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

    def improvements(self, system: str, seeds: list[int]) -> np.ndarray:
        """SI-SDR improvements [seeds, depths, mixtures] of a system."""
        gains = [
            [
                _improvements(run.folder / "scores.csv", depth)
                for run in self.runs(seed)
                if run.system == system
                for depth in self._depths(run)
            ]
            for seed in seeds
        ]
        return np.array(gains)

    def _depths(self, run: Run) -> range:
        first = run.overrides.get("num_blocks", 1)
        return range(first, run.overrides.get("num_blocks", self.num_blocks) + 1)

    def _alone(self, depth: int, epochs: int) -> dict:
        return {"training": "e2e", "num_blocks": depth, "end_to_end_epochs": epochs}

    def _blockwise(self, finetune_epochs: int) -> dict:
        epochs = {"block_epochs": self.epochs, "finetune_epochs": finetune_epochs}
        return {"training": "blockwise", **epochs}

    def _joint(self, epochs: int) -> dict:
        return {"training": "joint", "end_to_end_epochs": epochs}

    def _build(self, overrides: dict) -> tuple[BloomNet, BlockwiseSchedule]:
        from hyperpyyaml import load_hyperpyyaml

        with tempfile.TemporaryDirectory() as folder, open(ROOT / self.config["hparams"]) as file:
            options = {**self.common, **overrides, "output_folder": folder}
            hparams = load_hyperpyyaml(file, options)
        return hparams["model"], hparams["schedule"]

    def _training_macs(self, overrides: dict) -> int:
        model, schedule = self._build(overrides)
        return self.common["segments_per_epoch"] * sum(
            stage.settings.epochs * stage_macs(model, stage) for stage in schedule.stages
        )


def stage_macs(model: BloomNet, stage: Stage, sample_rate: int = 16000) -> int:
    """Multiply-accumulates of a forward and backward pass of one segment."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = model.to("meta").requires_grad_(False)
    for name in stage.parts:
        model.part(name).requires_grad_(True)
    samples = round(stage.settings.segment_seconds * sample_rate)
    with FlopCounterMode(display=False) as counter:
        model(torch.empty(1, samples, device="meta"), depths=stage.depths).sum().backward()
    return counter.get_total_flops() // 2


def _improvements(path: Path, depth: int) -> list[float]:
    with open(path, encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if int(row["blocks"]) == depth]
    rows.sort(key=lambda row: row["utterance"])
    return [float(row["si_sdr_improvement"]) for row in rows]


def mean_with_interval(values: np.ndarray) -> dict:
    """The mean over the mixtures of the mean over the seeds, and its 95 % bootstrap interval."""
    from scipy.stats import bootstrap

    by_mixture = values.mean(0)
    interval = bootstrap(
        (by_mixture,), np.mean, method="percentile", n_resamples=9999, rng=0
    ).confidence_interval
    return {
        "mean": float(by_mixture.mean()),
        "low": float(interval.low),
        "high": float(interval.high),
        "by_seed": values.mean(1).tolist(),
    }


def summarise(experiment: Experiment) -> dict:
    """What results.json holds."""
    from bloomnet_sb.scoring.costs import macs_of_depths

    gains = {name: experiment.improvements(name, experiment.seeds(name)) for name in SYSTEMS}
    ahead = {
        name: experiment.improvements("finetuned", experiment.seeds(name)) - gains[name]
        for name in BASELINES
    }
    depths = range(1, experiment.num_blocks + 1)
    parameters = [experiment.model.num_parameters(depth) for depth in depths]
    macs = macs_of_depths(experiment.model, 16000)
    return {
        "config": experiment.config,
        "test_mixtures": gains["finetuned"].shape[-1],
        "epochs": {
            "alone": experiment.epochs,
            "alone_longer": experiment.epochs + experiment.finetune_epochs,
            "sequential": experiment.epochs,
            "finetuned": experiment.epochs + experiment.finetune_epochs,
            "joint": experiment.joint_epochs,
        },
        "training_macs": {system: experiment.training_macs(system) for system in SYSTEMS},
        "parameters_stored": {
            "one_network": experiment.model.num_parameters(),
            "stand_alone_networks": sum(parameters),
        },
        "depths": [
            {
                "blocks": depth,
                "parameters": parameters[index],
                "macs_per_second": macs[index][0],
                **{name: mean_with_interval(g[:, index]) for name, g in gains.items()},
                "finetuned_minus": {
                    name: mean_with_interval(difference[:, index])
                    for name, difference in ahead.items()
                },
            }
            for index, depth in enumerate(depths)
        ],
    }


def table(results: dict) -> str:
    """The results in Markdown."""
    heads = ["blocks", "parameters", "MMAC/s", *SYSTEMS.values()]
    heads += [f"fine-tuned minus {SYSTEMS[name]}" for name in BASELINES]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for row in results["depths"]:
        cells = [str(row["blocks"]), f"{row['parameters']:,}"]
        cells.append(f"{row['macs_per_second'] / 1e6:.1f}")
        cells += [_cell(row[name], "") for name in SYSTEMS]
        cells += [_cell(row["finetuned_minus"][name], "+") for name in BASELINES]
        lines.append("| " + " | ".join(cells) + " |")
    epochs, cost, base = results["epochs"], results["training_macs"], "alone"
    updates = ["epochs for a block", "", "", *(str(epochs[name]) for name in SYSTEMS), "", ""]
    costs = [f"{cost[name] / cost[base]:.2f}" for name in SYSTEMS]
    lines.append("| " + " | ".join(updates) + " |")
    lines.append("| " + " | ".join(["training cost", "", "", *costs, "", ""]) + " |")
    stored, config = results["parameters_stored"], results["config"]
    return "\n".join(lines) + (
        f"\n\nSI-SDR improvement in dB on {results['test_mixtures']} test mixtures, the mean over "
        f"seeds {config['seeds']} ({SYSTEMS['alone_longer']}, and what it is compared with: "
        f"{config['longer_seeds']}), and its 95 % bootstrap interval over the mixtures. Training "
        "cost in multiply-accumulates, over that of the stand-alone networks of the first column "
        "together. "
        f"Parameters stored: {stored['one_network']:,} for one BLOOM-Net, "
        f"{stored['stand_alone_networks']:,} for the stand-alone networks.\n"
    )


def _cell(value: dict, sign: str) -> str:
    return f"{value['mean']:{sign}.2f} ({value['low']:{sign}.2f} to {value['high']:{sign}.2f})"


def plot(results: dict, key: str, label: str, path: Path) -> None:
    """Draw SI-SDR improvement against a cost, a curve for each system."""
    from matplotlib import pyplot as plt

    rows = results["depths"]
    figure, axis = plt.subplots(figsize=(7, 4.5))
    for index, (name, title) in enumerate(SYSTEMS.items()):
        mean = np.array([row[name]["mean"] for row in rows])
        low, high = (np.array([row[name][end] for row in rows]) for end in ("low", "high"))
        # A little to the side of each other: the intervals would hide one another.
        x = np.array([row[key] for row in rows]) * (1 + 0.006 * (index - 2))
        spread = (mean - low, high - mean)
        axis.errorbar(x, mean, spread, marker="o", ms=4, lw=1.2, elinewidth=0.5, label=title)
    if key == "parameters":
        stored = results["parameters_stored"]["stand_alone_networks"]
        axis.axvline(stored, ls=":", c="k", label="stored by the stand-alone networks")
        axis.set_xscale("log")
    axis.set_xlabel(label)
    axis.set_ylabel("SI-SDR improvement, dB")
    axis.legend(fontsize=8, loc="lower right")
    axis.grid(alpha=0.3)
    figure.tight_layout()
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=110, format="png")
    plt.close(figure)


def report(experiment: Experiment) -> None:
    """Write results.json, results.md and the plots, and print the table."""
    results = summarise(experiment)
    texts = {"results.json": json.dumps(results, indent=1) + "\n", "results.md": table(results)}
    for name, text in texts.items():
        with written_whole(experiment.folder / name) as partial:
            partial.write_text(text, encoding="utf-8")
    labels = {
        "parameters": "parameters in use",
        "macs_per_second": "multiply-accumulates for a second of audio",
    }
    for key, label in labels.items():
        plot(results, key, label, experiment.folder / f"{key}.png")
    print(texts["results.md"])


def main() -> None:
    """Train what is left to train, and report."""
    parser = parser_of(__doc__, data_folder=True)
    parser.add_argument(
        "--output_folder",
        type=Path,
        default=ROOT / "results" / "claim",
        help="default: results/claim",
    )
    parser.add_argument(
        "--config",
        type=Path,
        default=ROOT / "benchmarks" / "claim.yaml",
        help="default: benchmarks/claim.yaml",
    )
    options = parser.parse_args()
    config = yaml.safe_load(options.config.read_text(encoding="utf-8"))
    experiment = Experiment(config, options.data_folder, options.output_folder.resolve())
    runs = [(run, seed) for seed in config["seeds"] for run in experiment.runs(seed)]
    runs.sort(key=lambda job: job[0].system == "alone_longer")  # the longest at the end
    for number, (run, seed) in enumerate(runs, 1):
        print(f"[{number}/{len(runs)}] seed {seed}: {run.folder.name}", file=sys.stderr)
        experiment.train(run, seed)
    report(experiment)


if __name__ == "__main__":
    main()
