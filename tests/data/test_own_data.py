import json
import shutil

import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.data import Augmentation, own_eval_dataset, own_train_dataset, prepare_own_data
from bloomnet_sb.scoring.trials import TestPart
from bloomnet_sb.utils.errors import InputError

RATE = 16000
SPEAKERS = [f"speaker {letter}" for letter in "abcdefgh"]
SPLITS = ("train", "valid", "test")
NOISE = {"noise_folder": "noise"}


def sound(seconds=0.5, channels=1, rate=RATE, seed=0):
    return 0.1 * np.random.default_rng(seed).standard_normal((int(seconds * rate), channels))


@pytest.fixture
def corpus(tmp_path):
    """Clean speech, noise, noisy speech and a room, as someone may have them."""
    folder = tmp_path / "corpus"
    files = {f"clean/all/{name}/1.flac": (1, RATE) for name in SPEAKERS}
    files |= {
        "clean/all/speaker a/Größe {2}.WAV": (2, 44100),
        "clean/all/speaker b/2.ogg": (1, RATE),
    }
    files |= {f"noise/{kind}/{n}.wav": (4, 48000) for kind in ("cafe", "bus") for n in range(3)}
    files["rooms/hall.wav"] = (2, 48000)
    for number, (name, (channels, rate)) in enumerate(files.items()):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, sound(channels=channels, rate=rate, seed=number), rate)
    for name in [name for name in files if name.startswith("clean")]:
        samples, rate = sf.read(folder / name, always_2d=True)
        path = (folder / name.replace("clean/", "noisy/")).with_suffix(".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, samples + sound(len(samples) / rate, samples.shape[1], rate), rate)
    return folder


def manifests(data_folder, save_folder, **options):
    prepare_own_data(str(data_folder), str(save_folder), **options)
    return {path.stem: json.loads(path.read_text()) for path in save_folder.glob("*.json")}


def by_split(written, kind, key):
    return [{e.get(key) for e in written[f"{kind}_{split}"].values()} for split in SPLITS]


def names(written, kind):
    return sorted(name for split in SPLITS for name in written[f"{kind}_{split}"])


def test_folders_of_speech_noise_and_rooms(corpus, tmp_path):
    written = manifests(corpus, tmp_path / "save", **NOISE, rir_folder="rooms")
    assert len(written) == 7
    assert len(names(written, "speech")) == 10
    assert "all/speaker a/Größe {2}" in names(written, "speech")
    speakers = by_split(written, "speech", "spk_id")
    assert sorted(name for split in speakers for name in split) == SPEAKERS
    assert set.union(*by_split(written, "noise", "category")) == {"cafe", "bus"}
    folders = str(tmp_path / "save"), str(corpus)
    augment = Augmentation(RATE, reverb=1.0)
    drawn = own_train_dataset(*folders, 0.25, (0, 5), RATE, 1, augment)
    for place in range(len(drawn)):
        assert drawn[place, (1, place)]["mix"].shape == (RATE // 4,)
    assert not augment.rooms
    item = own_eval_dataset(*folders, "test", 10.0, (0, 5), RATE)[0]
    assert item["noise"] in written["noise_test"]


def test_several_channels_are_averaged(corpus, tmp_path):
    silent_left = np.concatenate([np.zeros((8000, 1)), sound()], axis=1)
    for path in (corpus / "clean" / "all").rglob("1.flac"):
        sf.write(path, silent_left, RATE)
    manifests(corpus, tmp_path / "save", **NOISE)
    drawn = own_train_dataset(str(tmp_path / "save"), str(corpus), 0.25, (0, 5), RATE, 1)
    assert all(drawn[n, (1, n)]["target"].any() for n in range(len(drawn)))


def test_pairs_and_then_speech_and_noise_in_the_same_folder(corpus, tmp_path, caplog):
    (corpus / "noisy/all/speaker b/2.wav").unlink()
    written = manifests(corpus, tmp_path / "save", noisy_folder="noisy")
    assert sorted(written) == ["mix_test", "mix_train", "mix_valid"]
    assert len(names(written, "mix")) == 9
    assert "no noisy recording of all/speaker b/2, left out" in caplog.text
    folders = str(tmp_path / "save"), str(corpus)
    drawn = own_train_dataset(*folders, 0.25, (0, 5), RATE, 1)
    assert drawn[0, (1, 0)]["target"].shape == (RATE // 4, 1)
    assert own_eval_dataset(*folders, "valid", 10.0, (0, 5), RATE)[0]["mix"].shape == (RATE // 2,)
    written = manifests(corpus, tmp_path / "save", **NOISE)
    assert not any(name.startswith("mix") for name in written)


def test_names_that_are_no_text_are_names(corpus, tmp_path):
    for path in [*corpus.glob("clean/*/*/1.flac"), *corpus.rglob("noise/*/*.wav")]:
        try:
            path.rename(path.with_stem(path.stem + "\udce9"))
        except OSError:
            pytest.skip("the file system has no such names")
    written = manifests(corpus, tmp_path / "save", **NOISE)
    item = own_eval_dataset(str(tmp_path / "save"), str(corpus), "test", 10.0, (0, 5), RATE)[0]
    assert item["id"] in written["speech_test"] and item["id"].endswith("\udce9")
    part = TestPart(str(tmp_path / "save"), str(corpus), "test", RATE)
    assert [trial.noise for trial in part.noises()] == sorted(written["noise_test"])


def test_lists_decide_speakers_and_splits(corpus, tmp_path, caplog):
    rows = [f"all/{name}/1.flac;{split};{person}" for name, split, person in
            zip(SPEAKERS, (*SPLITS, *SPLITS), "uvwxyz", strict=False)]  # fmt: skip
    (tmp_path / "speech.csv").write_text("file;split;speaker\n" + "\n".join(rows), "utf-16")
    (tmp_path / "noise.csv").write_bytes(
        "\ufefffile,category\nbus/0.wav,öffentlich\nbus/1.wav,b\ncafe/1.wav,c\n".encode()
    )
    lists = {"speech_list": str(tmp_path / "speech.csv"), "noise_list": str(tmp_path / "noise.csv")}
    written = manifests(corpus, tmp_path / "save", **NOISE, **lists)
    assert by_split(written, "speech", "spk_id") == [{"u", "x"}, {"v", "y"}, {"w", "z"}]
    assert set.union(*by_split(written, "noise", "category")) == {"öffentlich", "b", "c"}
    assert "speech.csv does not list all/speaker" in caplog.text


def test_what_was_trained_on_is_not_tested_on_later(corpus, tmp_path):
    """Who is for what depends on all speakers: where one goes, another may take the place."""
    before = manifests(corpus, tmp_path / "save", **NOISE)
    (tested,) = before["speech_test"]
    shutil.rmtree(corpus / "clean" / tested.rpartition("/")[0])
    with pytest.raises(InputError, match="has heard them; --skip_prep goes on"):
        manifests(corpus, tmp_path / "save", **NOISE)
    shutil.rmtree(tmp_path / "save")
    after = manifests(corpus, tmp_path / "save", **NOISE)
    assert before["speech_train"].keys() & after["speech_valid"].keys()


def test_speakers_that_a_list_names_in_part_are_a_fault(corpus, tmp_path):
    rows = [f"all/{name}/1.flac,{'anna' if name < 'speaker d' else ''}" for name in SPEAKERS]
    (tmp_path / "speech.csv").write_text("file,speaker\n" + "\n".join(rows))
    with pytest.raises(InputError, match="names the speaker of some, but not of all/speaker d/1"):
        manifests(corpus, tmp_path / "save", **NOISE, speech_list=str(tmp_path / "speech.csv"))


def moved_below(corpus, folder_of):
    """The clean speech with each speaker in a further folder."""
    for name in SPEAKERS:
        place = corpus / "clean" / "all" / folder_of(name)
        place.mkdir(exist_ok=True)
        (corpus / "clean" / "all" / name).rename(place / name)


def test_folders_named_after_splits_are_the_splits(corpus, tmp_path):
    folders = {"speaker a": "test-clean", "speaker b": "Dev"}
    moved_below(corpus, lambda name: folders.get(name, "trainset_6"))
    splits = [set(SPEAKERS[2:]), {"speaker b"}, {"speaker a"}]
    written = manifests(corpus, tmp_path / "save", **NOISE)
    assert by_split(written, "speech", "spk_id") == splits


@pytest.mark.parametrize("others", ["more", "test"])
def test_folders_of_which_some_are_named_after_splits_are_refused(corpus, tmp_path, others):
    moved_below(corpus, lambda name: "train" if name < "speaker d" else others)
    line = f"^speech: the folders {', '.join(sorted([others, 'train']))} .*--speech_list .*split"
    with pytest.raises(InputError, match=line):
        manifests(corpus, tmp_path / "save", **NOISE)
    rows = [f"all/{'train' if name < 'speaker d' else others}/{name}/1.flac,{split}"
            for name, split in zip(SPEAKERS, (*SPLITS, *SPLITS), strict=False)]  # fmt: skip
    (tmp_path / "speech.csv").write_text("file,split\n" + "\n".join(rows))
    listed = {"speech_list": str(tmp_path / "speech.csv")}
    assert len(names(manifests(corpus, tmp_path / "save", **NOISE, **listed), "speech")) == 6


def test_speakers_whose_names_begin_like_splits_are_speakers(corpus, tmp_path):
    folders = dict(zip(SPEAKERS, ["Devon", "Testa", "Valentina", "Evalyn"], strict=False))
    for name, other in folders.items():
        (corpus / "clean/all" / name).rename(corpus / "clean/all" / other)
    written = manifests(corpus, tmp_path / "save", **NOISE)
    speakers = by_split(written, "speech", "spk_id")
    assert set.union(*speakers) == {*folders.values(), *SPEAKERS[4:]}


def test_few_speakers_and_noises_are_in_all_splits_with_a_warning(corpus, tmp_path, caplog):
    for name in SPEAKERS[1:]:
        shutil.rmtree(corpus / "clean" / "all" / name)
    shutil.copy(corpus / "clean/all/speaker a/1.flac", corpus / "clean/all/speaker a/3.flac")
    shutil.rmtree(corpus / "noise" / "bus")
    (corpus / "noise" / "cafe" / "0.wav").unlink()
    written = manifests(corpus, tmp_path / "save", **NOISE)
    assert names(written, "speech") == [
        "all/speaker a/1",
        "all/speaker a/3",
        "all/speaker a/Größe {2}",
    ]
    assert written["noise_train"] == written["noise_valid"] == written["noise_test"]
    assert "noise: 2 files, so that the same are in training" in caplog.text
    (corpus / "clean/all/speaker a/3.flac").unlink()
    with pytest.raises(InputError, match="2 recordings that can be used, but 3 are needed"):
        manifests(corpus, tmp_path / "other", **NOISE)


def test_all_that_is_wrong_is_in_one_report(corpus, tmp_path, caplog):
    speaker = corpus / "clean" / "all" / "speaker a"
    sf.write(speaker / "telephone.wav", sound(rate=8000), 8000)
    sf.write(speaker / "silent.wav", np.zeros(100), RATE)
    sf.write(speaker / "nan.wav", np.full(100, np.nan), RATE, "FLOAT")
    (speaker / "1.flac").write_bytes((speaker / "1.flac").read_bytes()[:-4000])
    shutil.copy(speaker / "silent.wav", speaker / "silent.aiff")
    (speaker / "notes.txt").write_text("loud")
    (tmp_path / "noise.csv").write_text(
        "file,split\nbus/9.wav,train\nbus/1.wav,dev\nbus/2.wav,test\n"
    )
    with pytest.raises(InputError, match="^the recordings: 8 faults, each named in the report"):
        manifests(
            corpus, tmp_path / "save", **NOISE, rir_folder="no", noise_list=tmp_path / "noise.csv"
        )
    for fault in (
        "telephone.wav: 8000 Hz, which is below the network's 16000 Hz; to have it upsampled, set",
        "silent.aiff: silent from beginning to end",
        "nan.wav: holds NaN",
        "1.flac: ",
        "silent.wav: has the name of",
        "noise.csv, line 2: no audio file",
        "noise.csv, line 3: split is dev",
        f"rir_folder {corpus / 'no'}: no such folder",
    ):
        assert fault in caplog.text, fault
    assert not (tmp_path / "save").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "noisy_folder .* is needed, but neither is given"),
        ({**NOISE, "noisy_folder": "noisy"}, "is needed, but both"),
        (
            {"noisy_folder": "noisy", "rir_folder": "rooms"},
            "rir_folder is rooms, but recordings of",
        ),
        ({**NOISE, "clean_folder": "nowhere"}, "clean_folder .*nowhere: no such folder"),
        ({**NOISE, "speech_list": "no.csv"}, "no.csv: No such file"),
        ({"noise_folder": "."}, "both in clean_folder and in noise_folder: .*speaker a/1.flac"),
        ({"noisy_folder": "clean"}, "both in clean_folder and in noisy_folder"),
        ({"noise_folder": ["a", "b"]}, "noise_folder is .'a', 'b'., but must be one folder"),
        ({**NOISE, "clean_folder": None}, "clean_folder is None, but must be one folder"),
    ],
)
def test_options_that_cannot_be_are_named(corpus, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        manifests(corpus, tmp_path / "save", **options)


def test_lower_rates_are_taken_where_it_is_allowed(corpus, tmp_path):
    sf.write(corpus / "clean" / "all" / "speaker a" / "8k.wav", sound(rate=8000), 8000)
    written = manifests(corpus, tmp_path, **NOISE, allow_upsampling=True)
    assert "all/speaker a/8k" in names(written, "speech")


def test_what_was_listened_to_is_not_read_again(corpus, tmp_path, monkeypatch):
    first = manifests(corpus, tmp_path / "save", **NOISE)
    monkeypatch.setattr("bloomnet_sb.data.listening.read_audio", None)
    monkeypatch.chdir(corpus)
    for folder in (corpus, ".", "../corpus"):
        assert manifests(folder, tmp_path / "save", **NOISE) == first


def test_what_was_listened_to_elsewhere_is_listened_to(corpus, tmp_path):
    manifests(corpus, tmp_path / "save", **NOISE)
    moved = shutil.copytree(corpus, tmp_path / "moved")
    sf.write(moved / "clean/all/speaker a/1.flac", np.zeros(len(sound())), RATE)
    with pytest.raises(InputError, match="moved/clean/all/speaker a/1.flac: silent"):
        manifests(moved, tmp_path / "save", **NOISE)


def test_what_was_not_listened_to_is_not_taken_for_good(corpus, tmp_path):
    sf.write(corpus / "clean/all/speaker a/silent.wav", np.zeros(100), RATE)
    manifests(corpus, tmp_path / "save", **NOISE, listen=False)
    with pytest.raises(InputError, match="silent.wav: silent from beginning to end"):
        manifests(corpus, tmp_path / "save", **NOISE)


def test_what_training_hears_as_silence_is_named(corpus, tmp_path, caplog):
    inverted = sound() * [1, -1]
    sf.write(corpus / "clean" / "inverted.wav", inverted, RATE)
    sf.write(corpus / "clean" / "constant.wav", np.full(100, -0.25), RATE)
    sf.write(corpus / "rooms" / "inverted.wav", inverted, RATE)
    sf.write(corpus / "rooms" / "right.wav", inverted * [0, 1], RATE)
    with pytest.raises(InputError, match="3 faults"):
        manifests(corpus, tmp_path / "save", **NOISE, rir_folder="rooms")
    for name in ("clean/inverted", "clean/constant", "rooms/right"):
        assert f"{corpus / name}.wav: silent from beginning to end" in caplog.text
