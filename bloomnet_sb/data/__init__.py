"""Corpora to manifests, and manifests to mixtures with their clean sources."""

from bloomnet_sb.data.augmentation import Augmentation
from bloomnet_sb.data.datasets import eval_dataset, train_dataset, train_sampler
from bloomnet_sb.data.draws import TrainingDraws
from bloomnet_sb.data.librimix import prepare_librimix
from bloomnet_sb.data.librispeech_musan import prepare_librispeech_musan
from bloomnet_sb.data.manifests import manifests_summary
from bloomnet_sb.data.mixer import Mixer
from bloomnet_sb.data.mixtures import mixture_eval_dataset, mixture_train_dataset
from bloomnet_sb.data.own_data import prepare_own_data
from bloomnet_sb.data.own_datasets import own_eval_dataset, own_train_dataset
from bloomnet_sb.data.pools import PoolDataset, fill_pool
from bloomnet_sb.data.shards import write_shards
from bloomnet_sb.data.validation import validation_dataset
from bloomnet_sb.data.voicebank_demand import prepare_voicebank_demand

__all__ = [
    "Augmentation",
    "Mixer",
    "PoolDataset",
    "TrainingDraws",
    "eval_dataset",
    "fill_pool",
    "manifests_summary",
    "mixture_eval_dataset",
    "mixture_train_dataset",
    "own_eval_dataset",
    "own_train_dataset",
    "prepare_librimix",
    "prepare_librispeech_musan",
    "prepare_own_data",
    "prepare_voicebank_demand",
    "train_dataset",
    "train_sampler",
    "validation_dataset",
    "write_shards",
]
