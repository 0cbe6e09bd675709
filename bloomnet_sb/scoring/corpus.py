"""Scoring a pretrained network on a corpus: the table of its model card, made again."""

import tempfile
from collections.abc import Sequence

import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from bloomnet_sb.data import eval_dataset, prepare_librispeech_musan
from bloomnet_sb.model import BloomNet
from bloomnet_sb.scoring.costs import profile_depths
from bloomnet_sb.scoring.depth_scores import DepthScores
from bloomnet_sb.scoring.listeners import (
    Band,
    band_name,
    listener_figures,
    measure_listeners,
    network_estimate,
)
from bloomnet_sb.scoring.tables import make_results
from bloomnet_sb.scoring.trials import TestPart

SNR_BANDS_DB = ((-5.0, 10.0), (10.0, 25.0))


def evaluate_on_librispeech_musan(
    model: BloomNet,
    sample_rate: int,
    data_folder: str,
    noise_split: str | None = None,
    snr_bands_db: Sequence[Band] = SNR_BANDS_DB,
    max_seconds: float = 10.0,
    with_dnsmos: bool = True,
    limit: int | None = None,
    allow_upsampling: bool = False,
) -> dict:
    """Score every depth on the test part of a corpus.

    Arguments
    ---------
    model : BloomNet
        The network, in evaluation mode.
    sample_rate : int
        Its sample rate, in Hz.
    data_folder : str
        The folder that holds LibriSpeech/ and musan/.
    noise_split : str, optional
        See `bloomnet_sb.data.prepare_librispeech_musan`.
    snr_bands_db : sequence of (float, float)
        Lowest and highest SNR of each set of noisy mixtures, in dB.
    max_seconds : float
        Longest mixture.
    with_dnsmos : bool
        Whether DNSMOS is computed.
    limit : int, optional
        See `bloomnet_sb.scoring.trials.TestPart`.
    allow_upsampling : bool
        See `bloomnet_sb.data.prepare_librispeech_musan`.

    Returns
    -------
    dict
        See `evaluate_part`.

    Raises
    ------
    InputError
        If the corpus is not there or not as it should be.

    Example
    -------
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> model = BloomNet(LearnedFilterbank(16), ConvTasNetSeparator(16, num_blocks=1))
    >>> results = evaluate_on_librispeech_musan(
    ...     model.eval(), 16000, "tests/samples", max_seconds=0.5, with_dnsmos=False, limit=2
    ... )
    >>> results["test_mixtures"]
    2
    """
    part = corpus_part(
        data_folder, "test", sample_rate, noise_split, max_seconds, limit, allow_upsampling
    )
    depths = range(1, model.num_blocks + 1)
    return evaluate_part(model, depths, part, snr_bands_db, with_dnsmos)[0]


def evaluate_part(
    model: BloomNet,
    depths: Sequence[int],
    part: TestPart,
    snr_bands_db: Sequence[Band] = SNR_BANDS_DB,
    with_dnsmos: bool = True,
) -> tuple[dict, DepthScores]:
    """Score depths of a network on a part of a corpus, as a listener would.

    Arguments
    ---------
    model : BloomNet
        The network, in evaluation mode.
    depths : sequence of int
        The numbers of blocks that are scored.
    part : TestPart
        The part.
    snr_bands_db : sequence of (float, float)
        Lowest and highest SNR of each set of noisy mixtures, in dB; the first is what the table
        with the costs is of.
    with_dnsmos : bool
        Whether DNSMOS is computed.

    Returns
    -------
    (dict, DepthScores)
        See `bloomnet_sb.scoring.tables.make_results`, with "listeners", see
        `bloomnet_sb.scoring.listeners.listener_figures`; and the scores of the first band.
    """
    estimate = network_estimate(model, depths)
    measured = measure_listeners(estimate, depths, part, snr_bands_db, with_dnsmos)
    first = measured[band_name(snr_bands_db[0])]
    scores = DepthScores.from_rows(first["rows"], first["failures"], part.sample_rate)
    results = make_results(scores, profile_depths(model, part.sample_rate), model)
    return {**results, "listeners": listener_figures(measured)}, scores


def corpus_part(
    data_folder: str,
    split: str,
    sample_rate: int,
    noise_split: str | None = None,
    max_seconds: float = 10.0,
    limit: int | None = None,
    allow_upsampling: bool = False,
) -> TestPart:
    """A part of a corpus, without manifests that stay.

    Arguments
    ---------
    data_folder, noise_split, max_seconds, limit, allow_upsampling
        As `evaluate_on_librispeech_musan`.
    split : str
        "valid" or "test".
    sample_rate : int
        In Hz.

    Returns
    -------
    TestPart
        The part.

    Raises
    ------
    InputError
        As `evaluate_on_librispeech_musan`.

    Example
    -------
    >>> len(corpus_part("tests/samples", "test", 16000).speech)
    14
    """
    with tempfile.TemporaryDirectory() as folder:
        prepare_librispeech_musan(
            data_folder, folder, sample_rate, noise_split, allow_upsampling=allow_upsampling
        )
        return TestPart(folder, data_folder, split, sample_rate, max_seconds, limit)


def corpus_test_set(
    data_folder: str,
    sample_rate: int,
    noise_split: str | None = None,
    snr_db: tuple[float, float] = (-5, 10),
    max_seconds: float = 10.0,
    allow_upsampling: bool = False,
) -> Dataset:
    """The test mixtures of a corpus, without manifests that stay.

    Arguments
    ---------
    data_folder, noise_split, max_seconds, allow_upsampling
        As `evaluate_on_librispeech_musan`.
    sample_rate : int
        In Hz.
    snr_db : (float, float)
        Lowest and highest SNR, in dB.

    Returns
    -------
    Dataset
        See `bloomnet_sb.data.eval_dataset`.

    Raises
    ------
    InputError
        As `evaluate_on_librispeech_musan`.

    Example
    -------
    >>> len(corpus_test_set("tests/samples", 16000))
    14
    """
    with tempfile.TemporaryDirectory() as folder:
        prepare_librispeech_musan(
            data_folder, folder, sample_rate, noise_split, allow_upsampling=allow_upsampling
        )
        return eval_dataset(folder, data_folder, "test", max_seconds, snr_db, sample_rate)


def score(model: BloomNet, mixtures: Dataset, sample_rate: int, with_dnsmos: bool) -> DepthScores:
    """Score every depth of a network on mixtures.

    Arguments
    ---------
    model : BloomNet
        The network, in evaluation mode.
    mixtures : Dataset
        Items with id, mix [time], target [time, sources] and noise.
    sample_rate : int
        In Hz.
    with_dnsmos : bool
        Whether DNSMOS is computed.

    Returns
    -------
    DepthScores
        The scores.

    Example
    -------
    See `evaluate_on_librispeech_musan`.
    """
    scores = DepthScores(range(1, model.num_blocks + 1), sample_rate, with_dnsmos)
    device = next(model.parameters()).device
    for item in tqdm(mixtures, unit="mixture", leave=False, disable=None):
        mix, target = item["mix"][None].to(device), item["target"][None].to(device)
        with torch.no_grad():
            estimates = model(mix)
        scores.add(item["id"], mix, target, estimates, item["noise"] or None)
    scores.wait()  # what is timed next is to have the machine for itself
    return scores
