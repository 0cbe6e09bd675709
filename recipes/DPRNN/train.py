#!/usr/bin/env python3
"""Recipe: BLOOM-Net speech enhancement with a DPRNN separator, trained block by block.

    python train.py hparams/librispeech_musan.yaml --data_folder /path/to/corpora

The experiment is `bloomnet_sb.training.experiment.main`, with
`bloomnet_sb.training.brain.BlockwiseBrain`; what is particular to DPRNN stands in hparams/*.yaml.
"""

import sys

from bloomnet_sb.training.experiment import main

if __name__ == "__main__":
    main(sys.argv[1:])
