import json
import shutil

import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.data import prepare_librispeech_musan
from bloomnet_sb.data.manifests import load_manifest
from bloomnet_sb.utils.errors import InputError
from tests.helpers.recipes import SAMPLES

NOISE = "musan/noise/free-sound"
SPEECH = "LibriSpeech/train-clean-100"


@pytest.fixture
def corpus(tmp_path):
    """A corpus of one utterance a part and 40 noises, all of them half a second of noise."""
    sound = 0.1 * np.random.default_rng(0).standard_normal(8000)
    names = [f"{NOISE}/noise-free-sound-{number:04d}.wav" for number in range(40)]
    names += [f"LibriSpeech/{p}/1/2/{p}.flac" for p in ("train-clean-100", "dev-clean")]
    for name in (*names, "LibriSpeech/test-clean/3/4/5.flac"):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sf.write(path, sound, 16000)
    return tmp_path / "corpus"


def manifests(data_folder, save_folder, **options):
    prepare_librispeech_musan(str(data_folder), str(save_folder), **options)
    return {path.stem: json.loads(path.read_text()) for path in save_folder.glob("*.json")}


def noise_splits(written):
    return {
        name: split.removeprefix("noise_")
        for split, manifest in written.items()
        if split.startswith("noise_")
        for name in manifest
    }


def test_samples_split_as_their_list_says(tmp_path):
    written = manifests(SAMPLES, tmp_path)
    rows = (SAMPLES / "noise_split.csv").read_text().splitlines()[1:]
    listed = dict(row.rsplit("/", 1)[1].split(".flac,") for row in rows)
    assert noise_splits(written) == listed
    assert all("dev-clean" in entry["wav"] for entry in written["speech_valid"].values())
    entry = next(iter(written["speech_train"].values()))
    path = entry["wav"].replace("{data_root}", str(SAMPLES))
    assert sf.info(path).frames == entry["frames"]


def test_hashed_split_is_a_partition_and_stable(corpus, tmp_path):
    before = noise_splits(manifests(corpus, tmp_path / "before"))
    assert len(before) == 40
    assert set(before.values()) == {"train", "valid", "test"}
    added = corpus / NOISE / "another-noise.wav"
    shutil.copy(corpus / NOISE / "noise-free-sound-0000.wav", added)
    after = noise_splits(manifests(corpus, tmp_path / "after"))
    assert after.pop("another-noise")
    assert after == before


def test_names_that_are_no_text_fall_into_a_split(corpus, tmp_path):
    noise = corpus / NOISE / "noise-free-sound-0000.wav"
    try:
        noise.rename(noise.with_stem("\udce9"))
    except OSError:
        pytest.skip("the file system has no such names")
    assert "\udce9" in noise_splits(manifests(corpus, tmp_path / "save"))


def test_list_given_by_name(corpus, tmp_path):
    files = [f"{NOISE}/noise-free-sound-{number:04d}.wav" for number in range(3)]
    rows = [f"{f},{s}" for f, s in zip(files, ("test", "valid", "train"), strict=True)]
    listing = tmp_path / "list.csv"
    listing.write_text("\n".join(["file,split", *rows]))
    written = noise_splits(manifests(corpus, tmp_path / "save", noise_split=str(listing)))
    assert list(written.values()).count("train") == 1
    assert written["noise-free-sound-0000"] == "test"


def test_what_a_list_leaves_out_is_said(corpus, tmp_path, caplog):
    elsewhere = corpus / "musan" / "noise" / "sound-bible" / "a.wav"
    elsewhere.parent.mkdir()
    shutil.copy(corpus / NOISE / "noise-free-sound-0000.wav", elsewhere)
    files = [f"{NOISE}/noise-free-sound-{number:04d}.wav" for number in range(3)]
    rows = [f"{f},{s}" for f, s in zip(files, ("test", "valid", "train"), strict=True)]
    rows.append(f"{elsewhere.relative_to(corpus)},train")
    (corpus / "noise_split.csv").write_text("\n".join(["file,split", *rows]))
    assert len(noise_splits(manifests(corpus, tmp_path / "save"))) == 3
    assert "does not list 37 noises of the corpus" in caplog.text
    assert f"lists 1 files that are no audio of {NOISE}" in caplog.text


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([f"{NOISE}/missing.wav,train"], "line 2: no such file .*missing.wav"),
        ([f"{NOISE}/noise-free-sound-0000.wav,dev"], "line 2: needs a file and a split"),
        (
            [f"{NOISE}/noise-free-sound-0000.wav,{split}" for split in ("train", "test")],
            "line 3: .*0000.wav is in two splits",
        ),
        ([f"{NOISE}/noise-free-sound-0000.wav,train"], "falls into the valid split"),
    ],
)
def test_faults_in_the_list_are_named(corpus, tmp_path, rows, message):
    (corpus / "noise_split.csv").write_text("\n".join(["file,split", *rows]))
    with pytest.raises(InputError, match=message):
        manifests(corpus, tmp_path / "save")


def test_missing_folders_are_named(corpus, tmp_path):
    with pytest.raises(InputError, match="nowhere: no such folder"):
        manifests(tmp_path / "nowhere", tmp_path)
    shutil.rmtree(corpus / SPEECH)
    with pytest.raises(InputError, match=f"no folder {SPEECH} .*openslr.org/12"):
        manifests(corpus, tmp_path)
    (corpus / SPEECH).mkdir()
    with pytest.raises(InputError, match=f"{SPEECH} holds no audio file.*openslr.org/12"):
        manifests(corpus, tmp_path)
    shutil.rmtree(corpus / "musan")
    with pytest.raises(InputError, match=f"no folder {NOISE} .*openslr.org/17"):
        manifests(corpus, tmp_path)


def test_unusable_files_are_named_and_no_manifest_is_left(corpus, tmp_path):
    broken = corpus / NOISE / "broken.wav"
    for content, message in ((b"", "not a readable audio file"), (b"RIFF", "not a readable")):
        broken.write_bytes(content)
        with pytest.raises(InputError, match=f"broken.wav: {message}"):
            manifests(corpus, tmp_path / "save")
    sf.write(broken, np.zeros((0, 1)), 16000)
    with pytest.raises(InputError, match="without samples"):
        manifests(corpus, tmp_path / "save")
    sf.write(broken, np.zeros((100, 2)), 44100)
    with pytest.raises(InputError, match="broken.wav: 2 channels, but 1 is needed"):
        manifests(corpus, tmp_path / "save")
    assert not list(tmp_path.glob("save/*.partial"))


def test_all_that_is_wrong_is_in_one_report(corpus, tmp_path, caplog):
    (corpus / NOISE / "broken.wav").write_bytes(b"RIFF")
    sf.write(corpus / NOISE / "stereo.wav", np.zeros((100, 2)), 16000)
    sf.write(corpus / NOISE / "telephone.wav", np.zeros(100), 8000)
    (corpus / NOISE / "b").mkdir()
    shutil.copy(corpus / NOISE / "noise-free-sound-0001.wav", corpus / NOISE / "b")
    shutil.rmtree(corpus / "LibriSpeech" / "dev-clean")
    (corpus / "speaker_kinds.csv").write_text("speaker,kind\n1,a\n1,b\n,c\n")
    with pytest.raises(InputError, match=rf"^data_folder {corpus}: 7 faults, each named in"):
        manifests(corpus, tmp_path / "save")
    named = ("broken.wav: not", "stereo.wav: 2 channels", "telephone.wav: 8000 Hz", "b/noise-free")
    for fault in (*named, "no folder LibriSpeech/dev-clean", "line 3: speaker 1", "line 4: needs"):
        assert caplog.text.count(fault) == 1
    assert not (tmp_path / "save").exists()


def test_skip_prep_writes_nothing(tmp_path):
    assert manifests("nowhere", tmp_path, skip_prep=True) == {}


@pytest.mark.parametrize(
    "name", [f"{NOISE}/b/noise-free-sound-0001.wav", f"{SPEECH}/9/train-clean-100.flac"]
)
def test_two_files_of_one_name_are_refused(corpus, tmp_path, name):
    (corpus / name).parent.mkdir()
    shutil.copy(corpus / NOISE / "noise-free-sound-0001.wav", corpus / name)
    # Into one split, whatever their folder
    with pytest.raises(InputError, match="names are ids"):
        manifests(corpus, tmp_path / "out")


def test_capitals_and_braces_in_names(corpus, tmp_path):
    (corpus / NOISE / "noise-free-sound-0001.wav").rename(corpus / NOISE / "noise{1}.WAV")
    written = manifests(corpus, tmp_path / "out")
    split = noise_splits(written)["noise{1}"]
    found = load_manifest(tmp_path / "out", str(corpus), f"noise_{split}")
    assert found["noise{1}"]["wav"] == f"{corpus}/{NOISE}/noise{{1}}.WAV"


def test_kinds_and_categories_are_those_of_the_lists(corpus, tmp_path):
    plain = manifests(corpus, tmp_path / "plain")
    assert {e["kind"] for e in plain["speech_train"].values()} == {"speech"}
    assert {e["category"] for e in plain["noise_train"].values()} == {"noise"}
    (corpus / "speaker_kinds.csv").write_text("speaker,kind\ntrain,readers\n99,studio\n")
    listed = [f"{NOISE}/noise-free-sound-{number:04d}.wav,bells\n" for number in range(39)]
    (corpus / "noise_kinds.csv").write_text("file,category\n" + "".join(listed))
    written = manifests(corpus, tmp_path / "listed")
    (utterance,) = written["speech_train"].values()
    assert utterance["kind"] == "readers"
    (utterance,) = written["speech_test"].values()
    assert utterance["kind"] == "speech"
    noises = {k: v for name in written if "noise" in name for k, v in written[name].items()}
    categories = [entry["category"] for _, entry in sorted(noises.items())]
    assert categories == ["bells"] * 39 + ["noise"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("speaker_kinds.csv", "speaker,kind\n1,", "line 2: needs a speaker and a kind"),
        ("speaker_kinds.csv", "name;kind\n1;a", "line 1: no column 'speaker'"),
        ("speaker_kinds.csv", "speaker,kind\n1,a\n1,b", "line 3: speaker 1 has the kind b here"),
        ("noise_kinds.csv", "file,category\nno.wav,rain", "line 2: no such file .*no.wav"),
        ("noise_kinds.csv", "file,category\n\xff,rain", "line 2: not in UTF-8"),
    ],
)
def test_faults_in_the_kinds_are_named(corpus, tmp_path, name, content, message):
    (corpus / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(InputError, match=f"{name}.*{message}"):
        manifests(corpus, tmp_path / "save")


def test_the_snr_of_training_utterances_is_estimated_where_it_is_asked_for(corpus, tmp_path):
    quiet = np.repeat([0.001, 0.1], 8000) * np.random.default_rng(0).standard_normal(16000)
    sf.write(corpus / "LibriSpeech/train-clean-100/1/2/train-clean-100.flac", quiet, 16000)
    written = manifests(corpus, tmp_path / "with", estimate_snr=True)
    (entry,) = written["speech_train"].values()
    assert entry["snr_db"] == pytest.approx(37, abs=1.5)
    assert not any("snr_db" in entry for entry in written["speech_valid"].values())
    (plain,) = manifests(corpus, tmp_path / "without")["speech_train"].values()
    assert "snr_db" not in plain
