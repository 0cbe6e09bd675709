"""Corpora to manifests, and clean speech and noise to mixtures."""

from bloomnet_sb.data.datasets import (
    eval_dataset,
    manifests_summary,
    train_dataset,
    train_sampler,
)
from bloomnet_sb.data.librispeech_musan import prepare_librispeech_musan

__all__ = [
    "eval_dataset",
    "manifests_summary",
    "prepare_librispeech_musan",
    "train_dataset",
    "train_sampler",
]
