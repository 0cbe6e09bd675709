"""Training mixtures of speech that streams from shards, split over nodes and workers."""

import random
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, count, groupby, islice
from typing import NamedTuple

import torch
from speechbrain.dataio.batch import PaddedBatch
from speechbrain.dataio.dataloader import make_dataloader
from torch.utils.data import DataLoader

from bloomnet_sb.data.mixing import Mixture
from bloomnet_sb.data.reading import File
from bloomnet_sb.data.shards import Utterance, import_webdataset, read_shard
from bloomnet_sb.utils.errors import InputError, check_positive

SHUFFLED = 256  # utterances, whose files a worker holds

Draw = Callable[[File, tuple[int, int], Sequence[File]], Mixture]


class Place(NamedTuple):
    """A place in an epoch, and which utterance is drawn from there.

    Arguments
    ---------
    place : int
        The place, counted over all nodes and workers.
    turn : int
        How often all shards were read before.
    shard : int
        The number of the shard.
    position : int
        Which utterance of it.
    """

    place: int
    turn: int
    shard: int
    position: int


class ShardSampler:
    """Which utterance of which shard is drawn when, in each node and worker.

    All shards are read in a random order, then all in another, and so on; an epoch is a stretch of
    that. Nodes share it out in stretches of equal length, so that each makes as many batches, and
    their workers likewise: no utterance is drawn twice, unless to make the stretches equal, as
    SpeechBrain's samplers do it too. A worker shuffles its stretch within a buffer.

    The node is that of RANK and WORLD_SIZE, or of torch.distributed, as in WebDataset's
    split_by_node.

    Arguments
    ---------
    utterances : sequence of int
        How many each shard holds.
    seed : int
        Another seed, another order.
    segments_per_epoch : int, optional
        Length of an epoch. Default: as many as there are utterances.

    Example
    -------
    >>> sampler = ShardSampler([2, 3], seed=1)
    >>> sorted((place.shard, place.position) for place in sampler.share(batch_size=2))
    [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    """

    def __init__(self, utterances: Sequence[int], seed: int, segments_per_epoch: int | None = None):
        self.utterances = list(utterances)
        self.seed = seed
        self.length = segments_per_epoch or sum(self.utterances)
        # Shared, as workers may persist from epoch to epoch
        self._epoch_and_done = torch.zeros(2, dtype=torch.long).share_memory_()

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; SpeechBrain's Brain does."""
        self._epoch_and_done[0] = epoch

    @property
    def epoch(self) -> int:
        """The epoch."""
        return int(self._epoch_and_done[0])

    def go_on_after(self, batches: int) -> None:
        """Leave out the first batches of this node: those before an interruption."""
        self._epoch_and_done[1] = batches

    def batches(self, batch_size: int) -> int:
        """How many batches each node makes of an epoch."""
        return -(-self._node_length(self._workers()[1]) // batch_size)

    def share(self, batch_size: int) -> list[Place]:
        """What this worker of this node draws, batch after batch, in this order.

        With the same numbers of nodes and workers and the same batch size, what `go_on_after`
        leaves is what an uninterrupted epoch goes on with.
        """
        epoch, done = self._epoch_and_done.tolist()
        rank, world_size, worker, workers = self._workers()
        batches = self.batches(batch_size)
        # The loader asks worker after worker for a batch, from the first on. After an interruption
        # each has to be the one whose turn it was.
        worker = (worker + done) % workers
        shares = [batch_size * len(range(n, batches, workers)) for n in range(workers)]
        start, stop = list(accumulate(shares, initial=0))[worker : worker + 2]
        node = self._node_length(world_size)
        places = self._places(epoch, rank * node + start, rank * node + min(stop, node))
        shuffle = import_webdataset().shuffle(
            SHUFFLED, rng=random.Random(f"{self.seed} {epoch} {rank} {worker}")
        )
        return list(shuffle(places))[batch_size * len(range(worker, done, workers)) :]

    def _places(self, epoch: int, start: int, stop: int) -> Iterator[Place]:
        """The places from `start` to `stop` of an epoch that begins anew at its end."""
        yield from self._stretch(epoch, start, min(stop, self.length))
        yield from self._stretch(epoch, max(start - self.length, 0), max(stop - self.length, 0))

    def _stretch(self, epoch: int, start: int, stop: int) -> Iterator[Place]:
        turn, offset = divmod(epoch * self.length + start, sum(self.utterances))
        rest = chain.from_iterable(self._turn(number) for number in count(turn))
        for place, drawn in enumerate(islice(rest, offset, offset + max(stop - start, 0)), start):
            yield Place(place, *drawn)

    def _turn(self, turn: int) -> Iterator[tuple[int, int, int]]:
        order = list(range(len(self.utterances)))
        random.Random(f"{self.seed} {turn}").shuffle(order)
        for shard in order:
            for position in range(self.utterances[shard]):
                yield turn, shard, position

    def _node_length(self, world_size: int) -> int:
        return -(-self.length // world_size)

    @staticmethod
    def _workers() -> tuple[int, int, int, int]:
        return import_webdataset().utils.pytorch_worker_info()


class ShardDataset:
    """Training mixtures of utterances that stream from shards.

    Every draw is a function of the seed, the epoch and the utterance's place in it: the numbers of
    nodes and workers change the order of an epoch's mixtures, but none of them.

    Arguments
    ---------
    manifest : dict
        Name to entry, see `bloomnet_sb.data.shards.shard_manifest`.
    draw : callable
        Gives the mixture of an utterance, an epoch and place, and other voices.
    sample_rate : int
        What files are read at, in Hz.
    most_voices : int
        How many other voices it gets: those that lie before the utterance in its shard.

    Raises
    ------
    InputError
        If an entry of the manifest names no shard, or does not say how many utterances it holds.

    Example
    -------
    >>> manifest = {"a.tar": {"shard": "https://host/a.tar", "utterances": 9, "frames": 900}}
    >>> dataset = ShardDataset(manifest, lambda speech, key, voices: ..., sample_rate=16000)
    >>> len(dataset.loader(ShardSampler([9], seed=1), batch_size=2))
    5
    """

    def __init__(
        self, manifest: dict[str, dict], draw: Draw, sample_rate: int, most_voices: int = 0
    ):
        for name, entry in manifest.items():
            if "shard" not in entry:
                raise InputError(f"speech_train.json names shards, but a file for {name}")
            check_positive(utterances=entry.get("utterances", 0))
        self.shards = [(entry["shard"], entry["utterances"]) for entry in manifest.values()]
        self.draw = draw
        self.sample_rate = sample_rate
        self.most_voices = most_voices

    def loader(self, sampler: ShardSampler, batch_size: int, **options) -> DataLoader:
        """A loader of the batches that a sampler shares out to this node.

        Arguments
        ---------
        sampler : ShardSampler
            Which utterances, and when.
        batch_size : int
            Mixtures in a batch.
        **options
            Of torch's DataLoader (num_workers..).

        Returns
        -------
        DataLoader
            PaddedBatches of id, mix [batch, time], target [batch, time, 1] and noise.
        """
        wds = import_webdataset()
        batches = wds.DataPipeline(
            lambda: self._items(sampler, batch_size),
            wds.batched(batch_size, collation_fn=None),
        ).with_length(sampler.batches(batch_size), silent=True)
        return make_dataloader(batches, batch_size=None, collate_fn=PaddedBatch, **options)

    def _items(self, sampler: ShardSampler, batch_size: int) -> Iterator[dict]:
        epoch = sampler.epoch
        for place, utterance, voices in self._read(sampler.share(batch_size)):
            speech = utterance.file(self.sample_rate)
            mix, target, noise = self.draw(speech, (epoch, place.place), voices)
            yield {
                "id": utterance.id,
                "mix": torch.from_numpy(mix),
                "target": torch.from_numpy(target.reshape(len(mix), -1)),
                "noise": noise,
            }

    def _read(self, places: Sequence[Place]) -> Iterator[tuple[Place, Utterance, list[File]]]:
        """Each place with its utterance and other voices, though the shards have another order."""
        stream = self._stream(sorted(places))
        waiting: dict[Place, tuple[Utterance, list[File]]] = {}
        for place in places:
            while place not in waiting:
                found, utterance, voices = next(stream)
                waiting[found] = utterance, voices
            yield place, *waiting.pop(place)

    def _stream(self, places: Iterable[Place]) -> Iterator[tuple[Place, Utterance, list[File]]]:
        """The same in the order of the shards, of which only those are opened that are needed."""
        for (_, shard), run in groupby(places, lambda place: (place.turn, place.shard)):
            wanted = {place.position: place for place in run}
            voices: deque[File] = deque(maxlen=self.most_voices)
            for position, utterance in enumerate(read_shard(*self.shards[shard])):
                if position in wanted:
                    yield wanted.pop(position), utterance, list(voices)
                if not wanted:
                    break
                voices.append(utterance.file(self.sample_rate))
