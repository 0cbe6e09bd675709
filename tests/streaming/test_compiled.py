import shutil

import pytest
import soundfile as sf
import torch

from bloomnet_sb.model import BloomNet
from bloomnet_sb.separators import ConvTasNetSeparator
from bloomnet_sb.utils.errors import InputError
from tests.conftest import SAMPLES
from tests.inference.test_enhancer import interface
from tests.streaming.test_stream import in_chunks, streamed

pytestmark = pytest.mark.xdist_group("compiled")
compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")


def make_model():
    """A network with every kind of state: past frames, a fading level, cumulative means."""
    torch.manual_seed(0)
    separator = ConvTasNetSeparator(16, 8, 12, 3, 1, 2, norm="cgLN", causal=True)
    return BloomNet(separator, 16, kernel_size=16, level_window=50).eval()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inductor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def enhancer(cache):
    enhancer = interface(make_model())
    enhancer.stream(compiled=True)
    return enhancer


@pytest.fixture(scope="module")
def noisy():
    samples, _ = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32", frames=8000)
    return torch.from_numpy(samples)


@compiler
@pytest.mark.parametrize("sizes", [[], [160] * 20, [1, 7, 0, 900, 3, 2000]])
@pytest.mark.parametrize("blocks", [1, 2])
def test_it_gives_the_offline_output(enhancer, noisy, sizes, blocks):
    out = streamed(enhancer.stream(blocks=blocks, compiled=True), noisy, sizes)
    whole = enhancer.enhance_batch(noisy[None], blocks=blocks)[0]
    torch.testing.assert_close(out, whole, atol=1e-4, rtol=0)


@compiler
def test_changes_of_depth_are_those_of_the_plain_stream(enhancer, noisy):
    outputs = []
    for compiled in (False, True):
        stream = enhancer.stream(compiled=compiled)
        pieces = []
        for blocks, piece in zip((1, 2, 1, 2), noisy.split(2000), strict=True):
            stream.blocks = blocks
            pieces.append(in_chunks(stream, piece))
        outputs.append(torch.cat(pieces))
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-5, rtol=0)


@compiler
def test_streams_do_not_disturb_each_other(enhancer, noisy):
    alone = streamed(enhancer.stream(compiled=True), noisy, [])
    first, second = enhancer.stream(compiled=True), enhancer.stream(compiled=True)
    pieces = []
    for chunk in noisy.split(500):
        pieces.append(first.process(chunk))
        second.process(-chunk)
    torch.testing.assert_close(torch.cat([*pieces, first.flush()]), alone, atol=1e-5, rtol=0)


@compiler
def test_the_code_is_kept_for_the_same_weights_only(enhancer, cache):
    (kept,) = (cache / "bloomnet_sb").iterdir()
    names = ["block1", "block2", "decode1", "decode2", "enter"]
    assert sorted(file.name for file in kept.iterdir()) == [f"{name}.pt2" for name in names]
    other = make_model()
    with torch.no_grad():
        other.encoder.weight.mul_(2)
    with torch._inductor.config.patch("cpp.cxx", ("no-such-compiler",)):
        interface(make_model()).stream(compiled=True)
        with pytest.raises(InputError, match="C\\+\\+ compiler .*no-such-compiler"):
            interface(other).stream(compiled=True)
    assert not [file for file in cache.rglob("*.partial")]


@compiler
def test_batches_are_refused(enhancer):
    with pytest.raises(InputError, match="batch_size is 2, but a compiled stream takes one"):
        enhancer.stream(batch_size=2, compiled=True)
