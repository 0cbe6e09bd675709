from importlib import import_module

import onnx
import pytest
import torch
from onnx import TensorProto, helper

from bloomnet_sb.utils.errors import InputError

pytestmark = pytest.mark.usefixtures("beside_benchmarks")


def write_stream(path, nodes, signal, out, cache, shapes):
    """A stream that hands its cache on as it is."""
    names = {signal: shapes[0], out: shapes[1], cache: [1, 4], f"{cache}_out": [1, 4]}
    values = {n: helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in names.items()}
    graph = helper.make_graph(
        [*nodes, helper.make_node("Identity", [cache], [f"{cache}_out"])],
        "stream",
        [values[signal], values[cache]],
        [values[out], values[f"{cache}_out"]],
        initializer=[
            helper.make_tensor(name, TensorProto.INT64, [1], [value])
            for name, value in (("start", 0), ("end", 256), ("axis", 1))
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save(model, str(path))
    return str(path)


@pytest.mark.parametrize("cache", ["tra_cache", "tfa_cache"])
def test_a_stream_of_spectra_that_changes_nothing(tmp_path, cache):
    shape = [1, 257, 1, 2]
    node = helper.make_node("Identity", ["mix"], ["enh"])
    path = write_stream(tmp_path / "a.onnx", [node], "mix", "enh", cache, [shape, shape])
    mix = torch.randn(5000)
    enhanced = import_module("onnx_peers").OnnxPeer(path).enhance(mix)
    torch.testing.assert_close(enhanced, mix, atol=1e-5, rtol=1e-4)


def test_a_stream_of_samples_that_changes_nothing(tmp_path):
    node = helper.make_node("Slice", ["wav_in", "start", "end", "axis"], ["wav_out"])
    path = write_stream(
        tmp_path / "a.onnx", [node], "wav_in", "wav_out", "cache_in_0", [[1, 512], [1, 256]]
    )
    mix = torch.randn(5000)
    enhanced = import_module("onnx_peers").OnnxPeer(path).enhance(mix)
    torch.testing.assert_close(enhanced, mix, atol=1e-5, rtol=1e-4)


def test_another_graph_and_a_missing_file(tmp_path):
    peers = import_module("onnx_peers")
    node = helper.make_node("Identity", ["mix"], ["enh"])
    path = write_stream(tmp_path / "a.onnx", [node], "mix", "enh", "state", [[1, 9], [1, 9]])
    with pytest.raises(InputError, match="has the inputs mix, state, but"):
        peers.OnnxPeer(path)
    with pytest.raises(InputError, match="no such file"):
        peers.OnnxPeer("none.onnx")
