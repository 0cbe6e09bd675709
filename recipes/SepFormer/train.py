#!/usr/bin/env python3
"""Recipe: BLOOM-Net with a SepFormer separator, for enhancement or separation of speech.

    python train.py hparams/librispeech_musan.yaml --data_folder /path/to/corpora
    python train.py hparams/libri2mix.yaml --data_folder /path/to/librimix

It is trained block after block, then as a whole (Kim and Kim, ICASSP 2022), or as `--training`
says; started again with the same command, it goes on from its last checkpoint.
"""

import sys

import bloomnet_sb  # noqa: F401  # isort: skip (before SpeechBrain, which imports torchaudio)
from speechbrain.utils.distributed import if_main_process, run_on_main

from bloomnet_sb.nn.losses import training_loss
from bloomnet_sb.training.brain import BlockwiseBrain
from bloomnet_sb.training.evaluation import evaluate
from bloomnet_sb.training.export import export
from bloomnet_sb.training.starting import start_from
from bloomnet_sb.training.steps import parse, recipe_run


class SepFormerBrain(BlockwiseBrain):
    """Trains what the stage at hand trains, on the estimates that it is about."""

    def compute_forward(self, batch, stage):
        """The estimates [depths, batch, time, sources] that the stage needs."""
        batch = batch.to(self.device)
        return self.modules.model(
            batch.mix.data,
            depths=self.depths(stage),
            gradient_scale=self.stage.settings.gradient_scale,
        )

    def compute_objectives(self, predictions, batch, stage):
        """The loss, in which the estimates that the stage is about weigh alike."""
        estimates, target = self.paired(predictions, batch.target.data, stage)
        self.score(estimates, target, batch, stage)
        return training_loss(
            estimates,
            target,
            self.hparams.level_weight,
            self.hparams.spectral_weight,
            self.hparams.pesq_weight,
            self.hparams.sample_rate,
        )


def dataio_prep(hparams):
    """Training mixtures for each stage, drawn anew each time, and fixed ones for the rest."""
    data = hparams["data"]

    def train_data(stage):
        train_set = data["train_set"](segment_seconds=stage.settings.segment_seconds)
        return train_set, data["train_sampler"](train_set)

    return train_data, data["eval_set"](split="valid"), data["eval_set"](split="test")


def main(argv):
    """Run the recipe from its command line."""
    with recipe_run() as stop_signals:
        experiment = parse(argv)
        hparams = experiment.hparams
        brain = SepFormerBrain(
            modules={"model": hparams["model"]},
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=experiment.run_opts,
            checkpointer=hparams["checkpointer"],
        )
        brain.stop_signals = stop_signals
        start_from(hparams["start_from"], brain.model, hparams["checkpointer"])
        run_on_main(hparams["data"]["prepare"])
        train_data, valid_set, test_set = dataio_prep(hparams)
        batches = {"batch_size": hparams["batch_size"], "num_workers": hparams["num_workers"]}
        one_by_one = {**batches, "batch_size": 1}
        for stage in brain.stages_left():
            brain.fit_stage(stage, *train_data(stage), valid_set, batches, one_by_one)
        if if_main_process():
            results = evaluate(brain, test_set, one_by_one)
            export(brain.model, experiment, results)


if __name__ == "__main__":
    main(sys.argv[1:])
