#!/usr/bin/env python3
"""Recipe: BLOOM-Net with a SepFormer separator, for enhancement or separation of speech.

    python train.py hparams/librispeech_musan.yaml --data_folder /path/to/corpora
    python train.py hparams/libri2mix.yaml --data_folder /path/to/librimix

The experiment is `bloomnet_sb.training.experiment.main`, with
`bloomnet_sb.training.brain.BlockwiseBrain`; what is particular to SepFormer stands in
hparams/*.yaml.
"""

import sys

from bloomnet_sb.training.experiment import main

if __name__ == "__main__":
    main(sys.argv[1:])
