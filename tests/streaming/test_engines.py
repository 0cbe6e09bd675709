import logging
import pickle
import shutil

import pytest
import soundfile as sf
import torch

from bloomnet_sb.nn.levels import RmsLevel
from bloomnet_sb.pretrained.saving import write_pretrained
from bloomnet_sb.utils.errors import InputError
from tests.helpers.command import bloomnet
from tests.helpers.networks import band_rnn, conv_tasnet, interface, readmes_gru
from tests.helpers.recipes import SAMPLES
from tests.helpers.streams import in_chunks, streamed

pytestmark = [
    pytest.mark.xdist_group("compiled"),
    pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler"),
]


def past_frames_and_means():
    """Each kind of state that a Conv-TasNet has, in two blocks alike, which are compiled once."""
    sizes = {"num_blocks": 2, "layers_per_block": 1, "norm": "cgLN", "causal": True}
    model = conv_tasnet(RmsLevel(50), **sizes)
    first, second = model.separator.blocks
    second.load_state_dict(first.state_dict())
    return model


# What `past_frames_and_means` makes, for the command
HPARAMS = """
sample_rate: 16000
model: !new:bloomnet_sb.model.BloomNet
  filterbank: !new:bloomnet_sb.nn.filterbanks.LearnedFilterbank {num_filters: 16, window: 16}
  level: !new:bloomnet_sb.nn.levels.RmsLevel {window: 50}
  separator: !new:bloomnet_sb.separators.ConvTasNetSeparator
    {num_filters: 16, bottleneck_channels: 8, hidden_channels: 12, num_blocks: 2,
     layers_per_block: 1, norm: cgLN, causal: True}
"""


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inductor")
    # Neither whether the compiler knows this CPU is tested here nor how fast kernels are called.
    quickly = torch._inductor.config.patch(
        {"cpp.vec_isa_ok": True, "aot_inductor.compile_wrapper_opt_level": "O0"}
    )
    with pytest.MonkeyPatch.context() as patch, quickly:
        patch.setenv("TORCHINDUCTOR_CACHE_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def convolutional(cache):
    enhancer = interface(past_frames_and_means())
    enhancer.stream(compiled=True)
    return enhancer


@pytest.fixture(scope="module")
def noisy():
    samples, _ = sf.read(SAMPLES / "demo" / "noisy_0dB.flac", dtype="float32", frames=8000)
    return torch.from_numpy(samples)


@pytest.mark.parametrize("sizes", [[], [160] * 20, [1, 7, 0, 900, 3, 2000]])
@pytest.mark.parametrize("blocks", [1, 2])
def test_compiled_it_gives_the_offline_output(convolutional, noisy, sizes, blocks):
    out = streamed(convolutional.stream(blocks=blocks, compiled=True), noisy, sizes)
    whole = convolutional.enhance_batch(noisy[None], blocks=blocks)[0]
    torch.testing.assert_close(out, whole, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("recurrent", "num_blocks"), [(band_rnn, 2), (readmes_gru, 1)])
def test_compiled_a_recurrent_network_gives_the_offline_output(
    cache, noisy, recurrent, num_blocks, recwarn, caplog
):
    """Its block computes frames one by one; two that differ in weights alone have one code."""
    enhancer, before = interface(recurrent(num_blocks=num_blocks)), set(cache.rglob("*.pt2"))
    for blocks in range(1, num_blocks + 1):
        stream = enhancer.stream(blocks=blocks, compiled=True)
        assert stream.facts.most_frames == 1
        whole = enhancer.enhance_batch(noisy[None], blocks=blocks)[0]
        torch.testing.assert_close(streamed(stream, noisy, [160] * 20), whole, atol=1e-5, rtol=0)
    made = set(cache.rglob("bloomnet_sb/*/*.pt2")) - before
    assert {file.stem for file in made} == {"block1", "decode1", "enter"}
    assert not recwarn.list
    said = [record.name for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == ["bloomnet_sb.streaming.compiled_code"]


def test_changes_of_depth_are_those_of_the_eager_stream(convolutional, noisy):
    outputs = []
    for compiled in (False, True):
        stream = convolutional.stream(compiled=compiled, wait_seconds=0.05)
        pieces = []
        for blocks, piece in zip((1, 2, 1, 2), noisy.split(2000), strict=True):
            stream.blocks = blocks
            pieces.append(in_chunks(stream, piece))
        outputs.append(torch.cat(pieces))
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-5, rtol=0)


def test_compiled_streams_do_not_disturb_each_other(convolutional, noisy):
    alone = streamed(convolutional.stream(compiled=True), noisy, [])
    first, second = convolutional.stream(compiled=True), convolutional.stream(compiled=True)
    pieces = []
    for chunk in noisy.split(500):
        pieces.append(first.process(chunk))
        second.process(-chunk)
    torch.testing.assert_close(torch.cat([*pieces, first.flush()]), alone, atol=1e-5, rtol=0)


def test_the_code_is_kept_for_the_same_weights_only(convolutional, cache):
    kept = sorted(cache.rglob("bloomnet_sb/*/*.pt2"))
    assert {"block1", "decode1", "enter"} <= {file.stem for file in kept}
    other = past_frames_and_means()
    with torch.no_grad():
        other.encoder.weight.mul_(2)
    with torch._inductor.config.patch("cpp.cxx", ("no-such-compiler",)):
        interface(past_frames_and_means()).stream(compiled=True)
        with pytest.raises(InputError, match="C\\+\\+ compiler .*no-such-compiler"):
            interface(other).stream(compiled=True)
    assert sorted(cache.rglob("bloomnet_sb/*/*.pt2")) == kept
    assert not list(cache.rglob("*.partial"))


def test_the_command_runs_what_was_compiled(convolutional, cache, tmp_path, monkeypatch):
    """Unless it is told not to."""
    network = tmp_path / "network"
    write_pretrained(convolutional.mods.model, HPARAMS, network, "A card.")
    noisy = SAMPLES / "demo" / "noisy_0dB.flac"
    live = ["live", "--source", network, "--input", noisy, "--speed", "full", "--output"]
    eager = bloomnet(*live, tmp_path / "eager.wav", "--no-compiled")
    assert eager.returncode == 0, eager.stderr
    monkeypatch.setattr("bloomnet_sb.inference.base.EagerEngine", None)
    result = bloomnet(*live, tmp_path / "compiled.wav", "--blocks", 2)
    assert result.returncode == 0, result.stderr


def test_what_was_compiled_is_no_part_of_a_copy(convolutional, noisy):
    copied = pickle.loads(pickle.dumps(convolutional))
    whole = convolutional.enhance_batch(noisy[None])[0]
    out = streamed(copied.stream(compiled=True), noisy, [])
    torch.testing.assert_close(out, whole, atol=1e-5, rtol=0)


def test_compiled_batches_are_refused(convolutional):
    with pytest.raises(InputError, match="batch_size is 2, but a compiled stream takes one"):
        convolutional.stream(batch_size=2, compiled=True)


@pytest.mark.parametrize(
    "option, message",
    [
        ({"batch_size": 2}, "batch_size is 2"),
        ({"strength": 2.0}, "strength is 2.0"),
        ({"fade_seconds": 0}, "fade_seconds is 0"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_compiled(cache, option, message):
    enhancer = interface(band_rnn(num_blocks=1))
    no_compiler = torch._inductor.config.patch("cpp.cxx", ("no-such-compiler",))
    with no_compiler, pytest.raises(InputError, match=message):
        enhancer.stream(compiled=True, **option)
