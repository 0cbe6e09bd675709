"""Folders that strangers might send: none of them runs code, each is refused with one line."""

import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.pretrained import loading
from bloomnet_sb.pretrained.fetching import installed_names
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.separators import ConvTasNetSeparator
from bloomnet_sb.utils.errors import InputError
from tests.helpers.hostile import BANDS, HOSTILE, NETWORK, WRONG, WRONG_BANDS, Bomb, small_bands
from tests.helpers.networks import conv_tasnet


@pytest.fixture
def folder(tmp_path):
    """A good folder, of which a part will be replaced."""
    model = conv_tasnet(num_blocks=2)
    write_pretrained(model, NETWORK, tmp_path / "good", "a card")
    return tmp_path / "good"


def refused(folder, canary=None):
    """The one line with which it is refused."""
    with pytest.raises(InputError) as caught:
        BloomEnhancer.from_hparams(source=str(folder))
    assert canary is None or not canary.exists()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_good_folder_loads(folder):
    enhancer = BloomEnhancer.from_hparams(source=str(folder))
    weights = load_file(folder / "model.safetensors")
    assert all(torch.equal(v, weights[n]) for n, v in enhancer.mods.model.state_dict().items())


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_and_runs_nothing(text, folder, tmp_path):
    canary = tmp_path / "canary"
    text = text.replace("CANARY", str(canary)) + NETWORK
    (folder / "hyperparams.yaml").write_text(text, errors="surrogateescape")
    assert "hyperparams.yaml" in refused(folder, canary)


@pytest.mark.parametrize(("part", "other"), WRONG.values(), ids=WRONG)
def test_a_network_that_cannot_be_is_refused(part, other, folder):
    assert part in NETWORK
    (folder / "hyperparams.yaml").write_text(NETWORK.replace(part, other))
    assert str(folder) in refused(folder)


@pytest.mark.parametrize(("part", "other"), WRONG_BANDS.values(), ids=WRONG_BANDS)
def test_a_network_on_bands_that_cannot_be_is_refused(part, other, folder):
    write_pretrained(small_bands(), BANDS, folder, "a card")
    BloomEnhancer.from_hparams(source=str(folder))
    assert part in BANDS
    (folder / "hyperparams.yaml").write_text(BANDS.replace(part, other))
    assert str(folder) in refused(folder)


def test_only_who_trusts_the_source_runs_its_tags(folder, tmp_path):
    canary = tmp_path / "canary"
    hostile = HOSTILE["apply"].replace("CANARY", str(canary))
    (folder / "hyperparams.yaml").write_text(hostile + NETWORK)
    assert "trust_source=True" in refused(folder, canary)
    BloomEnhancer.from_hparams(source=str(folder), trust_source=True)
    assert canary.exists()


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch"])
def test_weights_that_are_a_pickle(write, folder, tmp_path):
    canary = tmp_path / "canary"
    with open(folder / "model.safetensors", "wb") as file:
        write(Bomb(canary), file)
    assert "model.safetensors: not the weights" in refused(folder, canary)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("encoder.weight"), "encoder.weight: nothing, where the network has F32"),
        (lambda w: w.update(more=torch.zeros(2)), r"more: F32 [2], where the network has nothing"),
        (lambda w: w.update({"encoder.weight": torch.zeros(3)}), "encoder.weight: F32 [3], where"),
        (lambda w: w.update({"encoder.weight": w["encoder.weight"].half()}), "weight: F16"),
    ],
)
def test_weights_of_another_network(change, message, folder):
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors")
    assert message in refused(folder)


@pytest.mark.parametrize(
    "content", [b"", b"\xff" * 16, b"\x10" + b"\x00" * 7 + b"{}", b"\xff" * 7 + b"\x7f"]
)
def test_damaged_weights(content, folder):
    (folder / "model.safetensors").write_bytes(content)
    assert "model.safetensors: not the weights" in refused(folder)


@pytest.mark.parametrize("name", ["hyperparams.yaml", "model.safetensors"])
def test_links_out_of_the_folder_are_not_followed(name, folder, tmp_path):
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert f"{name} is a link to a file outside" in refused(folder)


@pytest.mark.parametrize("name", ["../good/hyperparams.yaml", "/etc/passwd", "sub/h.yaml", ".."])
def test_paths_out_of_the_folder_are_not_followed(name, folder):
    with pytest.raises(InputError, match="without a path|without \\.\\."):
        BloomEnhancer.from_hparams(source=str(folder), hparams_file=name)


def test_every_network_of_the_package_is_allowed():
    for name in installed_names():
        BloomEnhancer.from_hparams(source=name)


@pytest.mark.parametrize("fault", [TypeError, AttributeError])
def test_a_fault_of_a_class_is_not_the_folders(fault, folder, monkeypatch):
    def set_parts(*_, **__):
        raise fault("of the program")

    monkeypatch.setattr(ConvTasNetSeparator, "set_parts", set_parts)
    with pytest.raises(fault):
        BloomEnhancer.from_hparams(source=str(folder))


def test_a_module_that_lacks_a_package_is_not_the_folders_fault(folder, monkeypatch):
    def import_module(name):
        raise ModuleNotFoundError("No module named 'gone'", name="gone")

    monkeypatch.setattr(loading.importlib, "import_module", import_module)
    with pytest.raises(ModuleNotFoundError):
        BloomEnhancer.from_hparams(source=str(folder))
