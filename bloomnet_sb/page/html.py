"""One HTML file that holds recordings at every depth, with a player, costs, scores and a test."""

import errno
import io
import math
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import jinja2
import numpy as np
import torch
from markupsafe import Markup

from bloomnet_sb.page.recordings import CLEAN, DEPTH, NOISY, Network, Recording, Track
from bloomnet_sb.page.sound import FLAC, OPUS, OPUS_KBITS, as_text, encoded, levelled
from bloomnet_sb.scoring.depth_scores import METRICS
from bloomnet_sb.scoring.metrics import pesq_name
from bloomnet_sb.scoring.tables import FORMATS, RANGE_DB, spectrograms_db
from bloomnet_sb.utils.atomic_files import written_whole
from bloomnet_sb.utils.errors import DISK_FULL, InputError

# Of a page, for a minute of recordings or less
MOST_BYTES = 5_000_000
# Opus of fewer kbit/s would be heard where networks are compared.
LEAST_OPUS_KBITS = 16.0
# Of the room that there is, so that the next try of Opus fits
FILLED = 0.98
# Browsers hold a page in memory several times over.
MOST_SECONDS = 600
SUFFIXES = (".html", ".htm")
# In every page; what is there without it is not written over.
MARK = b'<meta name="generator" content="bloomnet_sb">'
PICTURE_SIZE = 640, 112
PICTURE_QUALITY = 50

STATIC = files("bloomnet_sb.page") / "static"
SCRIPTS = ("calculations.js", "player.js", "view.js")
HEADS = {
    "si_sdr": "SI-SDR, dB",
    "si_sdr_improvement": "SI-SDRi, dB",
    "stoi": "STOI",
    "dnsmos": "DNSMOS",
    "level_db": "speech level, dB",
}


class Written(NamedTuple):
    """What was written.

    Arguments
    ---------
    tracks : int
        How many tracks the page has.
    codec : str
        "FLAC" or "Opus".
    size : int
        In bytes.
    opus_kbits : float, optional
        Of Opus, in kbit/s.
    """

    tracks: int
    codec: str
    size: int
    opus_kbits: float | None = None


def write_page(
    recordings: Sequence[Recording], networks: Sequence[Network], path: str | Path, title: str
) -> Written:
    """Write a page that needs no other file and no connection.

    It is under 5 MB (5 MB for a minute, for more than a minute of recordings): its tracks are FLAC
    where they fit, else Opus at 64 kbit/s, else Opus at as many kbit/s as fit, 16 or more.

    Arguments
    ---------
    recordings : sequence of Recording
        What is heard, see `bloomnet_sb.page.recordings.make_recording`.
    networks : sequence of Network
        Those whose estimates the recordings have, in the same order.
    path : str or Path
        The HTML file.
    title : str
        Its heading.

    Returns
    -------
    Written
        How many tracks, as what, and how large the page is.

    Raises
    ------
    InputError
        If the recordings are longer than 10 minutes together, or have too many tracks.

    Example
    -------
    >>> from bloomnet_sb.page.recordings import make_recording
    >>> from bloomnet_sb.scoring.costs import DepthProfile
    >>> estimates = [{1: 0.1 * torch.randn(16000, 1)}]
    >>> recording = make_recording("street", 16000, 0.1 * torch.randn(16000), estimates)
    >>> path = Path(getfixture("tmpdir")) / "page.html"
    >>> write_page([recording], [Network("mine", [DepthProfile(1, 10, 20, 0.1)])], path, "Hear it")
    Written(tracks=2, codec='FLAC', size=..., opus_kbits=None)
    """
    seconds = sum(recording.seconds for recording in recordings)
    check_length(seconds)
    sounds = [_sound(recording) for recording in recordings]
    sections = [_section(*both, networks) for both in zip(recordings, sounds, strict=True)]
    limit = int(MOST_BYTES * max(seconds / 60, 1))

    def page(codec: str, opus_kbits: float = OPUS_KBITS) -> bytes:
        data = [_data(sound, codec, opus_kbits) for sound in sounds]
        return _rendered(title, sections, networks, {"codec": codec, "recordings": data})

    opus_kbits: float | None = None
    data = page(FLAC)
    if len(data) >= limit:
        opus_kbits = OPUS_KBITS
        data = page(OPUS)
        # What fewer kbit/s do not make smaller
        fixed = len(_rendered(title, sections, networks, {"codec": OPUS, "recordings": []}))
        while len(data) >= limit:
            before = opus_kbits, len(data)
            opus_kbits *= FILLED * (limit - fixed) / (len(data) - fixed)
            _check_kbits(opus_kbits, sounds, limit)
            data = page(OPUS, opus_kbits)
            # Below the limit in any case, for too few kbit/s to be the next try and be refused
            fixed = max(fixed, min(_fixed_size(before, (opus_kbits, len(data))), limit - 1))
    with written_whole(path) as partial:
        partial.write_bytes(data)
    codec = OPUS if opus_kbits else FLAC
    return Written(sum(len(sound.tracks) for sound in sounds), codec, len(data), opus_kbits)


def check_length(seconds: float) -> None:
    """Refuse recordings that are too long together for a page.

    Raises
    ------
    InputError
        For more than 10 minutes.

    Example
    -------
    >>> check_length(60.0)
    """
    if seconds > MOST_SECONDS:
        raise InputError(
            f"the recordings are {seconds:.0f} s long together, but a page holds up to "
            f"{MOST_SECONDS} s; cut them"
        )


def check_place(path: str | Path) -> None:
    """Make the folder of a page; refuse a place where none can be, or something else is.

    Raises
    ------
    InputError
        Naming the path.

    Example
    -------
    >>> check_place(Path(getfixture("tmpdir")) / "page.html")
    """
    path = Path(path)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"{path}: where the page goes, but not a name that ends in .html")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        there = path.read_bytes() if path.exists() else MARK
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise InputError(f"{path}: cannot be written ({error.strerror})") from None
    if MARK not in there:
        raise InputError(f"{path}: is there, and no page of this command; name another place")


class _Sound(NamedTuple):
    """A recording's tracks as they are played."""

    sample_rate: int
    tracks: list[Track]
    signals: list[np.ndarray]
    offsets_db: list[float]


def _sound(recording: Recording) -> _Sound:
    signals, offsets = levelled([t.signal for t in recording.tracks], recording.sample_rate)
    return _Sound(recording.sample_rate, recording.tracks, signals, offsets)


def _fixed_size(more: tuple[float, int], fewer: tuple[float, int]) -> int:
    """Of two pages, given as kbit/s and size, what is of one size: of the sound, it is silence."""
    a_kbit = (more[1] - fewer[1]) / (more[0] - fewer[0])
    return round(fewer[1] - fewer[0] * a_kbit)


def _check_kbits(opus_kbits: float, sounds: Sequence[_Sound], limit: int) -> None:
    if opus_kbits < LEAST_OPUS_KBITS:
        raise InputError(
            f"{sum(len(sound.tracks) for sound in sounds)} tracks would be larger than "
            f"{limit / 1e6:.1f} MB, which is what a page of these recordings may have, at "
            f"{LEAST_OPUS_KBITS:.0f} kbit/s too; name fewer networks"
        )


def _rendered(
    title: str, sections: Sequence[dict], networks: Sequence[Network], data: dict
) -> bytes:
    html = _template("page.html").render(
        title=title,
        sections=sections,
        networks=networks,
        data=data,
        style=_source("page.css"),
        script=Markup("\n").join(map(_source, SCRIPTS)),
        range_db=RANGE_DB,
    )
    # A name that is no text has its bytes as escapes.
    return html.encode("utf-8", "backslashreplace")


def _data(sound: _Sound, codec: str, opus_kbits: float) -> dict:
    """What the script needs of a recording."""
    tracks = [
        {
            "kind": track.kind,
            "label": track.label,
            "network": track.network,
            "blocks": track.blocks,
            "voice": track.voice,
            "offsetDb": offset,
            "file": as_text(encoded(signal, sound.sample_rate, codec, opus_kbits)),
        }
        for track, signal, offset in zip(sound.tracks, sound.signals, sound.offsets_db, strict=True)
    ]
    return {"seconds": len(sound.signals[0]) / sound.sample_rate, "tracks": tracks}


def _section(recording: Recording, sound: _Sound, networks: Sequence[Network]) -> dict:
    """What the template needs of a recording."""
    pictures = _pictures(recording)

    def figures(kind: str, network: int | None = None) -> list[dict]:
        return [
            {"index": n, "track": track, "picture": pictures[n], "offset_db": sound.offsets_db[n]}
            for n, track in enumerate(sound.tracks)
            if (track.kind, track.network) == (kind, network)
        ]

    noisy, clean = figures(NOISY), figures(CLEAN)
    depths = [(network.name, figures(DEPTH, n)) for n, network in enumerate(networks)]
    groups = [("Noisy and clean" if clean else "Unprocessed", noisy + clean), *depths]
    if len(networks) == 1:
        groups = [(networks[0].name, noisy + depths[0][1] + clean)]
    tables = [_table(recording, number, network) for number, network in enumerate(networks)]
    return {
        "name": recording.name,
        "seconds": recording.seconds,
        "khz": recording.sample_rate / 2000,
        "groups": groups,
        "tables": tables,
        "failures": recording.failures,
    }


def _table(recording: Recording, number: int, network: Network) -> dict:
    """Costs of each depth of a network, and its scores on a recording."""
    scores = recording.scores[number] if recording.scores else {}
    formats = dict(zip(METRICS, FORMATS, strict=True))
    shown = [m for m in METRICS if any(_has(row, m) for row in scores.values())]
    heads = {**HEADS, "pesq": pesq_name(recording.sample_rate)}

    def cells(blocks: int) -> list[str]:
        row = scores.get(blocks, {})
        return [_unsigned_zero(formats[m].format(row[m])) if _has(row, m) else "" for m in shown]

    rows = [["noisy", "", "", "", *cells(0)]] if scores else []
    rows += [
        [
            str(cost.blocks),
            f"{cost.parameters:,}",
            f"{cost.macs_per_second / 1e6:,.1f}",
            f"{1000 * cost.real_time_factor:.1f}",
            *cells(cost.blocks),
        ]
        for cost in network.costs
    ]
    costs = ["blocks", "parameters", "MMAC/s", "ms for 1 s"]
    return {"name": network.name, "heads": costs + [heads[m] for m in shown], "rows": rows}


def _unsigned_zero(text: str) -> str:
    """A figure as text, without the sign of what is rounded to nothing."""
    return text.lstrip("+-") if float(text) == 0 else text


def _has(row: dict, metric: str) -> bool:
    """Whether there is a score; the level of silence is no number."""
    return row.get(metric) is not None and math.isfinite(row[metric])


def _pictures(recording: Recording) -> list[str]:
    """Spectrograms of a recording's tracks as they came, on one scale, as base64 of WebP files."""
    from matplotlib import colormaps  # takes half a second
    from PIL import Image

    signals = {str(n): torch.from_numpy(t.signal) for n, t in enumerate(recording.tracks)}
    levels, top = spectrograms_db(signals, recording.sample_rate)
    colours = (255 * colormaps["magma"](np.arange(256))[:, :3]).round().astype(np.uint8)
    pictures = []
    for level in levels.values():
        shares = ((level.flip(0) - top) / RANGE_DB + 1).clamp(0, 1)
        grey = Image.fromarray((255 * shares).round().byte().numpy())
        pixels = colours[np.asarray(grey.resize(PICTURE_SIZE, Image.Resampling.BOX))]
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "WEBP", quality=PICTURE_QUALITY)
        pictures.append(as_text(buffer.getvalue()))
    return pictures


def _template(name: str) -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    return environment.from_string((STATIC / name).read_text(encoding="utf-8"))


def _source(name: str) -> Markup:
    return Markup((STATIC / name).read_text(encoding="utf-8"))
