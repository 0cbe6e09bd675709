"""Scoring pairs of noisy and clean recordings that lie in two folders, whatever made them."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from tqdm import tqdm

from bloomnet_sb.data.corpus_files import usable_info
from bloomnet_sb.data.faults import Faults
from bloomnet_sb.data.reading import File, frames_at, read_segment
from bloomnet_sb.model import BloomNet
from bloomnet_sb.scoring.costs import profile_depths
from bloomnet_sb.scoring.depth_scores import DepthScores
from bloomnet_sb.scoring.listeners import Estimate, network_estimate
from bloomnet_sb.scoring.tables import make_results
from bloomnet_sb.utils.errors import InputError
from bloomnet_sb.utils.folders import list_audio, log_left_out

logger = logging.getLogger(__name__)

LONGEST_DIFFERENCE = 0.1  # seconds that programs and codecs add to a recording's end
DEFAULT_RATE = 16000


class Pair(NamedTuple):
    """A noisy recording, the clean speech in it, and what programs made of it.

    Arguments
    ---------
    name : str
        Its place in its folder, without suffix.
    noisy, clean : File
        To be read at one rate.
    enhanced : dict
        A program's name to what it made of the noisy one.
    """

    name: str
    noisy: File
    clean: File
    enhanced: dict[str, File]


def find_pairs(
    noisy: str | Path,
    clean: str | Path,
    enhanced: Sequence[str | Path] = (),
    sample_rate: int | None = None,
    allow_upsampling: bool = False,
) -> tuple[list[Pair], int]:
    """The recordings of a folder, and those of the same names in others.

    A name is a file's place in its folder, without suffix. Files may have any format, number of
    channels (their mean is used) and rate.

    Arguments
    ---------
    noisy, clean : str or Path
        The folders.
    enhanced : sequence of str or Path
        Folders of what programs made of the noisy ones.
    sample_rate : int, optional
        What they are to be read at, in Hz. Default: 16 kHz, or the lowest of theirs where that is
        lower.
    allow_upsampling : bool
        Whether they may have a lower rate.

    Returns
    -------
    (list of Pair, int)
        The pairs, in order of name, and the rate that they are read at.

    Raises
    ------
    InputError
        With a report of all that is wrong: a folder that is missing or empty, a file that cannot
        be read or has too low a rate, a noisy one without one of its name in another folder, or
        one there whose length differs by more than 0.1 s.

    Example
    -------
    >>> pairs, sample_rate = find_pairs("tests/samples/demo", "tests/samples/demo")
    >>> len(pairs), sample_rate
    (4, 16000)
    """
    faults = Faults("the pairs")
    folders = {"noisy": Path(noisy), "clean": Path(clean)}
    programs = {_program(folder): Path(folder) for folder in enhanced}
    if len(programs) < len(enhanced):
        raise InputError("enhanced names two folders of one name; rename one, as tables name it")
    for name in programs.keys() & folders.keys():
        raise InputError(f"{programs[name]}: rename it, as tables would name a program {name}")
    found = {role: _find(role, folder, faults) for role, folder in folders.items()}
    found |= {name: _find("enhanced", folder, faults) for name, folder in programs.items()}
    faults.refuse_any()
    names = sorted(found["noisy"])
    for role, files in found.items():
        faults.found += [
            f"{found['noisy'][name]}: {(folders | programs)[role]} has no recording of this name"
            for name in names
            if name not in files
        ]
        others = len(files.keys() - found["noisy"].keys())
        if others:
            logger.warning("%s: %d recordings of other names left out", role, others)
    used = {role: {n: files[n] for n in names if n in files} for role, files in found.items()}
    if sample_rate is None:
        sample_rate = _common_rate(used, faults)
    read = {
        role: _files(files, sample_rate, allow_upsampling, faults) for role, files in used.items()
    }
    pairs = [
        Pair(name, read["noisy"][name], read["clean"][name], {p: read[p][name] for p in programs})
        for name in names
        if all(name in files for files in read.values())
    ]
    for pair in pairs:
        for file in (pair.clean, *pair.enhanced.values()):
            seconds = abs(file.frames - pair.noisy.frames) / sample_rate
            if seconds > LONGEST_DIFFERENCE:
                faults.found.append(
                    f"{file.path}: {seconds:.2f} s longer or shorter than {pair.noisy.path}"
                )
    faults.refuse_any()
    return pairs, sample_rate


def evaluate_pairs(
    pairs: Sequence[Pair],
    sample_rate: int,
    model: BloomNet | None = None,
    systems: Mapping[str, Estimate] | None = None,
    with_dnsmos: bool = True,
    max_seconds: float | None = None,
) -> tuple[dict, DepthScores, dict[str, DepthScores]]:
    """Score a network at every depth, and other systems, on pairs.

    A pair with a file that cannot be read to its end, or is silent, is left out, and named among
    the "failures".

    Arguments
    ---------
    pairs : sequence of Pair
        See `find_pairs`.
    sample_rate : int
        What they are read at, in Hz.
    model : BloomNet, optional
        The network, in evaluation mode. Default: none.
    systems : mapping, optional
        Names of systems to what gives, of what is played [time], their one estimate [time]; those
        that made the pairs' enhanced files need none.
    with_dnsmos : bool
        Whether DNSMOS is computed.
    max_seconds : float, optional
        Cut pairs to this length. Default: they are whole.

    Returns
    -------
    (dict, DepthScores, dict)
        See `bloomnet_sb.scoring.tables.make_results`, with "systems", the mean scores of each
        other system; the scores of the mixtures and of the network; and those of each system.

    Raises
    ------
    InputError
        If no pair can be scored, or two systems have one name.

    Example
    -------
    >>> pairs, rate = find_pairs("tests/samples/demo", "tests/samples/demo")
    >>> results, _, _ = evaluate_pairs(pairs[:1], rate, with_dnsmos=False, max_seconds=1.0)
    >>> results["test_mixtures"], [row["blocks"] for row in results["depths"]]
    (1, [0])
    """
    depths = range(1, model.num_blocks + 1) if model is not None else range(0)
    played: dict[str, Estimate] = dict(systems or {})
    scores = DepthScores(depths, sample_rate, with_dnsmos)
    names = [*pairs[0].enhanced, *played]
    if len({*names}) < len(names):
        raise InputError(f"two systems have one name, of {', '.join(names)}; rename the folder")
    others = {name: DepthScores([1], sample_rate, with_dnsmos, False) for name in names}
    estimate = network_estimate(model) if model is not None else None
    left_out = []
    for pair in tqdm(pairs, unit="pair", leave=False, disable=None):
        try:
            mix, target, enhanced = _signals(pair, sample_rate, max_seconds)
        except InputError as error:
            left_out.append(str(error))
            continue
        made = torch.stack([mix, *(estimate(mix) if estimate else ())])[1:, None, :, None]
        scores.add(pair.name, mix[None], target[None, :, None], made)
        for name, other in others.items():
            signal = played[name](mix)[0] if name in played else enhanced[name]
            other.add(pair.name, mix[None], target[None, :, None], signal[None, None, :, None])
    for one in (scores, *others.values()):
        one.wait()
    if len(left_out) == len(pairs):
        raise InputError("\n".join(["no pair can be scored:", *left_out]))
    profile = profile_depths(model, sample_rate) if model is not None else []
    results = make_results(scores, profile, model)
    results["systems"] = {name: other.summary()[0] for name, other in others.items()}
    of_others = [f"{f}, {name}" for name, other in others.items() for f in other.failures]
    results["failures"] = [*left_out, *results["failures"], *of_others]
    return results, scores, others


def _program(folder: str | Path) -> str:
    return Path(folder).absolute().name


def _find(role: str, folder: Path, faults: Faults) -> dict[str, Path]:
    found: dict[str, Path] = {}
    with faults.noted():
        if not folder.is_dir():
            raise InputError(f"{role} {folder}: no such folder")
        files, left_out = list_audio(folder, media=False)
        log_left_out(folder, left_out)
        if not files:
            raise InputError(f"{role} {folder}: holds no audio file")
        for file in files:
            name = file.relative_to(folder).with_suffix("").as_posix()
            if found.setdefault(name, file) != file:
                faults.found.append(f"{file}: has the name of {found[name]}")
    return found


def _common_rate(found: Mapping[str, dict[str, Path]], faults: Faults) -> int:
    rates = [DEFAULT_RATE]
    for file in (file for files in found.values() for file in files.values()):
        with faults.noted():
            rates.append(usable_info(file, DEFAULT_RATE, allow_upsampling=True).samplerate)
    faults.refuse_any()
    return min(rates)


def _files(
    files: Mapping[str, Path], sample_rate: int, allow_upsampling: bool, faults: Faults
) -> dict[str, File]:
    read = {}
    for name, path in files.items():
        with faults.noted():
            info = usable_info(path, sample_rate, allow_upsampling)
            frames = frames_at(info.frames, info.samplerate, sample_rate)
            read[name] = File(str(path), frames, (info.samplerate, sample_rate))
    return read


def _signals(
    pair: Pair, sample_rate: int, max_seconds: float | None
) -> tuple[torch.Tensor, torch.Tensor, dict[str, torch.Tensor]]:
    """The noisy, the clean and the enhanced ones, of one length."""
    frames = min(pair.noisy.frames, pair.clean.frames)
    if max_seconds is not None:
        frames = min(frames, round(max_seconds * sample_rate))
    mix, clean = (_read(file, frames) for file in (pair.noisy, pair.clean))
    for file, signal in ((pair.noisy, mix), (pair.clean, clean)):
        if not signal.any():
            raise InputError(f"{file.path}: silent, so that there is nothing to score")
    return mix, clean, {name: _read(file, frames) for name, file in pair.enhanced.items()}


def _read(file: File, frames: int) -> torch.Tensor:
    """So many frames of a file, zeros after its end."""
    return torch.from_numpy(read_segment(file, 0, frames))
