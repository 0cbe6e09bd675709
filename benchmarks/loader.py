"""Whether the data loader keeps up: mixtures that it makes, and mixtures that training consumes.

    python benchmarks/loader.py --data_folder DIR

Reads LibriSpeech and MUSAN below DIR as the recipe does, with one worker, from the files and from
shards of them, in turns, then trains the first stage of the recipe's default network (the one that
consumes most) at the recipe's batch size and segment length on two threads, without the loader.
"""

import tempfile
import time
import warnings
from itertools import product

from options import parser_of
from timing import best_seconds
from training import SETTINGS, paper_model, step_of

BATCH_SIZE = 64
SHARD_MB = 20


def mixtures_made(data_folder: str, rounds: int = 3) -> dict[str, float]:
    """Mixtures of 1 s that a loader with one worker makes in a second, at its best."""
    from bloomnet_sb.data import prepare_librispeech_musan, write_shards

    with tempfile.TemporaryDirectory() as folder:
        prepare_librispeech_musan(data_folder, f"{folder}/files")
        write_shards(f"{folder}/files", data_folder, f"{folder}/packed", SHARD_MB)
        prepare_librispeech_musan(data_folder, f"{folder}/shards", shards=f"{folder}/packed")
        made = {"files": 0.0, "shards": 0.0}
        for epoch, source in product(range(1, rounds + 1), made):
            rate = loaded(f"{folder}/{source}", data_folder, epoch)
            made[source] = max(made[source], rate)
        return made


def loaded(manifests: str, data_folder: str, epoch: int, batches: int = 12) -> float:
    """Mixtures in a second, once the worker has started."""
    from bloomnet_sb.data import train_dataset, train_sampler
    from bloomnet_sb.data.shard_dataset import ShardDataset

    from speechbrain.dataio.dataloader import make_dataloader  # isort: skip (bloomnet_sb first)

    dataset = train_dataset(manifests, data_folder, 1.0, (-5, 10), 16000, seed=1)
    sampler = train_sampler(dataset, seed=1, segments_per_epoch=BATCH_SIZE * (batches + 1))
    sampler.set_epoch(epoch)
    options = {"batch_size": BATCH_SIZE, "num_workers": 1}
    if isinstance(dataset, ShardDataset):
        loader = dataset.loader(sampler, **options)
    else:
        loader = make_dataloader(dataset, sampler=sampler, **options)
    iterator = iter(loader)
    next(iterator)
    start = time.perf_counter()
    made = sum(len(batch) for batch in iterator)
    return made / (time.perf_counter() - start)


def mixtures_consumed() -> float:
    """Mixtures of 1 s that the first stage's steps consume in a second."""
    from bloomnet_sb.training.schedule import BlockwiseSchedule

    schedule = BlockwiseSchedule("blockwise", 6, SETTINGS, SETTINGS, SETTINGS)
    step = step_of(paper_model(6), schedule.stages[0], BATCH_SIZE)
    return BATCH_SIZE / best_seconds({"step": step}, rounds=3)["step"]


def main() -> None:
    """Print both rates."""
    options = parser_of(__doc__, data_folder=True).parse_args()

    import torch

    torch.set_num_threads(2)
    made, consumed = mixtures_made(options.data_folder), mixtures_consumed()
    print(f"consumed: {consumed:.0f} mixtures/s")
    for source, rate in made.items():
        print(f"made from {source}: {rate:.0f} mixtures/s, ratio {rate / consumed:.1f}")


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
