"""Scoring a pretrained network on a corpus: the table of its model card, made again."""

import tempfile

import torch
from torch.utils.data import Dataset
from tqdm import tqdm

from bloomnet_sb.data import eval_dataset, prepare_librispeech_musan
from bloomnet_sb.model import BloomNet
from bloomnet_sb.scoring.costs import profile_depths
from bloomnet_sb.scoring.depth_scores import DepthScores
from bloomnet_sb.scoring.tables import make_results


def evaluate_on_librispeech_musan(
    model: BloomNet,
    sample_rate: int,
    data_folder: str,
    noise_split: str | None = None,
    snr_db: tuple[float, float] = (-5, 10),
    max_seconds: float = 10.0,
    with_dnsmos: bool = True,
) -> dict:
    """Score every depth on the test mixtures of a corpus.

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
    snr_db : (float, float)
        Lowest and highest SNR, in dB.
    max_seconds : float
        Longest mixture.
    with_dnsmos : bool
        Whether DNSMOS is computed.

    Returns
    -------
    dict
        See `bloomnet_sb.scoring.tables.make_results`.

    Raises
    ------
    InputError
        If the corpus is not there or not as it should be.

    Example
    -------
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> model = BloomNet(ConvTasNetSeparator(num_filters=16, num_blocks=1), num_filters=16)
    >>> results = evaluate_on_librispeech_musan(
    ...     model.eval(), 16000, "tests/samples", max_seconds=0.5, with_dnsmos=False
    ... )
    >>> results["test_mixtures"]
    14
    """
    mixtures = corpus_test_set(data_folder, sample_rate, noise_split, snr_db, max_seconds)
    scores = score(model, mixtures, sample_rate, with_dnsmos)
    return make_results(scores, profile_depths(model, sample_rate), model)


def corpus_test_set(
    data_folder: str,
    sample_rate: int,
    noise_split: str | None = None,
    snr_db: tuple[float, float] = (-5, 10),
    max_seconds: float = 10.0,
) -> Dataset:
    """The test mixtures of a corpus, without manifests that stay.

    Arguments
    ---------
    data_folder, noise_split, snr_db, max_seconds
        As `evaluate_on_librispeech_musan`.
    sample_rate : int
        In Hz.

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
        prepare_librispeech_musan(data_folder, folder, sample_rate, noise_split)
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
