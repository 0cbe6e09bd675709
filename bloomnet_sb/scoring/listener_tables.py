"""The figures of `bloomnet_sb.scoring.listeners` as Markdown tables."""

from collections.abc import Callable, Mapping, Sequence

from bloomnet_sb.scoring.conditions import CONDITIONS
from bloomnet_sb.scoring.depth_scores import METRICS
from bloomnet_sb.scoring.listeners import CLEAN, CONDITION, NOISE
from bloomnet_sb.scoring.metrics import OCTAVES, pesq_name

# The input, where the figures of a system are beside it.
UNPROCESSED = "unprocessed"
BAND_FORMATS = {
    "si_sdr_improvement": "{:+.2f}",
    "si_sdr": "{:.2f}",
    "pesq": "{:.2f}",
    "stoi": "{:.3f}",
    "dnsmos": "{:.2f}",
    "level_db": "{:+.1f}",
}
LEGEND = (
    "SI-SDR, its improvement and levels in dB. Clean speech: the SI-SDR of what comes out, each "
    "utterance's at most 40 dB; 125 Hz and up: output over input by octave. Noise alone: what "
    "is left of it. Level: median of the gain of the clean speech. Conditions: the change of the "
    "SI-SDR of 4 s of speech at 10 dB SNR, and of their first 0.5 s, where 4 s of a talker 20 dB "
    "louder or softer in the noise, or 10 s of digital silence, are before it in place of the "
    "noise alone, or an offset of 0.1 lies under both. Means are means over the kinds of voices.\n"
)


def depth_labels(figures: dict) -> dict[str, dict]:
    """The depths of a network by what a table calls them.

    Arguments
    ---------
    figures : dict
        See `bloomnet_sb.scoring.listeners.listener_figures`.

    Returns
    -------
    dict
        "unprocessed", "1 block", "2 blocks".. to the figures of each.

    Example
    -------
    >>> list(depth_labels({"depths": [{"blocks": 0}, {"blocks": 1}, {"blocks": 2}]}))
    ['unprocessed', '1 block', '2 blocks']
    """
    return {depth_label(depth["blocks"]): depth for depth in figures["depths"]}


def depth_label(blocks: int) -> str:
    """What a table calls a number of blocks.

    Example
    -------
    >>> depth_label(1), depth_label(0)
    ('1 block', 'unprocessed')
    """
    return UNPROCESSED if blocks == 0 else "1 block" if blocks == 1 else f"{blocks} blocks"


def listener_tables(
    systems: Mapping[str, dict], sample_rate: int, first_is_above: bool = False
) -> str:
    """Every table: bands, clean speech, noise alone, conditions, kinds and categories.

    Arguments
    ---------
    systems : mapping
        Label to the figures of a depth, see `depth_labels`.
    sample_rate : int
        Of the signals, in Hz: it decides which PESQ they have.
    first_is_above : bool
        Whether a table above has the scores of the first band.

    Returns
    -------
    str
        Markdown.
    """
    bands = [
        key
        for key in next(iter(systems.values()))
        if key not in ("blocks", CLEAN, NOISE, CONDITION)
    ]
    tables = [LEGEND]
    for band in bands[first_is_above:]:
        tables.append(f"At {band} SNR, {_first(systems, band)['mixtures']} mixtures:\n")
        tables.append(band_table(systems, band, sample_rate))
    tables += ["Clean speech:\n", clean_table(systems)]
    tables += ["Noise alone and conditions:\n", noise_and_conditions_table(systems)]
    for band in bands:
        tables += _group_tables(systems, band, "by_kind", "voice", pesq_name(sample_rate))
        tables += _group_tables(systems, band, "by_category", "noise", pesq_name(sample_rate))
    tables += _clean_by_kind(systems)
    return "\n".join(tables)


def band_table(systems: Mapping[str, dict], band: str, sample_rate: int) -> str:
    """The scores of a band of SNR.

    Arguments
    ---------
    systems : mapping
        As `listener_tables`.
    band : str
        See `bloomnet_sb.scoring.listeners.band_name`.
    sample_rate : int
        As `listener_tables`.

    Returns
    -------
    str
        Markdown.

    Example
    -------
    >>> scores = dict.fromkeys(METRICS, 1.0)
    >>> print(band_table({"1 block": {"-5 to 10 dB": scores}}, "-5 to 10 dB", 16000))
    |  | SI-SDR | SI-SDRi | PESQ-WB | STOI | DNSMOS | level |
    | --- | --- | --- | --- | --- | --- | --- |
    | 1 block | 1.00 | +1.00 | 1.00 | 1.000 | 1.00 | +1.0 |
    """
    heads = ["SI-SDR", "SI-SDRi", pesq_name(sample_rate), "STOI", "DNSMOS", "level"]
    rows = {
        label: [_cell(figures[band][metric], BAND_FORMATS[metric]) for metric in METRICS]
        for label, figures in systems.items()
        if band in figures
    }
    return _table(heads, rows)


def clean_table(systems: Mapping[str, dict]) -> str:
    """What is left of clean speech.

    Arguments
    ---------
    systems : mapping
        As `listener_tables`.

    Returns
    -------
    str
        Markdown.
    """
    found = {label: figures[CLEAN] for label, figures in systems.items() if CLEAN in figures}
    octaves = [o for o in OCTAVES if any(str(o) in clean["octaves_db"] for clean in found.values())]
    heads = ["mean", "median", "10 %", "level"]
    heads += [f"{o} Hz" if o < 1000 else f"{o // 1000} kHz" for o in octaves]
    rows = {}
    for label, clean in found.items():
        cells = [f"{clean[name]:.1f}" for name in ("mean", "median", "p10")]
        cells.append(f"{clean['level_db']:+.1f}")
        rows[label] = cells + [_cell(clean["octaves_db"].get(str(o)), "{:+.1f}") for o in octaves]
    return _table(heads, rows)


def noise_and_conditions_table(systems: Mapping[str, dict]) -> str:
    """What is left of noise alone, and what each condition changes, its first 0.5 s behind it.

    Arguments
    ---------
    systems : mapping
        As `listener_tables`.

    Returns
    -------
    str
        Markdown.
    """
    heads = ["noise: mean", "median", "90 %", *CONDITIONS]
    rows = {}
    for label, figures in systems.items():
        if NOISE not in figures:
            continue
        cells = [f"{figures[NOISE][name]:.1f}" for name in ("mean", "median", "p90")]
        for condition in CONDITIONS:
            change = figures[CONDITION][condition]
            cells.append(f"{change['change_db']:+.2f} / {change['onset_change_db']:+.2f}")
        rows[label] = cells
    return _table(heads, rows)


def _group_tables(
    systems: Mapping[str, dict], band: str, group: str, what: str, pesq: str
) -> list[str]:
    """SI-SDR improvement and gain in PESQ of each group, where there are several."""
    names = list(_first(systems, band)[group])
    if len(names) < 2:
        return []
    before = systems.get(UNPROCESSED, {}).get(band, {}).get(group, {})

    def cell(scores: dict, name: str) -> str:
        gain = f"{scores['si_sdr_improvement']:+.2f}"
        noisy = before.get(name, {}).get("pesq")
        if scores["pesq"] is None or noisy is None:
            return gain
        return f"{gain} / {scores['pesq'] - noisy:+.2f}"

    return [
        f"At {band} SNR, improvement of SI-SDR / {pesq} by {what}:\n",
        _by_group(systems, names, lambda figures: figures.get(band, {}).get(group), cell),
    ]


def _clean_by_kind(systems: Mapping[str, dict]) -> list[str]:
    names = list(_first(systems, CLEAN)["by_kind"])
    if len(names) < 2:
        return []

    def cell(clean: dict, _: str) -> str:
        return f"{clean['median']:.1f} / {clean['p10']:.1f}"

    return [
        "Clean speech by voice, SI-SDR, median / 10 %:\n",
        _by_group(systems, names, lambda figures: figures.get(CLEAN, {}).get("by_kind"), cell),
    ]


def _by_group(
    systems: Mapping[str, dict],
    names: list[str],
    groups: Callable[[dict], dict | None],
    cell: Callable[[dict, str], str],
) -> str:
    """A column for each group; systems without any, and the input, have no row."""
    rows = {}
    for label, figures in systems.items():
        found = groups(figures)
        if found and label != UNPROCESSED:
            rows[label] = [cell(found[name], name) if name in found else "" for name in names]
    return _table(names, rows)


def _first(systems: Mapping[str, dict], key: str) -> dict:
    return next(figures[key] for figures in systems.values() if key in figures)


def _cell(value: float | None, form: str) -> str:
    return "" if value is None else form.format(value)


def _table(heads: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    lines = ["| " + " | ".join(["", *heads]) + " |", "| --- " * (len(heads) + 1) + "|"]
    lines += ["| " + " | ".join([label, *cells]) + " |" for label, cells in rows.items()]
    return "\n".join(lines) + "\n"
