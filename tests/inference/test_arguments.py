"""SpeechBrain's arguments of its pretrained interfaces: taken, or refused in one line."""

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from speechbrain.utils.fetching import FetchConfig, FetchFrom, FetchSource
from speechbrain.utils.run_opts import RunOptions

from bloomnet_sb.inference.base import BloomInterface
from bloomnet_sb.inference.enhancer import BloomEnhancer
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.errors import InputError
from tests.helpers.hostile import NETWORK
from tests.helpers.networks import conv_tasnet, interface, network
from tests.helpers.recipes import SAMPLES

NOISY = SAMPLES / "demo" / "noisy_0dB.flac"


@pytest.fixture
def folder(tmp_path):
    """A pretrained folder of two blocks."""
    write_pretrained(conv_tasnet(num_blocks=2), NETWORK, tmp_path / "net", "a card")
    return tmp_path / "net"


TAKEN = {
    "a path": lambda folder: {"source": folder},
    "SpeechBrain's source": lambda folder: {"source": FetchSource(FetchFrom.LOCAL, str(folder))},
    "savedir": lambda folder: {"savedir": folder.parent / "saved"},
    "run_opts": lambda folder: {"run_opts": {"device": "cpu", "precision": "bf16"}},
    "RunOptions": lambda folder: {"run_opts": RunOptions(device="cpu")},
    "a device of torch": lambda folder: {"run_opts": {"device": torch.device("cpu")}},
    "no device": lambda folder: {"run_opts": {"device": None}},
    "no overrides": lambda folder: {"overrides": {}, "overrides_must_match": False},
    "fetch_config": lambda folder: {"fetch_config": FetchConfig(allow_updates=True)},
    "gradients": lambda folder: {"freeze_params": False},
    "overrides of trusted folders": lambda folder: {
        "trust_source": True,
        "overrides": {"sample_rate": 16000},
    },
}
REFUSED = {
    "a file object": ({"source": io.StringIO("a: 1")}, "source is <_io.StringIO"),
    "bytes": ({"source": b"folder"}, "source is b'folder'"),
    "nothing": ({"source": None}, "source is None"),
    "a web address": ({"source": FetchSource(FetchFrom.URI, "http://a.b/c")}, "source is Fetch"),
    "no such folder": ({"source": FetchSource(FetchFrom.LOCAL, "gone/away")}, "no such folder"),
    "YAML for its name": ({"hparams_file": io.StringIO("a: 1")}, "hparams_file is <_io.StringIO"),
    "a path for its name": ({"hparams_file": "../net/hyperparams.yaml"}, "without a path"),
    "a revision of a folder": ({"revision": "main"}, "a folder, which has no revision 'main'"),
    "overrides": ({"overrides": {"sample_rate": 8000}}, "overrides are for trust_source=True"),
    "overrides of no key": (
        {"overrides": {"rate": 8000}, "trust_source": True},
        "hyperparams.yaml: ",
    ),
    "overrides that are no YAML": ({"overrides": "a: [", "trust_source": True}, "params.yaml: "),
    "options that are none": ({"run_opts": "cpu"}, "run_opts is 'cpu', but must be a dict"),
    "an unknown option": ({"run_opts": {"devise": "cpu"}}, "run_opts has 'devise', but takes"),
    "a device that is none": ({"run_opts": {"device": 0}}, "device is 0, but must be a name"),
    "a device that is not there": ({"run_opts": {"device": "cuda:77"}}, "device is 'cuda:77'"),
    "torch.jit": ({"run_opts": {"jit": True}}, "run_opts, jit: "),
    "torch.compile": ({"run_opts": {"compile": True}}, "run_opts, compile: "),
    "a precision that is none": ({"run_opts": {"precision": "fp8"}}, "precision is 'fp8'"),
    "half precision here": ({"run_opts": {"precision": "fp16", "device": "cpu"}}, "is for GPUs"),
}


@pytest.mark.parametrize("options", TAKEN.values(), ids=TAKEN)
def test_what_is_taken(options, folder):
    enhancer = BloomEnhancer.from_hparams(**{"source": str(folder)} | options(folder))
    assert enhancer.mods.model.fingerprint() == conv_tasnet(num_blocks=2).fingerprint()
    assert enhancer.enhance_batch(torch.zeros(1, 400)).shape == (1, 400)


@pytest.mark.parametrize(("options", "told"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused(options, told, folder):
    with pytest.raises(InputError) as caught:
        BloomEnhancer.from_hparams(**{"source": str(folder)} | options)
    assert told in str(caught.value) and "\n" not in str(caught.value)


def test_overrides_of_a_trusted_folder_count(folder):
    options = {"source": folder, "trust_source": True, "overrides": "sample_rate: 8000"}
    assert BloomInterface.from_hparams(**options).sample_rate == 8000


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.int32])
def test_numbers_of_numpy(kind):
    enhancer, mix = interface(network("causal BN")), torch.randn(1, 800)
    expected = enhancer.enhance_batch(mix, blocks=2)
    assert torch.equal(enhancer.enhance_batch(mix, blocks=kind(2)), expected)
    enhancer.blocks = kind(2)
    assert type(enhancer.blocks) is int
    assert torch.equal(enhancer.enhance_batch(mix), expected)
    assert enhancer.stream(kind(1)).blocks == 1


@pytest.mark.parametrize("blocks", [np.float64(2), np.bool_(True), torch.tensor(2), 2.0, "2"])
def test_what_is_no_number_of_blocks(blocks):
    with pytest.raises(InputError, match="blocks is .*, but this network has 1 to 3 blocks"):
        interface(network("BN")).enhance_batch(torch.zeros(1, 800), blocks=blocks)


@pytest.mark.parametrize("network_name", ["BN", "causal sources"])
def test_file_objects_are_refused(network_name, tmp_path):
    one = interface(network(network_name))
    process = one.enhance_file if network_name == "BN" else one.separate_file
    with open(NOISY, "rb") as file:
        for given in ((file,), (io.BytesIO(file.read()),), (NOISY, io.BytesIO()), (3,)):
            with pytest.raises(InputError, match="but must be the path of a file"):
                process(*given)
    assert not list(Path(tmp_path).iterdir())


def test_what_a_folder_cautions_against_is_said_in_one_line(folder, caplog):
    BloomEnhancer.from_hparams(folder)
    assert not caplog.records
    with open(folder / "hyperparams.yaml", "a") as file:
        file.write('caution: "harms clean speech\\ngrossly"\n')
    BloomEnhancer.from_hparams(folder)
    assert [record.getMessage() for record in caplog.records] == [
        f"{folder}: harms clean speech\\ngrossly"
    ]
