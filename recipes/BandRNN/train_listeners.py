#!/usr/bin/env python3
"""Recipe: BLOOM-Net with a BandRNN separator, trained for listeners in one run without an end.

    python train_listeners.py hparams/listeners.yaml --data_folder /path/to/corpora

It is stopped at will, and goes on with the same command. What ships is decayed from a copy of it:

    python -m bloomnet_sb.training.run_state results/BandRNN/1234 state.zip
    python train_listeners.py hparams/listeners.yaml --data_folder /path/to/corpora \
        --output_folder decayed --start_state state.zip --decay 0.25 --pesq_weight 0.1
"""

import sys
from functools import partial

import bloomnet_sb  # noqa: F401  # isort: skip (before SpeechBrain, which imports torchaudio)
import speechbrain as sb
import torch
from speechbrain.utils.distributed import run_on_main

from bloomnet_sb.data import PoolDataset, fill_pool, manifests_summary, validation_dataset
from bloomnet_sb.data.pools import refresh
from bloomnet_sb.pretrained.saving import export_pretrained
from bloomnet_sb.training.open_ended import OpenEndedBrain
from bloomnet_sb.training.options import is_trial
from bloomnet_sb.training.run_state import start_from_state
from bloomnet_sb.training.steps import parse, recipe_run


class ListenersBrain(OpenEndedBrain):
    """Trains on the estimates of all blocks and of a random depth; validates the average of all."""

    def compute_forward(self, batch, stage):
        """Estimates [depths, batch, time, 1], the clean speech [batch, time, 1] and the mixture."""
        if stage == sb.Stage.TRAIN:
            draws = (batch[name].to(self.device) for name in ("heard", "target", "noise"))
            mix, target = self.hparams.mixer(*draws, self.generator())
            depths, pause = self.drawn_depths(), self.drawn_pause(mix.shape[1])
            return self.modules.model(mix, depths=depths, pause=pause), target[..., None], mix
        batch = batch.to(self.device)
        return self.average(batch.mix.data), batch.target.data, batch.mix.data

    def compute_objectives(self, predictions, batch, stage):
        """The mean loss over depths, mixtures and sources."""
        estimates, target, mix = predictions
        if stage != sb.Stage.TRAIN:
            for n, (group, name) in enumerate(zip(batch.group, batch.id, strict=True)):
                self.scores.add(group, name, mix[n], target[n, :, 0], estimates[:, n, :, 0])
        return self.modules.loss(estimates, target, mix)

    def on_stage_start(self, stage, epoch=None):
        """Draw a part of the pool anew between two epochs."""
        files = self.hparams.pool_refresh
        if stage == sb.Stage.TRAIN and epoch > 1 and self.step == 0 and files:
            run_on_main(self.refresh_pool, kwargs={"files": files})
        super().on_stage_start(stage, epoch)


def train_prep(hparams):
    """Batches of draws from a pool, paired anew each time."""
    return PoolDataset(
        hparams["pool_folder"],
        hparams["sample_rate"],
        hparams["segment_seconds"],
        hparams["batch_size"],
        hparams["updates_per_epoch"],
        hparams["seed"],
    )


def valid_prep(hparams):
    """Validation mixtures, the same in every run."""
    return validation_dataset(
        hparams["manifest_folder"],
        hparams["data_folder"],
        hparams["valid_parts"],
        hparams["valid_snr_bands_db"],
        hparams["valid_seconds"],
        hparams["sample_rate"],
    )


def main(argv):
    """Run the recipe from its command line."""
    with recipe_run() as stop_signals:
        experiment = parse(argv)
        hparams = experiment.hparams
        torch.set_num_threads(hparams["threads"])
        run_on_main(hparams["data"]["prepare"])
        pool = {
            "folder": hparams["pool_folder"],
            "draws": hparams["data"]["draws"](),
            "seed": hparams["pool_seed"],
        }
        valid_set = valid_prep(hparams)  # before the pool, which takes minutes
        brain = ListenersBrain(
            modules={"model": hparams["model"], "loss": hparams["loss"]},
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=experiment.run_opts,
            checkpointer=hparams["checkpointer"],
        )
        start = [hparams["start_state"], hparams["checkpointer"], hparams["model"]]
        run_on_main(start_from_state, args=start)
        run_on_main(fill_pool, kwargs={**pool, "files": hparams["pool_files"]})
        train_set = train_prep(hparams)
        brain.stop_signals = stop_signals
        brain.refresh_pool = partial(refresh, **pool)
        brain.fit(
            brain.epoch_counter,
            brain.train_loader(train_set, hparams["num_workers"]),
            valid_set,
            valid_loader_kwargs={"batch_size": 1},
        )
        # Only a decay comes here; all else goes on until it is stopped.
        if not is_trial(experiment.run_opts):
            run_on_main(export_average, args=[brain, experiment])


def export_average(brain, experiment):
    """Write pretrained/ with the average of the weights, and a card that says what it has seen."""
    hparams, progress = experiment.hparams, brain.progress
    card = (
        f"# BLOOM-Net speech enhancement, BandRNN, {brain.average.num_blocks} blocks\n\n"
        f"Trained with bloomnet_sb, recipes/BandRNN, on {progress.audio_hours:.0f} hours of audio "
        f"in {progress.cpu_hours:.1f} core-hours.\n\n{hparams['data_description']}\n\n"
        f"{manifests_summary(hparams['manifest_folder'], hparams['sample_rate'])}\n"
        f"Licence of the data and of these weights: {hparams['data_license']}\n"
    )
    folder = f"{hparams['output_folder']}/pretrained"
    export_pretrained(brain.average, experiment.hparams_file, experiment.overrides, folder, card)


if __name__ == "__main__":
    main(sys.argv[1:])
