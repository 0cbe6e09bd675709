"""Where pretrained folders are found, and what is said where they are not."""

import shutil

import pytest
from speechbrain.utils.fetching import FetchConfig

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.pretrained import fetching as sources
from bloomnet_sb.utils.errors import InputError


def test_a_network_that_came_with_the_package(pretrained, tmp_path, monkeypatch):
    installed = shutil.copytree(pretrained, tmp_path / "installed" / "small-16k")
    monkeypatch.setattr(sources, "INSTALLED", tmp_path / "installed")
    assert sources.installed_names() == ["small-16k"]
    assert sources.fetch_pretrained("small-16k")[0].parent == installed
    networks = [
        BloomEnhancer.from_hparams(source=source).mods.model
        for source in ("small-16k", str(pretrained))
    ]
    assert networks[0].fingerprint() == networks[1].fingerprint()


def test_a_revision_follows_the_at():
    with pytest.raises(InputError, match="me/model@: no revision follows the @"):
        BloomEnhancer.from_hparams(source="me/model@")


def test_a_folder_has_no_revision_however_it_is_asked_for(pretrained):
    for options in ({"revision": "v1"}, {"fetch_config": FetchConfig(revision="v1")}):
        with pytest.raises(InputError, match="a folder, which has no revision 'v1'"):
            sources.fetch_pretrained(str(pretrained), **options)


def test_a_folder_comes_before_a_network_of_its_name(pretrained, tmp_path, monkeypatch):
    shutil.copytree(pretrained, tmp_path / "convtasnet-16k")
    monkeypatch.chdir(tmp_path)
    found = sources.fetch_pretrained("convtasnet-16k")[1].resolve()
    assert found == tmp_path / "convtasnet-16k" / "model.safetensors"


def test_unusable_sources_are_named(pretrained, tmp_path):
    with pytest.raises(
        InputError, match="nowhere: neither a folder, nor a name of .*, nor a Hugging Face id"
    ):
        BloomEnhancer.from_hparams(source=str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="long: neither a folder"):  # for pathlib to ask for
        BloomEnhancer.from_hparams(source="long" * 75)
    for name in ("hyperparams.yaml", "model.safetensors"):
        folder = shutil.copytree(pretrained, tmp_path / name)
        (folder / name).unlink()
        with pytest.raises(InputError, match=f"without {name}"):
            BloomEnhancer.from_hparams(source=str(folder))
    folder = shutil.copytree(pretrained, tmp_path / "cut")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(InputError, match="not the weights of the network"):
        BloomEnhancer.from_hparams(source=str(folder))
    folder = shutil.copytree(pretrained, tmp_path / "other")
    hparams = folder / "hyperparams.yaml"
    hparams.write_text(hparams.read_text().replace("hidden_channels: 8", "hidden_channels: 9"))
    with pytest.raises(InputError, match="not the weights of the network"):
        BloomEnhancer.from_hparams(source=str(folder))


def test_a_savedir_of_another_source_is_not_taken(tmp_path):
    sizes = [
        BloomEnhancer.from_hparams(source=name, savedir=str(tmp_path)).mods.model.num_parameters()
        for name in ("convtasnet-16k", "convtasnet-causal-16k")
    ]
    assert sizes[0] != sizes[1]
