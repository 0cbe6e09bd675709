"""Pretrained folders that strangers might send: good ones, and what to put into them."""

import os
from pathlib import Path

import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.nn.filterbanks import STFTFilterbank
from bloomnet_sb.nn.levels import LogLevel
from bloomnet_sb.separators import BandRNNSeparator

# Of `tests.helpers.networks.conv_tasnet(num_blocks=2)` and of `small_bands`
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
    "nested too deeply": "x: " + "[" * 2000 + "]" * 2000 + "\n",
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
    "a name that is none": ("sample_rate", "7: 8\nsample_rate"),
    "a device": ("sample_rate", "device: 5\nsample_rate"),
    "an option of a run": ("sample_rate", "precision: fp8\nsample_rate"),
    "a truth for a number": ("window: 16", "window: true"),
    "a number for a truth": ("num_blocks: 2", "num_blocks: 2\n    causal: 1"),
    "nothing for the filterbank": ("separator: !new", "filterbank: null\n  separator: !new"),
    "no sample rate": ("sample_rate: 16000", "sample_rate: fast"),
    "a sample rate without end": ("sample_rate: 16000", "sample_rate: 100000000"),
    "a reach of hours": (
        "window: 16",
        "window: 900000\n    hop: 900000\n  level: !new:bloomnet_sb.nn.levels.NoLevel",
    ),
    "a level that takes nothing": (
        "window: 16",
        "window: 16\n  level: !new:bloomnet_sb.nn.levels.NoLevel {a: 1}",
    ),
    "text for a function": (
        "ConvTasNetSeparator\n    num_filters: 16",
        "dual_path.DualPathSeparator\n    make_path: hello\n    num_filters: 16",
    ),
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
    "a pair of three": ("channels: 8", "channels: 8\n    head_channels: [1, 2, 3]"),
    "a pair of zeros": ("channels: 8", "channels: 8\n    head_channels: [0, 0]"),
    "a pair without end": ("channels: 8", f"channels: 8\n    head_channels: [3, {10**21}]"),
    "a level of ages": ("filterbank: *bank\n", "filterbank: *bank\n    seconds: 1.0e+300\n"),
    "a pair of words": ("channels: 8", "channels: 8\n    head_channels: [a, b]"),
    "a level of nothing": ("filterbank: *bank", "filterbank: 3"),
    "a level of another": ("filterbank: *bank\n", "filterbank: *bank\n    seconds: -1.0\n"),
}


def small_bands() -> BloomNet:
    """The network of `BANDS`, with random weights."""
    torch.manual_seed(0)
    separator = BandRNNSeparator(66, num_bands=21, channels=8, num_blocks=2, groups=2)
    bank = STFTFilterbank(64)
    return BloomNet(bank, separator, LogLevel(bank)).eval()


class Bomb:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)
