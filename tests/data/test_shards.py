import json
import os
import pathlib
import shutil
import signal
import sys
import tarfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch

from bloomnet_sb.data import (
    Augmentation,
    manifests_summary,
    prepare_librispeech_musan,
    train_dataset,
    train_sampler,
    write_shards,
)
from bloomnet_sb.data.manifests import load_manifest
from bloomnet_sb.data.shards import read_shard, shard_manifest
from bloomnet_sb.utils.audio_files import read_audio
from bloomnet_sb.utils.errors import InputError
from tests.faults.runs import OFTEN, assert_same_weights, run_broken, train_on
from tests.helpers.command import bloomnet
from tests.helpers.forked import Forked, ranks, run_forked
from tests.helpers.recipes import SAMPLES, error_line, recipe_main, run_here, tiny_arguments

UTTERANCES = 82
OPTIONS = {"data_folder": str(SAMPLES), "snr_db": (-5, 10), "sample_rate": 16000}


@pytest.fixture(scope="module")
def manifest_folder(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("manifests"))
    prepare_librispeech_musan(str(SAMPLES), folder)
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory, manifest_folder):
    folder = tmp_path_factory.mktemp("packed") / "shards"
    write_shards(manifest_folder, str(SAMPLES), folder, shard_mb=1)
    return folder


@pytest.fixture(scope="module")
def sharded(tmp_path_factory, shards):
    """A folder of manifests that name shards for the training speech."""
    folder = str(tmp_path_factory.mktemp("manifests"))
    prepare_librispeech_musan(str(SAMPLES), folder, shards=str(shards))
    return folder


@pytest.fixture
def node(monkeypatch):
    """Makes this process one of several nodes."""

    def become(rank, world_size):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", str(world_size))

    return become


def loader_of(sharded, epoch=1, num_workers=0, segments=None, done=0, batch_size=4, **options):
    dataset = train_dataset(sharded, segment_seconds=0.25, seed=7, **OPTIONS, **options)
    sampler = train_sampler(dataset, 7, segments)
    sampler.set_epoch(epoch)
    sampler.go_on_after(done)
    return dataset.loader(sampler, batch_size=batch_size, num_workers=num_workers)


def batches_of(*args, **options):
    return [(batch.id, batch.mix.data) for batch in loader_of(*args, **options)]


def drawn(batches):
    """Id to mixture."""
    return {name: mix for ids, mixes in batches for name, mix in zip(ids, mixes, strict=True)}


def ids_of(batches):
    return [name for ids, _ in batches for name in ids]


def same(one, two):
    return [ids for ids, _ in one] == [ids for ids, _ in two] and all(
        torch.equal(a, b) for (_, a), (_, b) in zip(one, two, strict=True)
    )


def test_the_shards_hold_the_files(manifest_folder, shards):
    manifest = load_manifest(manifest_folder, str(SAMPLES), "speech_train")
    index = json.loads((shards / "shards.json").read_text())
    assert sorted([*index, "shards.json"]) == sorted(path.name for path in shards.iterdir())
    assert len(index) > 4
    found = {}
    for name, entry in index.items():
        for utterance in read_shard(str(shards / name), entry["utterances"]):
            found[utterance.id] = utterance
    assert found.keys() == manifest.keys()
    for name, utterance in found.items():
        assert utterance.frames == manifest[name]["frames"]
        with open(manifest[name]["wav"], "rb") as file:
            assert utterance.clip.data == file.read()
    assert (read_audio(utterance.clip) == read_audio(manifest[name]["wav"])).all()


def test_mixtures_are_those_of_files(manifest_folder, sharded):
    dataset = train_dataset(manifest_folder, segment_seconds=0.25, seed=7, **OPTIONS)
    ((name, *_), (mix, *_)) = batches_of(sharded)[0]
    index = dataset.data_ids.index(name)
    assert any(torch.equal(dataset[index, (1, n)]["mix"], mix) for n in range(UTTERANCES))


def test_two_nodes_of_two_workers_share_an_epoch_out(sharded, node):
    alone = drawn(batches_of(sharded))
    heard = []
    for rank in range(2):
        node(rank, 2)
        loader = loader_of(sharded, num_workers=2)
        batches = [(batch.id, batch.mix.data) for batch in loader]
        assert len(batches) == len(loader) == 11  # of 41 utterances each
        heard += batches
    assert sorted(ids_of(heard)) == sorted(alone)
    assert len(ids_of(heard)) == UTTERANCES
    # Nodes and workers change the order only.
    assert all(torch.equal(mix, alone[name]) for name, mix in drawn(heard).items())


def test_nodes_make_as_many_batches_where_the_epoch_cannot_be_divided(sharded, node):
    heard = []
    for rank in range(3):
        node(rank, 3)
        batches = batches_of(sharded, num_workers=2)
        assert len(batches) == 7
        heard += ids_of(batches)
    assert len(heard) == 84
    assert len(set(heard)) == UTTERANCES


def test_epochs_differ_and_are_reproducible(sharded):
    one, again, two = (batches_of(sharded, epoch=epoch) for epoch in (1, 1, 2))
    assert same(one, again)
    assert sorted(ids_of(one)) == sorted(ids_of(two))
    assert ids_of(one) != ids_of(two)
    mixtures = torch.cat([mixes for _, mixes in one + two])
    assert len(torch.unique(mixtures, dim=0)) == 2 * UTTERANCES


def test_an_epoch_can_be_shorter_or_longer_than_the_corpus(sharded):
    short = [ids_of(batches_of(sharded, epoch=epoch, segments=41)) for epoch in (2, 3)]
    assert [len(ids) for ids in short] == [41, 41]
    assert len({*short[0], *short[1]}) == UTTERANCES  # the two halves of one pass
    long = batches_of(sharded, segments=200, num_workers=1)
    assert len(ids_of(long)) == 200
    assert len(torch.unique(torch.cat([mixes for _, mixes in long]), dim=0)) == 200


@pytest.mark.parametrize(("num_workers", "done"), [(0, 5), (1, 20), (2, 1), (3, 7), (3, 21)])
def test_an_interrupted_epoch_goes_on_exactly(sharded, num_workers, done, node):
    node(1, 2)
    segments = 170  # each shard is read twice or so
    whole = batches_of(sharded, segments=segments, num_workers=num_workers)
    assert len(whole) == 22
    rest = batches_of(sharded, segments=segments, num_workers=num_workers, done=done)
    assert same(whole[done:], rest)


def test_workers_that_persist_hear_of_the_next_epoch(sharded):
    dataset = train_dataset(sharded, segment_seconds=0.25, seed=7, **OPTIONS)
    sampler = train_sampler(dataset, 7)
    loader = dataset.loader(sampler, batch_size=4, num_workers=1, persistent_workers=True)
    for epoch in (1, 2):
        sampler.set_epoch(epoch)
        heard = [(batch.id, batch.mix.data) for batch in loader]
        assert same(heard, batches_of(sharded, epoch=epoch))


def test_babble_is_of_other_voices(sharded):
    augment = Augmentation(16000, babble=1.0, speech_speeds=[100], noise_speeds=[100])
    one, two = (
        drawn(batches_of(sharded, augment=augment, segments=12, num_workers=n)) for n in (0, 2)
    )
    assert all(torch.equal(mix, two[name]) for name, mix in one.items())


def test_speakers_of_shards_cannot_be_balanced(sharded):
    dataset = train_dataset(sharded, segment_seconds=0.25, seed=7, **OPTIONS)
    with pytest.raises(InputError, match="speaker_balance is 0.5, but utterances of shards"):
        train_sampler(dataset, 7, speaker_balance=0.5)


@pytest.fixture
def served(shards):
    """The URL of a server of the shards."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(shards))
    handler.log_message = lambda *_: None
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("source", ["pipe:cat {folder}/{{}} | cat", "pipe:cat {folder}", "http"])
def test_commands_and_urls(source, shards, sharded, served, tmp_path):
    source = served if source == "http" else source.format(folder=shards)
    prepare_librispeech_musan(str(SAMPLES), str(tmp_path), shards=source)
    # Short, so that not all of the last shard is read.
    options = {"segments": 30, "num_workers": 1}
    assert same(batches_of(str(tmp_path), **options), batches_of(sharded, **options))


def test_the_training_speech_need_not_be_there(shards, tmp_path):
    for place in ("LibriSpeech/dev-clean", "LibriSpeech/test-clean", "musan"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).symlink_to(SAMPLES / place)
    manifests = tmp_path / "manifests"
    shutil.copy(SAMPLES / "noise_split.csv", tmp_path)
    prepare_librispeech_musan(str(tmp_path), str(manifests), shards=str(shards))
    assert "- speech_train: 82 files, 7.9 minutes" in manifests_summary(str(manifests), 16000)
    options = {**OPTIONS, "data_folder": str(tmp_path)}
    assert len(train_dataset(str(manifests), segment_seconds=0.25, seed=7, **options).shards) > 4


def copied(shards, folder):
    """A copy of the shards, its manifests, and its first shard."""
    shutil.copytree(shards, folder)
    manifests = str(folder.parent / "manifests")
    prepare_librispeech_musan(str(SAMPLES), manifests, shards=str(folder))
    return manifests, folder / "speech_train-000000.tar"


def flip(data):
    return data[:2000] + bytes(255 - byte for byte in data[2000:2600]) + data[2600:]


def without_last(data):
    """A tar file that ends well, but too early."""
    cut = data.rindex(b".flac")
    return data[: cut - cut % 512] + bytes(1024)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[: len(data) // 2], "not a readable shard"),
        (lambda data: b"", "not a readable shard"),
        (lambda data: b"x" * 20000, "not a readable shard"),
        (flip, "not a readable shard .*-.* is damaged"),
        (without_last, "holds .* utterances, but should hold"),
    ],
)
def test_a_damaged_shard_is_named(spoil, message, shards, tmp_path):
    manifests, first = copied(shards, tmp_path / "copy")
    first.write_bytes(spoil(first.read_bytes()))
    with pytest.raises(InputError, match=message) as caught:
        batches_of(manifests)
    assert str(first) in str(caught.value)


def test_a_missing_shard_is_named(shards, tmp_path):
    manifests, first = copied(shards, tmp_path / "copy")
    loader = loader_of(manifests)
    first.unlink()
    with pytest.raises(InputError, match="000000.tar: not a readable shard .No such file"):
        list(loader)
    with pytest.raises(InputError, match="speech_train.json names .*000000.tar, but"):
        loader_of(manifests)


def test_a_command_that_fails_is_named():
    for command in ("pipe:cat nowhere.tar", "pipe:exit 3"):
        with pytest.raises(InputError, match=f"{command}: not a readable shard"):
            list(read_shard(command, 1))


def test_faults_of_the_list_are_named(shards, tmp_path):
    with pytest.raises(InputError, match="nowhere: shards.json, .*No such file"):
        shard_manifest("nowhere", 16000)
    with pytest.raises(
        InputError, match="000000.tar: 16000 Hz, which is below the network's 48000"
    ):
        shard_manifest(str(shards), 48000)
    entry = {"utterances": 1, "frames": 9, "sample_rate": 16000}
    faults = {
        "{": "cannot be read",
        "{}": "names no shard",
        json.dumps({"a.tar": {}}): "cannot be read",
        json.dumps({"a; rm -r b": entry}): "'a; rm -r b' is no name of a shard",
    }
    for text, message in faults.items():
        (tmp_path / "shards.json").write_text(text)
        with pytest.raises(InputError, match=message):
            shard_manifest(str(tmp_path), 16000)


def test_faults_of_manifests_are_named(sharded, manifest_folder, tmp_path):
    manifest = load_manifest(sharded, str(SAMPLES), "speech_train")
    shutil.copytree(manifest_folder, tmp_path, dirs_exist_ok=True)
    text = json.dumps({**manifest, "an-id": {"wav": __file__, "frames": 9}})
    (tmp_path / "speech_train.json").write_text(text)
    with pytest.raises(InputError, match="names shards, but a file for an-id"):
        loader_of(str(tmp_path))
    (tmp_path / "speech_valid.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="speech_valid.json names shards, but only"):
        load_manifest(tmp_path, str(SAMPLES), "speech_valid")


def test_a_folder_that_cannot_be_written(manifest_folder, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file: cannot be written"):
        write_shards(manifest_folder, str(SAMPLES), tmp_path / "file")


def test_without_webdataset(sharded, manifest_folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset", None)
    for use in (
        lambda: write_shards(manifest_folder, str(SAMPLES), tmp_path),
        lambda: loader_of(sharded),
    ):
        with pytest.raises(InputError, match="shards need webdataset: pip install"):
            use()


def killed_while_it_packs(manifest_folder, folder):
    """Write shards, and kill this process when it reads the thirty-first utterance."""
    reads, read = iter(range(1000)), pathlib.Path.read_bytes

    def read_bytes(path):
        if next(reads) == 30:
            os.kill(os.getpid(), signal.SIGKILL)
        return read(path)

    pathlib.Path.read_bytes = read_bytes
    write_shards(manifest_folder, str(SAMPLES), folder, shard_mb=1)


def test_a_kill_leaves_whole_shards_only(shards, manifest_folder, tmp_path):
    killed = run_forked(killed_while_it_packs, manifest_folder, tmp_path)
    assert killed.returncode == -signal.SIGKILL
    names = sorted(path.name for path in tmp_path.glob("*.tar"))
    assert 0 < len(names) < len(list(shards.glob("*.tar")))
    assert not (tmp_path / "shards.json").exists()
    for name in names:
        with tarfile.open(tmp_path / name) as tar:
            assert len(tar.getmembers()) > 2
        assert (tmp_path / name).read_bytes() == (shards / name).read_bytes()
    write_shards(manifest_folder, str(SAMPLES), tmp_path, shard_mb=1)
    written = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_bytes() for path in shards.iterdir()}


def test_the_command(shards, tmp_path):
    result = bloomnet("shard", SAMPLES, tmp_path / "out", "--shard_mb", 1)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(f"82 utterances in {len(list(shards.glob('*.tar')))} shards")
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {path.name: path.read_bytes() for path in shards.iterdir()}
    result = bloomnet("shard", SAMPLES, shards)
    assert result.returncode == 2
    assert result.stderr == f"error: {shards}: already holds shards; name another folder\n"


def test_a_recipe_is_killed_and_goes_on(shards, tmp_path):
    options = {"shards": shards, "num_workers": 2, **OFTEN}
    whole = run_here(tmp_path / "whole", **options)
    assert whole.returncode == 0, whole.stderr
    card = (tmp_path / "whole" / "pretrained" / "README.md").read_text()
    assert "- speech_train: 82 files, 7.9 minutes" in card
    folder = tmp_path / "broken"
    for number in (6, 6):  # a checkpoint within an epoch is then the newest, the second time
        killed = run_broken(folder, "SIGKILL", "update", number, options)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
    resumed = train_on(folder, tmp_path / "whole", **options)
    assert resumed.returncode == 0, resumed.stderr
    assert_same_weights(folder, tmp_path / "whole")


def test_two_processes_train_from_shards(shards, tmp_path):
    options = {"distributed_backend": "gloo", "device": "cpu", "block_epochs": 1}
    arguments = tiny_arguments(tmp_path, shards=shards, segments_per_epoch=7, **options)
    for process in [Forked(recipe_main, arguments, **rank) for rank in ranks()]:
        result = process.finish()
        assert result.returncode == 0, result.stderr
    assert (tmp_path / "results.json").is_file()


def test_a_damaged_shard_ends_a_run_with_one_line(shards, tmp_path):
    _, first = copied(shards, tmp_path / "copy")
    for path in first.parent.glob("*.tar"):
        path.write_bytes(path.read_bytes()[:5000])
    line = error_line(run_here(tmp_path / "run", shards=first.parent))
    assert "not a readable shard (unexpected end of data)" in line
