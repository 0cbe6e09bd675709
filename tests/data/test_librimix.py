import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import torch
from speechbrain.dataio.dataloader import make_dataloader

from bloomnet_sb.data import (
    manifests_summary,
    mixture_eval_dataset,
    mixture_train_dataset,
    prepare_librimix,
    reading,
    train_sampler,
)
from bloomnet_sb.utils.errors import InputError

RATE = 8000
PLACE = "Libri2Mix/wav8k/min/train-100"


@pytest.fixture(scope="module")
def manifest_folder(librimix_folder, tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("manifests"))
    prepare_librimix(str(librimix_folder), folder)
    return folder


@pytest.fixture
def corpus(librimix_folder, tmp_path):
    """A copy of the corpus to do harm to."""
    return shutil.copytree(librimix_folder / "Libri2Mix", tmp_path / "corpus" / "Libri2Mix").parent


@pytest.fixture
def write_pair(tmp_path):
    """Writes a manifest of one mixture of the given sources; gives what the datasets take."""

    def write_pair(*sources):
        signals = {"mix": np.sum(sources, axis=0), "s1": sources[0], "s2": sources[1]}
        for name, samples in signals.items():
            sf.write(tmp_path / f"{name}.wav", samples, RATE, subtype="FLOAT")
        files = ["{data_root}/s1.wav", "{data_root}/s2.wav"]
        entry = {"wav": "{data_root}/mix.wav", "sources": files, "frames": len(sources[0])}
        for split in ("train", "test"):
            (tmp_path / f"mix_{split}.json").write_text(json.dumps({"an-id": entry}))
        return str(tmp_path), str(tmp_path)

    return write_pair


def manifests(data_folder, save_folder, **options):
    prepare_librimix(str(data_folder), str(save_folder), **options)
    return {path.stem: json.loads(path.read_text()) for path in save_folder.glob("*.json")}


def segments(manifest_folder, data_folder, seconds=0.5, seed=7):
    return mixture_train_dataset(manifest_folder, str(data_folder), seconds, RATE, seed)


def mixtures(manifest_folder, data_folder, split="test", max_seconds=60.0):
    return mixture_eval_dataset(manifest_folder, str(data_folder), split, max_seconds, RATE)


def voice(length, seed=0):
    return (0.1 * np.random.default_rng(seed).standard_normal(length)).astype(np.float32)


@pytest.mark.parametrize("num_sources", [2, 3])
@pytest.mark.parametrize(("sample_rate", "mode"), [(8000, "min"), (16000, "max")])
def test_manifests(librimix_folder, tmp_path, num_sources, sample_rate, mode):
    options = {"num_sources": num_sources, "sample_rate": sample_rate, "mode": mode}
    written = manifests(librimix_folder, tmp_path, mixture="mix_both", **options)
    assert sorted(written) == ["mix_test", "mix_train", "mix_valid"]
    for split, part in {"train": "train-100", "valid": "dev", "test": "test"}.items():
        assert len(written[f"mix_{split}"]) == 4
        for name, entry in written[f"mix_{split}"].items():
            place = f"Libri{num_sources}Mix/wav{sample_rate // 1000}k/{mode}/{part}"
            assert entry["wav"] == f"{{data_root}}/{place}/mix_both/{name}.wav"
            files = [f"{{data_root}}/{place}/s{n + 1}/{name}.wav" for n in range(num_sources)]
            assert entry["sources"] == files
            info = sf.info(entry["wav"].format(data_root=librimix_folder))
            assert (info.samplerate, info.frames) == (sample_rate, entry["frames"])


def test_the_data_folder_may_be_that_of_the_mixtures(librimix_folder, tmp_path):
    above = manifests(librimix_folder, tmp_path / "above")
    itself = manifests(librimix_folder / "Libri2Mix", tmp_path / "itself")
    assert itself["mix_train"].keys() == above["mix_train"].keys()
    item = segments(str(tmp_path / "itself"), librimix_folder / "Libri2Mix")[0, (1, 0)]
    assert torch.equal(
        item["mix"], segments(str(tmp_path / "above"), librimix_folder)[0, (1, 0)]["mix"]
    )


def test_the_larger_training_part(corpus, tmp_path):
    shutil.copytree(corpus / PLACE, corpus / PLACE.replace("train-100", "train-360"))
    written = manifests(corpus, tmp_path / "save", train_split="train-360")
    assert all("/train-360/" in entry["wav"] for entry in written["mix_train"].values())


@pytest.mark.parametrize("num_sources", [2, 3])
def test_items_are_the_sum_of_their_targets_at_unit_power(librimix_folder, tmp_path, num_sources):
    prepare_librimix(str(librimix_folder), str(tmp_path), num_sources=num_sources)
    drawn = segments(str(tmp_path), librimix_folder)
    items = [drawn[index, (1, place)] for place, index in enumerate([0, 1, 2, 3] * 5)]
    assert all(item["mix"].shape == (RATE // 2,) for item in items)
    fixed = mixtures(str(tmp_path), librimix_folder, "valid")
    for item in (*items, *(fixed[index] for index in range(4))):
        assert item["target"].shape == (len(item["mix"]), num_sources)
        torch.testing.assert_close(item["mix"], item["target"].sum(-1), atol=1e-5, rtol=0)
        assert item["mix"].square().mean().item() == pytest.approx(1, abs=1e-4)


def test_the_noise_of_mix_both_is_in_the_mixture_only(librimix_folder, manifest_folder, tmp_path):
    prepare_librimix(str(librimix_folder), str(tmp_path), mixture="mix_both")
    clean = mixtures(manifest_folder, librimix_folder)[0]
    noisy = mixtures(str(tmp_path), librimix_folder)[0]
    assert (noisy["mix"] - noisy["target"].sum(-1)).square().mean() > 0.01
    scale = noisy["target"].norm() / clean["target"].norm()
    torch.testing.assert_close(noisy["target"], scale * clean["target"], atol=1e-4, rtol=0)


def test_a_draw_depends_on_its_key_and_the_seed_alone(librimix_folder, manifest_folder):
    def draw(key, seed=7):
        return segments(manifest_folder, librimix_folder, seed=seed)[0, key]["mix"]

    assert torch.equal(draw((1, 0)), draw((1, 0)))
    others = [draw((1, 1)), draw((2, 0)), draw((1, 0), seed=8)]
    assert len(torch.unique(torch.stack([draw((1, 0)), *others]), dim=0)) == 4


def test_an_epoch_is_the_same_with_any_number_of_workers(librimix_folder, manifest_folder):
    epochs = []
    for num_workers in (0, 2):
        dataset = segments(manifest_folder, librimix_folder)
        sampler = train_sampler(dataset, 7, segments_per_epoch=12)
        sampler.set_epoch(1)
        loader = make_dataloader(dataset, sampler=sampler, batch_size=3, num_workers=num_workers)
        epochs.append(torch.cat([batch.target.data for batch in loader]))
    assert epochs[0].shape == (12, RATE // 2, 2)
    assert torch.equal(*epochs)
    assert len(torch.unique(epochs[0], dim=0)) == 12


def test_segments_come_from_everywhere_and_only_they_are_read(write_pair, monkeypatch):
    folders = write_pair(voice(100 * RATE), voice(100 * RATE, seed=1))
    read = []
    original = reading.read_audio
    monkeypatch.setattr(
        reading, "read_audio", lambda p, s, f: (read.append((s, f)), original(p, s, f))[1]
    )
    drawn = segments(*folders)
    for place in range(40):
        drawn[0, (1, place)]
    starts = {start for start, _ in read}
    assert {frames for _, frames in read} == {RATE // 2}
    assert len(read) == 3 * len(starts) == 120
    assert min(starts) < 20 * RATE
    assert max(starts) > 80 * RATE


def test_short_mixtures_are_padded(write_pair):
    item = segments(*write_pair(voice(1000), voice(1000, seed=1)))[0, (1, 0)]
    assert item["target"].shape == (RATE // 2, 2)
    assert item["target"][:1000].square().mean(0).min() > 0.1
    assert not item["target"][1000:].any()
    assert not item["mix"][1000:].any()


def test_segments_in_which_a_source_is_silent_are_drawn_again(write_pair):
    early, late = voice(10 * RATE), voice(10 * RATE, seed=1)
    early[6 * RATE :] = 0
    late[: 4 * RATE] = 0
    drawn = segments(*write_pair(early, late))
    for place in range(30):
        assert drawn[0, (1, place)]["target"].square().mean(0).min() > 1e-6


def test_what_is_silent_throughout(write_pair):
    silence = np.zeros(RATE, np.float32)
    folders = write_pair(voice(RATE), silence)
    for item in (segments(*folders)[0, (1, 0)], mixtures(*folders)[0]):
        assert not item["target"][:, 1].any()
        assert item["mix"].square().mean().item() == pytest.approx(1, abs=1e-4)
    folders = write_pair(silence, silence)
    for read in (lambda: segments(*folders)[0, (1, 0)], lambda: mixtures(*folders)[0]):
        with pytest.raises(InputError, match="mix.wav: a silent mixture"):
            read()


def test_evaluation_items_are_whole_and_fixed(librimix_folder, manifest_folder):
    entries = json.loads(Path(manifest_folder, "mix_test.json").read_text())
    once, again = (mixtures(manifest_folder, librimix_folder) for _ in range(2))
    short = mixtures(manifest_folder, librimix_folder, max_seconds=1.0)
    for index in range(len(once)):
        assert torch.equal(once[index]["mix"], again[index]["mix"])
        entry = entries[once[index]["id"]]
        samples, _ = sf.read(entry["sources"][1].format(data_root=librimix_folder))
        assert once[index]["target"].shape == (entry["frames"], 2)
        for item in (once[index], short[index]):
            source = item["target"][:, 1].numpy()
            assert np.corrcoef(source, samples[: len(source)])[0, 1] > 0.9999
        assert len(short[index]["mix"]) == RATE


def test_what_sounds_late_is_evaluated_where_it_sounds(write_pair):
    early, late = voice(60 * RATE), voice(60 * RATE, seed=1)
    late[: 41 * RATE] = late[43 * RATE :] = 0
    folders = write_pair(early, late)
    once, again = (mixtures(*folders, max_seconds=1.5)[0] for _ in range(2))
    assert torch.equal(once["mix"], again["mix"])
    assert once["target"].shape == (1.5 * RATE, 2)
    assert once["target"].square().mean(0).min() > 1e-6


def test_a_beginning_that_sounds_is_kept(write_pair):
    early, late = voice(60 * RATE), voice(60 * RATE, seed=1)
    late[:RATE] = 0
    target = mixtures(*write_pair(early, late), max_seconds=1.5)[0]["target"]
    assert target[:RATE, 1].std() < 1e-6
    assert np.corrcoef(target[:, 0].numpy(), early[: len(target)])[0, 1] > 0.9999


def test_summary(manifest_folder):
    lines = manifests_summary(manifest_folder, RATE).splitlines()
    assert len(lines) == 3
    assert lines[1] == "- mix_train: 4 files, 0.2 minutes"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sample_rate": 0}, "sample_rate is 0, but must be a whole number"),
        ({"sample_rate": 44100}, "16000 Hz, which is below the network's 44100 Hz"),
        ({"mode": "mid"}, "mode is 'mid', but must be one of min, max"),
        ({"mixture": "mix_single"}, "'mix_single', but must be one of mix_clean, mix_both"),
        ({"num_sources": 4}, "num_sources is 4, but must be one of 2, 3"),
        ({"train_split": "dev"}, "train_split is 'dev', but must be one of train-100, train-360"),
        ({"train_split": "train-360"}, "no folder Libri2Mix/wav8k/min/train-360/mix_clean .*https"),
        ({"num_sources": 3}, "no folder Libri3Mix/wav8k/min/train-100/mix_clean .*https"),
        ({"data_folder": "/nowhere"}, "data_folder /nowhere: no such folder"),
    ],
)
def test_bad_options_are_named(corpus, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        manifests(**{"data_folder": corpus, "save_folder": tmp_path / "save", **options})
    assert not (tmp_path / "save").exists()


def test_faults_in_the_corpus_are_named(corpus, tmp_path):
    source = next((corpus / PLACE / "s2").iterdir())
    samples = sf.read(source, dtype="int16")[0]

    def refused(message):
        with pytest.raises(InputError, match=message):
            manifests(corpus, tmp_path / "save")
        assert not (tmp_path / "save").exists()

    sf.write(source, samples[:-1], RATE)
    found = f"{len(samples) - 1} samples, but its mixture .*{source.name} has {len(samples)}"
    refused(f"s2/{source.name}: {found}")
    sf.write(source, samples, 16000)
    refused(f"s2/{source.name}: 16000 Hz, but its mixture .*{source.name} has 8000")
    sf.write(source, np.stack([samples] * 2, axis=1), RATE)
    refused(f"s2/{source.name}: 2 channels, but 1 is needed")
    source.write_bytes(b"RIFF")
    refused(f"s2/{source.name}: not a readable audio file")
    source.unlink()
    refused(f"s2/{source.name}: no such file, but .* source of .*mix_clean/{source.name}")
    for mixture in (corpus / PLACE / "mix_clean").iterdir():
        mixture.unlink()
    refused("mix_clean holds no audio file .*https")


def test_skip_prep_writes_nothing_and_a_missing_manifest_or_source_is_named(
    librimix_folder, corpus, tmp_path
):
    assert manifests("nowhere", tmp_path / "save", skip_prep=True) == {}
    with pytest.raises(InputError, match="mix_train.json: no such manifest"):
        segments(str(tmp_path / "save"), librimix_folder)
    manifests(corpus, tmp_path / "save")
    next((corpus / PLACE / "s1").iterdir()).unlink()
    with pytest.raises(InputError, match="mix_train.json names .*/s1/.*, but there is no such"):
        segments(str(tmp_path / "save"), corpus)
