"""A recipe's Brain on mixtures that take no time to make."""

import torch
from speechbrain.dataio.batch import PaddedBatch
from torch.utils.data import SequentialSampler

from tests.helpers.recipes import recipe_module

Brain = recipe_module().ConvTasNetBrain

SETTINGS = {"epochs": 1, "lr": 1e-2, "segment_seconds": 0.1}

HPARAMS = {
    "use_tensorboard": False,
    "sample_rate": 16000,
    "level_weight": 0.01,
    "spectral_weight": 0.0,
    "pesq_weight": 0.0,
    "with_dnsmos": False,
}


class Logger:
    def log_stats(self, *args, **kwargs):
        pass


class Mixtures(torch.utils.data.Dataset):
    """Four mixtures of two sine waves' sum and noise."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        generator = torch.Generator().manual_seed(index)
        target = torch.sin(0.1 * (index + 1) * torch.arange(1600.0))
        mix = target + torch.randn(1600, generator=generator)
        return {"id": str(index), "mix": mix, "target": target[:, None], "noise": ""}


def run(brain, mixtures=None):
    mixtures = mixtures or Mixtures()
    loader = {"batch_size": 2, "collate_fn": PaddedBatch}
    for stage in brain.stages_left():
        sampler = SequentialSampler(mixtures)
        brain.fit_stage(stage, mixtures, sampler, mixtures, loader, {**loader, "batch_size": 1})


def snapshot(module):
    return {name: value.clone() for name, value in module.state_dict().items()}
