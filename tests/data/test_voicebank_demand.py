import json
import re
import shutil

import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.data import (
    mixture_eval_dataset,
    mixture_train_dataset,
    prepare_voicebank_demand,
)
from bloomnet_sb.utils.errors import InputError
from tests.helpers.corpora import HELD_OUT, NOISES, SNRS_DB, TESTED, TRAINED, voicebank_demand


@pytest.fixture(scope="module")
def official(tmp_path_factory):
    return voicebank_demand(tmp_path_factory.mktemp("official"))


@pytest.fixture
def corpus(official, tmp_path):
    """A copy of the corpus to do harm to."""
    return shutil.copytree(official, tmp_path / "corpus")


def manifests(data_folder, save_folder, **options):
    prepare_voicebank_demand(str(data_folder), str(save_folder), **options)
    return {path.stem: json.loads(path.read_text()) for path in save_folder.glob("*.json")}


def speakers(manifest):
    return sorted({entry["spk_id"] for entry in manifest.values()})


def test_the_official_layout(official, tmp_path):
    written = manifests(official, tmp_path)
    expected = {"mix_train": TRAINED, "mix_valid": HELD_OUT, "mix_test": TESTED}
    assert {name: tuple(speakers(manifest)) for name, manifest in written.items()} == expected
    assert written["mix_test"]["p232_001"] == {
        "wav": "{data_root}/noisy_testset_wav/p232_001.wav",
        "sources": ["{data_root}/clean_testset_wav/p232_001.wav"],
        "frames": 48000,
        "sample_rate": 48000,
        "noise": NOISES[0],
        "snr_db": SNRS_DB[0],
        "spk_id": "p232",
    }
    mixtures = mixture_eval_dataset(str(tmp_path), str(official), "test", 60.0, 16000)
    item = mixtures[mixtures.data_ids.index("p257_002")]
    assert (item["noise"], item["snr_db"]) == (NOISES[1], SNRS_DB[1])
    assert item["mix"].shape == item["target"][:, 0].shape == (16000,)
    drawn = mixture_train_dataset(str(tmp_path), str(official), 0.5, 16000, seed=1)
    assert drawn[0, (1, 0)]["target"].shape == (8000, 1)


def test_speechbrain_s_folders_are_used_where_the_network_s_rate_allows(corpus, tmp_path):
    voicebank_demand(corpus, 16000)
    for rate, sample_rate in ((16000, 16000), (16000, 8000), (48000, 24000)):
        written = manifests(corpus, tmp_path / str(sample_rate), sample_rate=sample_rate)
        assert {e["sample_rate"] for m in written.values() for e in m.values()} == {rate}
    for folder in [*corpus.glob("*_wav")]:
        shutil.rmtree(folder)
    with pytest.raises(InputError, match="24 faults.* 16000 Hz, which is below the network's 48"):
        manifests(corpus, tmp_path / "too high", sample_rate=48000)


def test_the_56_speakers_and_others_for_validation(corpus, tmp_path):
    for path in [*corpus.glob("*trainset_28spk*")]:
        path.rename(path.with_name(path.name.replace("28spk", "56spk")))
    chosen = {28: ["p226"], 56: ["p228"]}
    written = manifests(corpus, tmp_path / "save", speakers=56, valid_speakers=chosen)
    assert speakers(written["mix_valid"]) == ["p228"]
    assert speakers(written["mix_train"]) == ["p226", "p227", "p287"]
    there = "of the 56 are p234, p237, but those of the training part are p226, p227, p228, p287"
    with pytest.raises(InputError, match=there):
        manifests(corpus, tmp_path / "other", speakers=56)
    with pytest.raises(InputError, match="speakers is 30, but must be one of 28, 56"):
        manifests(corpus, tmp_path / "other", speakers=30)


def test_log_files_may_lie_in_their_own_folder_or_be_missing(corpus, tmp_path, caplog):
    (corpus / "logfiles").mkdir()
    (corpus / "log_testset.txt").rename(corpus / "logfiles" / "log_testset.txt")
    (corpus / "log_trainset_28spk.txt").unlink()
    written = manifests(corpus, tmp_path / "save")
    assert written["mix_test"]["p232_001"]["noise"] == NOISES[0]
    assert "noise" not in written["mix_train"]["p227_001"]
    assert "no log_trainset_28spk.txt" in caplog.text
    assert "4 test pairs, but the official test part has 824" in caplog.text


def test_all_that_is_wrong_is_in_one_report(corpus, tmp_path, caplog):
    noisy, clean = corpus / "noisy_testset_wav", corpus / "clean_testset_wav"
    samples, rate = sf.read(noisy / "p232_001.wav")
    sf.write(noisy / "p232_001.wav", samples[:-1], rate)
    (clean / "p232_002.wav").unlink()
    (noisy / "p257_001.wav").unlink()
    (noisy / "p257_002.wav").write_bytes(b"RIFF")
    sf.write(corpus / "noisy_trainset_28spk_wav/p227_001.wav", np.zeros((48000, 2)), rate)
    with open(corpus / "log_testset.txt", "a") as log:
        log.write("p232_003 bus\n")
    with pytest.raises(InputError, match="6 faults"):
        manifests(corpus, tmp_path / "save")
    for fault in (
        "clean_testset_wav/p232_001.wav: 48000 samples, but its mixture",
        "clean_testset_wav/p232_002.wav: no such file, but it is needed",
        "clean_testset_wav/p257_001.wav: .*noisy_testset_wav has no file of this name",
        "noisy_testset_wav/p257_002.wav: not a readable",
        "noisy_trainset_28spk_wav/p227_001.wav: 2 channels",
        "log_testset.txt, line 5: needs an utterance, its noise and its SNR, found 'p232_003 bus'",
    ):
        assert re.search(fault, caplog.text), fault
    assert not (tmp_path / "save").exists()
    with pytest.raises(InputError, match="no folder noisy_trainset_56spk_wav .*https"):
        manifests(corpus, tmp_path / "save", speakers=56, valid_speakers={56: ["p226"]})
