import json

import pytest
import torch
from speechbrain.dataio.dataloader import make_dataloader
from speechbrain.dataio.sampler import DistributedSamplerWrapper

from bloomnet_sb.data import (
    eval_dataset,
    manifests_summary,
    prepare_librispeech_musan,
    train_dataset,
    train_sampler,
)
from bloomnet_sb.data.datasets import DrawDataset
from bloomnet_sb.utils.errors import InputError
from tests.helpers.recipes import SAMPLES

OPTIONS = {"data_folder": str(SAMPLES), "snr_db": (-5, 10), "sample_rate": 16000}


@pytest.fixture(scope="module")
def manifest_folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("manifests"))
    prepare_librispeech_musan(str(SAMPLES), folder)
    return folder


def epoch_of(manifest_folder, epoch=1, seed=7, num_workers=0, segments=None, rank=None):
    """The ids and mixtures of one epoch."""
    dataset = train_dataset(manifest_folder, segment_seconds=0.25, seed=seed, **OPTIONS)
    sampler = train_sampler(dataset, seed, segments)
    if rank is not None:
        sampler = DistributedSamplerWrapper(sampler, num_replicas=2, rank=rank, shuffle=False)
    sampler.set_epoch(epoch)
    loader = make_dataloader(dataset, sampler=sampler, batch_size=4, num_workers=num_workers)
    batches = list(loader)
    ids = [name for batch in batches for name in batch.id]
    return ids, torch.cat([batch.mix.data for batch in batches])


def test_items(manifest_folder):
    dataset = train_dataset(manifest_folder, segment_seconds=0.5, seed=1, **OPTIONS)
    item = dataset[(3, (1, 0))]
    assert item["mix"].shape == (8000,)
    assert item["target"].shape == (8000, 1)


def test_an_epoch_is_the_same_with_any_number_of_workers(manifest_folder):
    ids, mixtures = epoch_of(manifest_folder)
    for num_workers in (1, 3):
        other_ids, other = epoch_of(manifest_folder, num_workers=num_workers)
        assert ids == other_ids
        assert torch.equal(mixtures, other)


def test_every_draw_is_new(manifest_folder):
    ids, mixtures = epoch_of(manifest_folder)
    assert len(set(ids)) == len(ids)
    assert len(torch.unique(mixtures, dim=0)) == len(mixtures)
    for change in ({"epoch": 2}, {"seed": 8}):
        other_ids, other = epoch_of(manifest_folder, **change)
        assert other_ids != ids
        assert len(torch.unique(torch.cat([mixtures, other]), dim=0)) == 2 * len(ids)


def test_ranks_share_an_epoch_out(manifest_folder):
    _, whole = epoch_of(manifest_folder)
    ranks = [epoch_of(manifest_folder, rank=rank)[1] for rank in (0, 1)]
    together = torch.stack(ranks, dim=1).flatten(0, 1)
    assert torch.equal(together[: len(whole)], whole)


def test_an_epoch_can_be_longer_than_the_corpus(manifest_folder):
    ids, mixtures = epoch_of(manifest_folder, segments=200)
    assert len(mixtures) == 200
    assert len(set(ids)) < 200
    assert len(torch.unique(mixtures, dim=0)) == 200


def spoken_by(counts):
    """A dataset of so many utterances of each speaker."""
    return DrawDataset(
        {
            f"{speaker}-{number}": {"spk_id": speaker}
            for speaker, count in counts.items()
            for number in range(count)
        }
    )


@pytest.mark.parametrize(("balance", "share"), [(1.0, 1 / 2), (0.5, 1 / 4)])
def test_speakers_are_balanced(balance, share):
    dataset = spoken_by({"seldom": 10, "often": 90})
    sampler = train_sampler(dataset, seed=1, segments_per_epoch=4000, speaker_balance=balance)
    heard = [index for index, _ in sampler]
    assert sum(index < 10 for index in heard) / 4000 == pytest.approx(share, abs=0.03)
    assert set(heard) == set(range(100))


def test_balanced_epochs_are_reproducible_and_keyed(manifest_folder):
    dataset = train_dataset(manifest_folder, segment_seconds=0.25, seed=7, **OPTIONS)
    orders = []
    for epoch in (1, 1, 2):
        sampler = train_sampler(dataset, 7, speaker_balance=0.5)
        sampler.set_epoch(epoch)
        orders.append(list(sampler))
    assert orders[0] == orders[1]
    assert [key for _, key in orders[2]] == [(2, place) for place in range(len(dataset))]
    assert [index for index, _ in orders[0]] != [index for index, _ in orders[2]]


def test_speakers_that_are_not_known_cannot_be_balanced():
    dataset = DrawDataset({"an-id": {"frames": 9}})
    assert len(train_sampler(dataset, seed=1)) == 1
    with pytest.raises(InputError, match="speech_train.json has no spk_id of an-id"):
        train_sampler(dataset, seed=1, speaker_balance=0.5)
    with pytest.raises(InputError, match="speaker_balance is 2, but must be within 0 and 1"):
        train_sampler(dataset, seed=1, speaker_balance=2)
    with pytest.raises(InputError, match="speaker_balance is 'yes', but must be within 0 and 1"):
        train_sampler(dataset, seed=1, speaker_balance="yes")


def test_evaluation_items_are_fixed(manifest_folder):
    one, two = (
        eval_dataset(manifest_folder, split="test", max_seconds=2.0, **OPTIONS) for _ in range(2)
    )
    for index in range(len(one)):
        assert torch.equal(one[index]["mix"], two[index]["mix"])
        assert len(one[index]["mix"]) <= 32000


def test_summary_counts_files_and_minutes(manifest_folder):
    lines = manifests_summary(manifest_folder, 16000).splitlines()
    assert len(lines) == 6
    assert "- speech_train: 82 files, 7.9 minutes" in lines


def test_manifest_faults_are_named(manifest_folder, tmp_path):
    with pytest.raises(InputError, match="noise_train.json: no such manifest"):
        train_dataset(str(tmp_path), segment_seconds=1.0, seed=1, **OPTIONS)
    entry = {"an-id": {"wav": "{data_root}/gone.flac", "frames": 5}}
    faults = {json.dumps(entry): "names .*/gone.flac, but", "{}": "empty", '{"a': "no JSON"}
    for content, message in faults.items():
        (tmp_path / "noise_train.json").write_text(content)
        with pytest.raises(InputError, match=message):
            train_dataset(str(tmp_path), segment_seconds=1.0, seed=1, **OPTIONS)
