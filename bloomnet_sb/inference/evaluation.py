"""Scoring a pretrained network, and other programs, on folders of recordings."""

from collections.abc import Sequence
from pathlib import Path

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.scoring import deepfilternet
from bloomnet_sb.scoring.listeners import Estimate
from bloomnet_sb.scoring.pairs import evaluate_pairs, find_pairs
from bloomnet_sb.scoring.tables import results_table, write_results, write_scores
from bloomnet_sb.utils.atomic_files import make_folder
from bloomnet_sb.utils.errors import InputError, check_positive, check_seconds

OUTPUT_FOLDER = "results/evaluate"


def evaluate_folders(
    noisy: str | Path,
    clean: str | Path,
    enhanced: Sequence[str | Path] = (),
    source: str = "",
    output_folder: str | Path = OUTPUT_FOLDER,
    force: bool = False,
    with_dnsmos: bool = True,
    max_seconds: float | None = None,
    limit: int | None = None,
    allow_upsampling: bool = False,
    device: str | None = None,
) -> str:
    """Score every depth of a network on pairs of recordings, beside DeepFilterNet3 where it is.

    Writes results.md, results.json and scores.csv.

    Arguments
    ---------
    noisy, clean, enhanced, allow_upsampling
        See `bloomnet_sb.scoring.pairs.find_pairs`.
    source : str
        The network, see `BloomEnhancer.from_hparams`; "": only `enhanced` is scored.
    output_folder : str or Path
        Where the files go.
    force : bool
        Whether results that are there are written over.
    with_dnsmos, max_seconds
        See `bloomnet_sb.scoring.pairs.evaluate_pairs`.
    limit : int, optional
        Only so many pairs. Default: all.
    device : str, optional
        Where the network runs. Default: a GPU, where there is one.

    Returns
    -------
    str
        The tables, in Markdown.

    Raises
    ------
    InputError
        As `find_pairs`, if there are results, or if they cannot be written.

    Example
    -------
    >>> folder, demo = getfixture("tmpdir"), "tests/samples/demo"
    >>> print(evaluate_folders(demo, demo, [demo], "", folder, limit=1, with_dnsmos=False)[:8])
    | blocks
    """
    if max_seconds is not None:
        check_seconds(max_seconds=max_seconds)
    if limit is not None:
        check_positive(limit=limit)
    folder = Path(output_folder)
    if (folder / "results.md").exists() and not force:
        raise InputError(f"{folder} holds results; name another --output_folder, or use --force")
    enhancer = (
        BloomEnhancer.from_hparams(source=source, run_opts={"device": device}) if source else None
    )
    rate = enhancer.sample_rate if enhancer else None
    pairs, sample_rate = find_pairs(noisy, clean, enhanced, rate, allow_upsampling)
    make_folder(folder)  # before hours of scores
    systems: dict[str, Estimate] = {}
    if enhancer and deepfilternet.is_installed():
        systems["DeepFilterNet3"] = lambda mix: [deepfilternet.enhance_at(mix, sample_rate)]
    model = enhancer.mods.model if enhancer else None
    results, scores, others = evaluate_pairs(
        pairs[:limit], sample_rate, model, systems, with_dnsmos, max_seconds
    )
    try:
        write_results(results, folder)
        write_scores(scores, folder, others)
    except OSError as error:
        raise InputError(f"{folder}: cannot be written ({error.strerror})") from None
    return results_table(results)
