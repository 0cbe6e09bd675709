"""Damaged and hostile pretrained folders: a network that works or one clear line, and no code run.

    python -m tests.faults.fuzz_pretrained [--cases 10000] [--minutes 10] [--seed 0]

Mutates good folders, of a Conv-TasNet and of a BandRNN: bytes of both their files, tags, anchors
and values put anywhere, the hostile texts of tests/helpers/hostile.py joined and cut, pickles and
links in place of weights. Prints every finding and keeps its folder; exits with 1 if there is one.
"""

import pickle
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from bloomnet_sb import BloomEnhancer
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.errors import InputError
from tests.faults.fuzzing import Check, main, mutated
from tests.helpers.hostile import BANDS, HOSTILE, NETWORK, WRONG, WRONG_BANDS, Bomb, small_bands
from tests.helpers.networks import conv_tasnet

# What code of a stranger would do, and loading a network does not.
EVENTS = ("os.", "subprocess.", "shutil.", "socket.", "pickle.find_class", "ctypes.dlopen")
HARMLESS = ("os.listdir", "os.scandir", "os.putenv", "os.add_dll_directory", "os.fwalk", "os.walk")
TAGS = (
    *("!new:", "!name:", "!apply:", "!module:", "!include:", "!ref ", "!copy ", "!tuple "),
    *("!!binary ", "!!set ", "!!python/object/apply:", "!!python/name:", "!!python/object/new:"),
    *("!PLACEHOLDER ", "!<tag:yaml.org,2002:python/name:> "),
)
SEPARATORS = (
    *("Separator", "ConvTasNetSeparator", "DPRNNSeparator", "SepFormerSeparator", "torch"),
    *("BandRNNSeparator", "band_rnn.BandBlock"),
)
PARTS = (
    *("filterbanks.LearnedFilterbank", "filterbanks.STFTFilterbank", "filterbanks.Filterbank"),
    *("levels.NoLevel", "levels.SignalLevel", "levels.RmsLevel", "levels.LogLevel"),
)
NAMES = (
    *("os.system", "os.mkdir", "eval", "builtins.open", "subprocess.Popen", "torch.nn.Linear"),
    *("bloomnet_sb.model.BloomNet", "bloomnet_sb.cli.main"),
    *(f"bloomnet_sb.separators.{name}" for name in SEPARATORS),
    *(f"bloomnet_sb.nn.{name}" for name in PARTS),
)
VALUES = (
    *("0", "-1", "1", "2", "16", "1000000", "1000001", "9" * 20, "0x10", "1e-8", "1e400", "0o17"),
    *(".nan", ".inf", "-.inf", "null", "true", "''", "~", "many", "[]", "{}", "[1, 2]", "{a: 1}"),
    *("gLN", "BN", "cLN", "cgLN", "softmax", "relu", "sigmoid", "CANARY", "2001-01-01", "1:30:00"),
    *("66", "65", "63", "21", "48000", "0.001", "-1.0", "[24, 16]", "[a, 16]", "real", "complex"),
    *("&a", "*a", "&net", "*net", "<<:", "norm:", "causal:", "sample_rate:", "modules:", "model:"),
    *(
        "*bank",
        "&bank",
        "hop:",
        "taps:",
        "groups:",
        "linear_hz:",
        "head_channels:",
        "mask:",
        "level:",
    ),
    *("device: 5", "precision: fp8", "jit: true", "7: 8", "audio_normalizer: x", "level:"),
    *("!", "!!", "?", "|", ">", "-", ":", "#", "%", "@"),
)


def hostile_text(
    text: str, wrong: dict[str, tuple[str, str]], rng: np.random.Generator, canary: Path
) -> bytes:
    """A network's YAML with up to four changes, of bytes, words, lines, or hostile parts."""
    for _ in range(rng.integers(0, 5)):
        lines = text.split("\n")
        at, kind = int(rng.integers(len(lines))), rng.integers(0, 7)
        if kind == 0:
            lines[at:at] = HOSTILE[str(rng.choice(list(HOSTILE)))].split("\n")
        elif kind == 1:
            part, other = wrong[str(rng.choice(list(wrong)))]
            lines = text.replace(part, other).split("\n")
        elif kind == 2:
            tag = str(rng.choice(TAGS)) + str(rng.choice(NAMES))
            lines[at] = lines[at].split(":")[0] + f": {tag} {rng.choice(VALUES)}"
        elif kind == 3:
            lines[at] = lines[at].split(":")[0] + f": {rng.choice(VALUES)}"
        elif kind == 4:
            lines[at] = " " * int(rng.integers(0, 9)) + str(rng.choice(VALUES)) + " " + lines[at]
        elif kind == 5:
            lines.insert(int(rng.integers(len(lines))), lines[at])
        else:
            del lines[at]
        text = "\n".join(lines)
    data = text.replace("CANARY", str(canary)).encode(errors="surrogateescape")
    return data if rng.random() < 0.7 else mutated(data, rng, header=len(data))


def prepare() -> Check:
    """A check that loads mutations of small networks' folders, and listens to what Python does."""
    events: list[str] = []

    def listen(event: str, arguments: tuple) -> None:
        writes = event == "open" and set(str(arguments[1])) & set("wax+")
        if writes or (event.startswith(EVENTS) and event not in HARMLESS):
            events.append(f"{event} {arguments}")

    def check(case: Path, rng: np.random.Generator) -> str | None:
        canary, folder = case / "canary", case / "folder"
        model, text, wrong = networks[rng.integers(len(networks))]
        write_pretrained(model, text, folder, "a card")
        (folder / "hyperparams.yaml").write_bytes(hostile_text(text, wrong, rng, canary))
        weights = folder / "model.safetensors"
        kind = rng.random()
        if kind < 0.4:
            weights.write_bytes(mutated(weights.read_bytes(), rng, header=2000))
        elif kind < 0.45:
            weights.write_bytes(pickle.dumps(Bomb(canary)))
        elif kind < 0.5:
            weights.rename(case / "outside")
            weights.symlink_to(case / "outside")
        events.clear()
        try:
            enhancer = BloomEnhancer.from_hparams(source=str(folder))
            heard = list(events)
            result = enhancer.enhance_batch(torch.zeros(1, 400))
        except InputError as error:
            heard = list(events)
            if str(folder) not in str(error) or "\n" in str(error):
                return f"not one line that names the folder: {error}"
        else:
            if result.shape != (1, 400):
                return f"a result of shape {tuple(result.shape)}"
        return f"it did {heard}" if heard or canary.exists() else None

    networks = [
        (conv_tasnet(num_blocks=2), NETWORK, WRONG),
        (small_bands(), BANDS, WRONG_BANDS),
    ]
    with TemporaryDirectory() as folder:  # torch imports more of itself for the first of a kind
        for model, text, _ in networks:
            write_pretrained(model, text, folder, "a card")
            BloomEnhancer.from_hparams(source=folder)
    sys.addaudithook(listen)
    return check


if __name__ == "__main__":
    main(prepare, "folders")
