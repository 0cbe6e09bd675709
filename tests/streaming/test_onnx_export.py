import importlib
import json
import shutil
import subprocess
import sys
from functools import cache
from itertools import product

import numpy as np
import pytest
import soundfile as sf
import torch

from bloomnet_sb.nn.levels import RmsLevel
from bloomnet_sb.streaming import onnx_stream
from bloomnet_sb.streaming.onnx_stream import OnnxStream
from bloomnet_sb.utils.errors import InputError
from tests.helpers import exports  # noqa: F401
from tests.helpers.networks import band_rnn, conv_tasnet, interface, network
from tests.helpers.recipes import run_python

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxscript", reason="the extra `export` is not installed")
from bloomnet_sb.streaming.onnx_export import export_onnx  # noqa: E402

pytestmark = pytest.mark.xdist_group("export")

# Past frames, a level, means, several sources, and no padding; a recurrence and an STFT; the
# backbone that shows how to add one
NAMES = ("sources", "BandRNN", "README's GRU")
# Chunk lengths and, before some of them, another number of blocks.
STEPS = [(160, None), (1, 1), (500, None), (3000, None), (160, 2), (37, None), (900, 1), (0, None)]
STEPS += [(2500, 2), (700, 1), (4000, None)]


@cache
def enhancer(name):
    torch.manual_seed(0)
    if name == "BandRNN":
        return interface(band_rnn(num_blocks=2).eval())
    if name == "README's GRU":
        return interface(network(name))
    sizes = {"layers_per_block": 1, "num_blocks": 2, "causal": True}
    sources = conv_tasnet(
        RmsLevel(50), 20, 7, False, norm="cgLN", num_sources=2, skip_channels=6, **sizes
    )
    return interface(sources.eval())


def export(exporting, folder, int8=False):
    export_onnx(exporting.mods.model, exporting.sample_rate, folder, int8)


def test_what_onnx_has_for_operators_is_read_once(tmp_path, monkeypatch):
    """And torch's exporter is left as it was."""
    registry = importlib.import_module("torch.onnx._internal.exporter._registration").ONNXRegistry
    read, reads = registry.from_torchlib, []

    def counted(cls, **options):
        reads.append(options)
        return read(**options)

    monkeypatch.setattr(registry, "from_torchlib", patched := classmethod(counted))
    export(interface(band_rnn(num_blocks=1)), tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.onnx"))) == 3
    assert len(reads) == 1
    assert vars(registry)["from_torchlib"] is patched


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def exported(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "out"
    export(enhancer(name), folder)
    return folder


@cache
def small():
    """One block of convolutions."""
    return interface(conv_tasnet(RmsLevel(), norm="BN", causal=True, num_blocks=1))


@pytest.fixture(scope="module")
def exported_int8(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "int8"
    export(small(), folder, int8=True)
    return folder


@pytest.fixture
def noisy(noisy_file):
    return sf.read(noisy_file, dtype="float32")[0]


def streamed(stream, noisy, steps, as_input=np.asarray):
    out, at = [], 0
    for size, blocks in steps:
        if blocks is not None:
            stream.blocks = blocks
        out.append(np.asarray(stream.process(as_input(noisy[at : at + size]))))
        at += size
    return np.concatenate([*out, np.asarray(stream.flush())])


def test_it_streams_as_torch_does_changes_of_depth_included(name, exported, noisy):
    ours = streamed(OnnxStream(exported), noisy, STEPS)
    expected = streamed(enhancer(name).stream(), noisy, STEPS, torch.from_numpy)
    assert len(ours) == sum(size for size, _ in STEPS)
    np.testing.assert_allclose(ours, expected, atol=1e-4)


def test_the_noisy_signal_keeps_its_share(name, exported, noisy):
    if enhancer(name).mods.model.num_sources > 1:
        with pytest.raises(ValueError, match="are for enhancement"):
            OnnxStream(exported, strength=0.5)
        return
    enhanced = streamed(OnnxStream(exported), noisy, [(8000, None)])
    out = streamed(OnnxStream(exported, attenuation_limit_db=6), noisy, [(8000, None)])
    share = 10 ** (-6 / 20)
    np.testing.assert_allclose(out, (1 - share) * enhanced + share * noisy[:8000], atol=1e-6)


def test_any_length_at_any_depth(name, exported, noisy):
    stream = OnnxStream(exported)
    for blocks, length in product((1, 2), (0, 1, 5, 16, 17, 100, 2000)):
        stream.blocks = blocks
        stream.reset()
        out = streamed(stream, noisy, [(length, None)])
        assert len(out) == length
        if length:
            whole = torch.from_numpy(noisy[None, :length])
            with torch.no_grad():
                expected = enhancer(name).mods.model.estimate(whole, blocks)[0].squeeze(-1)
            np.testing.assert_allclose(out, expected, atol=1e-4)


def test_the_files(exported):
    names = {path.name for path in exported.iterdir()}
    graphs = {f"{kind}{depth}.onnx" for kind in ("block", "decode") for depth in (1, 2)}
    others = {"enter.onnx", "manifest.json", "states.npz"}
    modules = ("onnx_stream", "frame_stream", "depth_switch", "noisy_share", "wav_files")
    others |= {f"{name}.py" for name in modules}
    assert names == graphs | others
    assert not list(exported.parent.glob(".*"))


def test_the_folder_streams_by_itself_without_torch(name, exported, tmp_path, noisy):
    sf.write(tmp_path / "noisy.wav", noisy, 16000, subtype="PCM_16")
    code = (
        "import runpy, sys; sys.modules['torch'] = sys.modules['bloomnet_sb'] = None; "
        f"sys.path.insert(0, {str(exported)!r}); "
        f"sys.argv[0] = {str(exported / 'onnx_stream.py')!r}; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    arguments = [tmp_path / "noisy.wav", tmp_path / "out.wav", "--blocks", "2", "--strength", "1"]
    result = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    with torch.no_grad():
        whole = torch.from_numpy(noisy)[None]
        expected = enhancer(name).mods.model.estimate(whole, blocks=2)[0].clamp(-1, 1)
    written = ["out.wav"] if expected.shape[1] == 1 else ["out_1.wav", "out_2.wav"]
    for file, source in zip(written, expected.T, strict=True):
        out, rate = sf.read(tmp_path / file, dtype="float32")
        assert rate == 16000
        np.testing.assert_allclose(out, source, atol=2e-4)


def test_a_users_files_of_the_same_names_are_left_alone(tmp_path):
    for name in ("frame_stream", "depth_switch", "noisy_share", "wav_files"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a file of the user')")
    command = [sys.executable, "-c", "import bloomnet_sb.streaming.onnx_stream"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_runner_refuses_in_one_line(exported_int8, tmp_path):
    sf.write(tmp_path / "stereo.wav", np.zeros((100, 2)), 8000)
    runner = exported_int8 / "onnx_stream.py"
    result = run_python(runner, tmp_path / "stereo.wav", tmp_path / "no.wav")
    assert result.returncode == 2
    assert "8000 Hz, 2 channels; must be 16000 Hz, 1 channel" in result.stderr
    assert not (tmp_path / "no.wav").exists()


def test_a_part_that_is_missing_is_named(exported_int8, tmp_path):
    shutil.copytree(exported_int8, tmp_path / "folder")
    (tmp_path / "folder" / "block1.onnx").unlink()
    result = run_python(tmp_path / "folder" / "onnx_stream.py", "a.wav", tmp_path / "no.wav")
    assert result.returncode == 2
    assert "block1.onnx: cannot be read (No such file or directory)" in result.stderr


@pytest.mark.parametrize("file", ["manifest.json", "states.npz", "decode1.onnx"])
@pytest.mark.parametrize("content", [b"", b"{}", b"\x00" * 400])
def test_a_part_that_is_damaged_is_named(exported_int8, tmp_path, file, content):
    shutil.copytree(exported_int8, tmp_path / "folder")
    (tmp_path / "folder" / file).write_bytes(content)
    with pytest.raises(ValueError, match=f"{file} is damaged .*export the network anew"):
        OnnxStream(tmp_path / "folder")


def test_int8_is_near(exported_int8, noisy):
    assert json.loads((exported_int8 / "manifest.json").read_text())["int8"]
    steps = [(size, None) for size, _ in STEPS]
    out = streamed(OnnxStream(exported_int8), noisy, steps)
    expected = streamed(small().stream(), noisy, steps, torch.from_numpy)
    error = np.square(out - expected).mean() / np.square(expected).mean()
    assert 0 < error < 0.05


@pytest.fixture
def run_exported(exported_int8, monkeypatch, capsys):
    """Run the command of the folder; what it exits with, and its last line."""

    def run(*arguments):
        given = ["onnx_stream.py", *map(str, arguments), "--folder", str(exported_int8)]
        monkeypatch.setattr(sys, "argv", given)
        try:
            onnx_stream.main()
        except SystemExit as end:
            return end.code, capsys.readouterr().err.splitlines()[-1]
        return 0, capsys.readouterr().err

    return run


@pytest.mark.parametrize(("subtype", "container"), [("FLOAT", "WAV"), ("PCM_24", "WAVEX")])
def test_the_folders_command_takes_wav_of_any_depth(
    run_exported, noisy, tmp_path, subtype, container
):
    sf.write(tmp_path / "noisy.wav", noisy[:8000], 16000, subtype, format=container)
    assert run_exported(tmp_path / "noisy.wav", tmp_path / "deeper" / "out.wav") == (0, "")
    written = sf.info(tmp_path / "deeper" / "out.wav")
    assert (written.frames, written.subtype == "FLOAT") == (8000, subtype == "FLOAT")


def test_the_folders_command_loses_nothing(run_exported, noisy, tmp_path):
    sf.write(tmp_path / "noisy.wav", noisy[:8000], 16000)
    sf.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 16000, "FLOAT")
    sf.write(tmp_path / "wide.wav", np.zeros((10, 2)), 8000)
    sf.write(tmp_path / "noisy.flac", noisy[:8000], 16000)
    (tmp_path / "link.wav").symlink_to("noisy.wav")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    for noisy_name, name, message in (
        ("noisy.wav", "nan.wav", "is there already; with --force"),
        ("noisy.wav", "noisy.wav", "is the input"),
        ("noisy.wav", "link.wav", "is the input"),
        ("link.wav", "noisy.wav", "is the input"),
        ("noisy.wav", "new.flac", "the result is a WAV file"),
        ("noisy.flac", "new.wav", "no WAV file; convert it to one first"),
        ("nan.wav", "new.wav", "holds NaN"),
        ("wide.wav", "new.wav", "8000 Hz, 2 channels; must be 16000 Hz, 1 channel"),
        ("nowhere.wav", "new.wav", "cannot be read (No such file or directory)"),
    ):
        force = ["--force"] if "input" in message else []
        code, line = run_exported(tmp_path / noisy_name, tmp_path / name, *force)
        assert (code, message in line) == (2, True), line
        assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    assert run_exported(tmp_path / "noisy.wav", tmp_path / "nan.wav", "--force") == (0, "")


def test_a_folder_that_is_no_export(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder that `bloomnet export` wrote"):
        OnnxStream(tmp_path)


@pytest.mark.parametrize("chunk", [np.zeros(160, np.int16), [0, 1], np.array([0.0, np.nan])])
def test_chunks_that_are_none(exported_int8, chunk):
    with pytest.raises(ValueError, match="a chunk "):
        OnnxStream(exported_int8).process(chunk)


def test_onnxruntime_1_17_knows_the_files(exported_int8):
    for path in exported_int8.glob("*.onnx"):
        assert onnx.load(path, load_external_data=False).ir_version <= 9


def test_wrong_blocks(exported_int8):
    with pytest.raises(ValueError, match="1 to 1 blocks"):
        OnnxStream(exported_int8, blocks=2)


def test_a_folder_that_holds_something(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not empty"):
        export(small(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_network_that_cannot_stream(tmp_path):
    with pytest.raises(InputError, match="a causal network"):
        export(interface(network("gLN")), tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file: is a file"):
        export(small(), tmp_path / "file")
