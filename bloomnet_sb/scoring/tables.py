"""What a run leaves behind for readers: tables and a picture."""

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.scoring.costs import DepthProfile
from bloomnet_sb.scoring.depth_scores import METRICS, DepthScores, noise_name, snr_band
from bloomnet_sb.scoring.listener_tables import UNPROCESSED, depth_labels, listener_tables
from bloomnet_sb.scoring.metrics import (
    DNSMOS_RATE,
    NARROW_BAND,
    WIDE_BAND,
    pesq_name,
    pesq_rate,
)
from bloomnet_sb.utils.atomic_files import written_whole

BYTES_PER_PARAMETER = 4
HOP_SECONDS, RANGE_DB = 0.008, 80  # of spectrograms
HEADER = (
    "| blocks | parameters | MMAC/s | RTF | SI-SDR | SI-SDRi | {pesq} | STOI | DNSMOS | level |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
)
FORMATS = ("{:.2f}", "{:.2f}", "{:.2f}", "{:.3f}", "{:.2f}", "{:+.1f}")
COLUMNS = ("utterance", "kind", "noise", "category", "snr_db", "blocks", *METRICS)
LEGEND = (
    "MMAC/s: million multiply-accumulates for a second of audio. RTF: seconds of compute for a "
    "second of audio. SI-SDR and its improvement in dB, {pesq}, DNSMOS {dnsmos}, level: median "
    "over the test set of the gain of the clean speech in the estimate, in dB.\n"
)
PESQ_LEGENDS = {
    NARROW_BAND: "PESQ-NB of narrow band, at 8 kHz",
    WIDE_BAND: "PESQ-WB of wide band, at 16 kHz",
}


def make_results(scores: DepthScores, profile: list[DepthProfile], model: BloomNet | None) -> dict:
    """Gather scores and costs by depth.

    Arguments
    ---------
    scores : DepthScores
        Of the test set.
    profile : list of DepthProfile
        Of the network.
    model : BloomNet, optional
        The network; None where only the mixtures were scored.

    Returns
    -------
    dict
        "sample_rate", "test_mixtures", "depths" (a list; 0 blocks is the unprocessed mixture),
        "by_snr" and "by_noise" (see `DepthScores.improvement_by`), "failures" and "memory_bytes" of
        this network and of the stand-alone networks that it replaces, one for each depth that was
        scored.
    """
    costs = {depth.blocks: asdict(depth) for depth in profile}
    depths = scores.depths if model is not None else []
    parts = [part for blocks in depths for part in model.parts_in_use(blocks)] if model else []
    in_use = {parameter for part in parts for parameter in part.parameters()}
    alone = sum(costs[blocks]["parameters"] for blocks in depths)
    return {
        "sample_rate": scores.sample_rate,
        "test_mixtures": len({row["utterance"] for row in scores.rows}),
        "depths": [{**costs.get(row["blocks"], {}), **row} for row in scores.summary()],
        "by_snr": scores.improvement_by(snr_band),
        "by_noise": scores.improvement_by(noise_name),
        "failures": scores.failures,
        "memory_bytes": {
            "this_network": BYTES_PER_PARAMETER * sum(p.numel() for p in in_use),
            "stand_alone_networks": BYTES_PER_PARAMETER * alone,
        },
    }


def results_table(results: dict) -> str:
    """The results as Markdown tables with a line on memory below, then those for listeners.

    Arguments
    ---------
    results : dict
        See `make_results`, `bloomnet_sb.scoring.corpus.evaluate_part` and
        `bloomnet_sb.scoring.pairs.evaluate_pairs`.

    Returns
    -------
    str
        Markdown.
    """
    memory, sample_rate = results["memory_bytes"], results["sample_rate"]
    lines = [HEADER.format(pesq=pesq_name(sample_rate))]
    lines += [_table_row(row) for row in results["depths"]]
    systems = results.get("systems", {})
    lines += [_table_row(row, title) for title, row in systems.items()]
    lines += [
        f"\n{_legend(sample_rate)}\n",
        *(f"Not scored: {failure}\n" for failure in results["failures"]),
    ]
    depths = [row["blocks"] for row in results["depths"][1:]]
    lines.append(_groups_table("input SNR", depths, results["by_snr"]))
    lines.append(_groups_table("noise", depths, results["by_noise"]))
    if depths:
        lines.append(
            f"Memory of the weights: {memory['this_network'] / 1e6:.2f} MB for this one network, "
            f"{memory['stand_alone_networks'] / 1e6:.2f} MB for the stand-alone networks that it "
            f"replaces, {len(depths)} in number.\n"
        )
    if "listeners" in results:
        labels = depth_labels(results["listeners"])
        lines.append("\n" + listener_tables(labels, sample_rate, True))
    # Names that are no text, as a file system may have them, have their bytes as escapes.
    return "".join(lines).encode("utf-8", "backslashreplace").decode("utf-8")


def profile_table(profile: list[DepthProfile]) -> str:
    """The costs by depth as a Markdown table.

    Arguments
    ---------
    profile : list of DepthProfile
        See `bloomnet_sb.scoring.costs.profile_depths`.

    Returns
    -------
    str
        Markdown.

    Example
    -------
    >>> print(profile_table([DepthProfile(1, 225_000, 10_000_000, 0.01)]))
    | blocks | parameters | MMAC/s | RTF |
    | --- | --- | --- | --- |
    | 1 | 225,000 | 10.0 | 0.010 |
    """
    lines = ["| blocks | parameters | MMAC/s | RTF |", "| --- | --- | --- | --- |"]
    lines += ["| " + " | ".join(_cost_cells(asdict(depth))) + " |" for depth in profile]
    return "\n".join(lines)


def write_results(results: dict, output_folder: str | Path) -> None:
    """Write results.json and results.md.

    Arguments
    ---------
    results : dict
        See `make_results`.
    output_folder : str or Path
        Where they go.
    """
    folder = Path(output_folder)
    _write_text(folder / "results.json", json.dumps(results, indent=1) + "\n")
    _write_text(folder / "results.md", results_table(results))


def write_scores(
    scores: DepthScores,
    output_folder: str | Path,
    systems: Mapping[str, DepthScores] | None = None,
) -> None:
    """Write scores.csv, a line for each test mixture and number of blocks.

    Arguments
    ---------
    scores : DepthScores
        Of the test set.
    output_folder : str or Path
        Where it goes.
    systems : mapping, optional
        Scores of systems without depths, by their names, which a further column has.
    """
    rows = [*scores.rows]
    for name, other in (systems or {}).items():
        rows += [{**row, "blocks": "", "system": name} for row in other.rows]
    with (
        written_whole(Path(output_folder) / "scores.csv") as partial,
        # Names that are no text, as a file system may have them, stay what they are.
        open(partial, "w", encoding="utf-8", errors="surrogateescape", newline="") as file,
    ):
        table = csv.DictWriter(file, [*COLUMNS, "system"] if systems else COLUMNS)
        table.writeheader()
        table.writerows(rows)


def spectrograms_db(
    signals: dict[str, torch.Tensor], sample_rate: int
) -> tuple[dict[str, torch.Tensor], float]:
    """Spectrograms of windows of 32 ms, every 8 ms.

    Arguments
    ---------
    signals : dict
        Title to signal [time].
    sample_rate : int
        In Hz.

    Returns
    -------
    (dict, float)
        Title to levels [frequencies, frames] in dB, and the highest level of all. What lies
        `RANGE_DB` below that is not drawn.

    Example
    -------
    >>> levels, top = spectrograms_db({"noisy": torch.randn(16000)}, sample_rate=16000)
    >>> levels["noisy"].shape, bool(levels["noisy"].max() == top)
    (torch.Size([257, 126]), True)
    """
    hop = round(HOP_SECONDS * sample_rate)
    window = torch.hann_window(4 * hop)
    levels = {}
    for title, signal in signals.items():
        # Padded by zeros, a signal may be shorter than a window.
        spectrum = torch.stft(
            signal.cpu(), 4 * hop, hop, window=window, pad_mode="constant", return_complex=True
        )
        levels[title] = 20 * torch.log10(spectrum.abs() + 1e-6)
    return levels, max(level.max().item() for level in levels.values())


def draw_spectrograms(signals: dict[str, torch.Tensor], sample_rate: int, path: str | Path) -> None:
    """Draw signals as spectrograms, one below the other, on one scale.

    Arguments
    ---------
    signals : dict
        Title to signal [time].
    sample_rate : int
        In Hz.
    path : str or Path
        The PNG file to write.
    """
    from matplotlib.figure import Figure  # takes half a second

    levels, top = spectrograms_db(signals, sample_rate)
    figure = Figure(figsize=(9, 2 * len(signals)))
    axes = figure.subplots(len(signals), sharex=True, squeeze=False)
    for axis, (title, level) in zip(axes[:, 0], levels.items(), strict=True):
        seconds = len(signals[title]) / sample_rate
        axis.imshow(
            level.numpy(),
            origin="lower",
            aspect="auto",
            extent=(0, seconds, 0, sample_rate / 2000),
            vmin=top - RANGE_DB,
            vmax=top,
            cmap="magma",
        )
        axis.set_title(title, fontsize=10, loc="left")
        axis.set_ylabel("kHz")
    axes[-1, 0].set_xlabel("seconds")
    figure.tight_layout()
    with written_whole(path) as partial:
        figure.savefig(partial, dpi=100, format="png")


def _legend(sample_rate: int) -> str:
    dnsmos = "its overall score, at 16 kHz"
    if sample_rate < DNSMOS_RATE:
        dnsmos = f"left out, as it judges signals at 16 kHz and these are at {sample_rate} Hz"
    return LEGEND.format(pesq=PESQ_LEGENDS[pesq_rate(sample_rate)], dnsmos=dnsmos)


def _table_row(row: dict, title: str = UNPROCESSED) -> str:
    """A row of a depth with its costs, or without them of what has a title."""
    costs_known = row["blocks"] and title == UNPROCESSED
    cells = _cost_cells(row) if costs_known else [title, "", "", ""]
    formats = dict(zip(METRICS, FORMATS, strict=True))
    cells += ["" if row[m] is None else formats[m].format(row[m]) for m in METRICS]
    return "| " + " | ".join(cells) + " |\n"


def _groups_table(title: str, depths: list[int], groups: list[dict]) -> str:
    if not groups:
        return ""
    heads = [title, "mixtures", *(f"SI-SDRi, {blocks} blocks" for blocks in depths)]
    lines = ["| " + " | ".join(heads) + " |", "| --- " * len(heads) + "|"]
    for group in groups:
        gains = [f"{gain:.2f}" for gain in group["si_sdr_improvement"]]
        lines.append("| " + " | ".join([group["group"], str(group["mixtures"]), *gains]) + " |")
    return "\n".join(lines) + "\n\n"


def _cost_cells(row: dict) -> list[str]:
    return [
        str(row["blocks"]),
        f"{row['parameters']:,}",
        f"{row['macs_per_second'] / 1e6:,.1f}",
        f"{row['real_time_factor']:.3f}",
    ]


def _write_text(path: Path, text: str) -> None:
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
