"""Folders that strangers might send: none of them runs code, each is refused with one line."""

import os
import pickle

import pytest
import torch
from safetensors.torch import load_file, save_file

from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.pretrained.fetching import installed_names
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.separators import BandRNNSeparator
from bloomnet_sb.utils.errors import InputError
from tests.helpers.networks import conv_tasnet

NETWORK = """sample_rate: 16000
model: &net !new:bloomnet_sb.model.BloomNet
  filterbank: !new:bloomnet_sb.nn.filterbanks.LearnedFilterbank
    num_filters: 16
    window: 16
  separator: !new:bloomnet_sb.separators.ConvTasNetSeparator
    num_filters: 16
    bottleneck_channels: 8
    hidden_channels: 12
    layers_per_block: 2
    num_blocks: 2
modules:
  model: *net
"""
BANDS = """sample_rate: 16000
model: &net !new:bloomnet_sb.model.BloomNet
  filterbank: &bank !new:bloomnet_sb.nn.filterbanks.STFTFilterbank
    window: 64
  level: !new:bloomnet_sb.nn.levels.LogLevel
    filterbank: *bank
  separator: !new:bloomnet_sb.separators.BandRNNSeparator
    num_filters: 66
    num_bands: 21
    channels: 8
    num_blocks: 2
    groups: 2
modules:
  model: *net
"""
LAUGHS = "a0: &a0 [lol, lol]\n" + "".join(
    f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
)
MERGES = "m0: &m0 {k: v}\n" + "".join(
    f"m{n}: &m{n} {{<<: [*m{n - 1}, *m{n - 1}]}}\n" for n in range(1, 40)
)

# What is put in front of a network's YAML. CANARY is a file that code, were any run, would make.
HOSTILE = {
    "new": "x: !new:os.system\n  command: touch CANARY\n",
    "new, by place": "x: !new:os.system [touch CANARY]\n",
    "new of a builtin": "x: !new:builtins.open [CANARY, w]\n",
    "name": "x: !name:os.system\n  command: touch CANARY\n",
    "name of a bound method": "x: !name:subprocess.Popen.__init__\n",
    "apply": "x: !apply:os.system [touch CANARY]\n",
    "apply, by name": "x: !apply:subprocess.check_output\n  args: [touch, CANARY]\n",
    "apply of eval": "x: !apply:eval [\"open('CANARY', 'w')\"]\n",
    "apply of what the package imports": "x: !apply:bloomnet_sb.cli.shutil.rmtree [CANARY]\n",
    "module": "x: !module:antigravity\n",
    "include": "x: !include:CANARY\n",
    "include with a path": "x: !include:/etc/passwd\n",
    "ref": "a: touch CANARY\nx: !ref <a>\n",
    "ref with arithmetic": "x: !ref 9 ** 9 ** 9 ** 9\n",
    "refs that double": "r0: lol\n"
    + "".join(f"r{n}: !ref <r{n - 1}><r{n - 1}>\n" for n in range(1, 60)),
    "copy": "a: {b: 1}\nx: !copy <a>\n",
    "tuple": "x: !tuple (1, 2)\n",
    "placeholder": "x: !PLACEHOLDER\n",
    "python/object": "x: !!python/object/apply:os.system [touch CANARY]\n",
    "python/name": "x: !!python/name:os.system\n",
    "python/module": "x: !!python/module:os\n",
    "python/tuple": "x: !!python/tuple [1, 2]\n",
    "python/object/new": "x: !!python/object/new:os.system [touch CANARY]\n",
    "a tag by its full name": "x: !<tag:yaml.org,2002:python/object/apply:os.system>\n"
    "  [touch CANARY]\n",
    "a tag by a handle": "%TAG !e! tag:yaml.org,2002:python/object/apply:\n---\n"
    "x: !e!os.system [touch CANARY]\n",
    "nested in lists": "x: [1, [2, [{deep: !apply:os.system [touch CANARY]}]]]\n",
    "as a key": "? !apply:os.system [touch CANARY]\n: 1\n",
    "behind an anchor": "x: &x !apply:os.system [touch CANARY]\ny: *x\n",
    "in an allowed class": "x: !new:bloomnet_sb.separators.ConvTasNetSeparator\n"
    "  num_filters: !apply:os.system [touch CANARY]\n",
    "another class of the package": "x: !new:bloomnet_sb.training.checkpointer.AtomicCheckpointer\n"
    "  checkpoints_dir: CANARY\n",
    "a function of the package": "x: !new:bloomnet_sb.cli.main\n",
    "a function in the separators": "x: !new:bloomnet_sb.separators.conv_tasnet.check_positive\n",
    "an import of the separators": "x: !new:bloomnet_sb.separators.conv_tasnet.torch.load\n",
    "a relative module": "x: !new:bloomnet_sb.separators..cli.main\n",
    "a class of torch": "x: !new:torch.nn.Linear\n  in_features: 1\n  out_features: 1\n",
    "billion laughs": LAUGHS,
    "merges that double": MERGES,
    "an alias of itself": "x: &x [*x]\n",
    "nested too deeply": "x: " + "[" * 5000 + "]" * 5000 + "\n",
    "binary": "x: !!binary aGk=\n",
    "a large file": "# " + "x" * 200_000 + "\n",
    "two documents": "--- {}\n---\n",
    "not UTF-8": "x: \udcff\n",
    "an unknown anchor": "x: *nobody\n",
}

# What is put in place of a part of a network's YAML.
WRONG = {
    "a network without end": ("num_blocks: 2", "num_blocks: 999999"),
    "a network of huge layers": ("hidden_channels: 12", "hidden_channels: 999999999999"),
    "a network of large layers": ("hidden_channels: 12", "hidden_channels: 999999"),
    "dilations of a million digits": ("layers_per_block: 2", "layers_per_block: 1000000"),
    "layers without end": (
        "layers_per_block: 2\n    num_blocks: 2",
        "layers_per_block: 1000000\n    num_blocks: 1000000\n    dilation_cycle: 1",
    ),
    "a reach without end": ("layers_per_block: 2", "layers_per_block: 30"),
    "a reach without end behind a norm over time": (
        "layers_per_block: 2",
        "layers_per_block: 30\n    norm: cgLN\n    causal: true",
    ),
    "a digit too many": ("num_filters: 16\n    w", f"num_filters: {'9' * 5000}\n    w"),
    "text for a number": ("num_filters: 16\n    w", "num_filters: many\n    w"),
    "a list for a number": ("window: 16", "window: [16]"),
    "an argument that is not one": ("window: 16", "kernel_size: 16"),
    "text for the separator": ("separator: !new:bloomnet_sb.separators.Conv", "separator: Conv"),
    "a network for a number": (
        "num_filters: 16\n    w",
        "num_filters: !new:bloomnet_sb.separators.DPRNNSeparator\n    w",
    ),
    "a separator for the filterbank": (
        "nn.filterbanks.LearnedFilterbank\n    num_filters: 16\n    window: 16",
        "separators.ConvTasNetSeparator",
    ),
    "more modules": ("model: *net\n", "model: *net\n  more: 16\n"),
    "no network": ("model: *net", "model: 3"),
    "no modules": ("modules:", "others:"),
    "no sample rate": ("sample_rate: 16000", "sample_rate: fast"),
    "a list of all": ("sample_rate", "- sample_rate"),
}


# The same in a network on bands; of sizes that are made before a weight is.
WRONG_BANDS = {
    "a window without end": ("window: 64", "window: 1000000"),
    "bins without end": ("num_filters: 66", "num_filters: 1000000"),
    "bands without end": ("num_bands: 21", "num_bands: 999997"),
    "taps without end": ("channels: 8", "channels: 1000\n    taps: 1000000"),
    "a state without end": ("channels: 8", "channels: 1000\n    taps: 10000"),
    "a window that is no number": ("window: 64", "window: null"),
    "a level of nothing": ("filterbank: *bank", "filterbank: 3"),
    "a level of another": ("filterbank: *bank\n", "filterbank: *bank\n    seconds: -1.0\n"),
}


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
    model = BloomNet(
        STFTFilterbank(64), BandRNNSeparator(66, num_bands=21, channels=8, num_blocks=2, groups=2)
    )
    write_pretrained(model, BANDS, folder, "a card")
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


class Bomb:
    """A pickle that makes a file when it is read."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


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
