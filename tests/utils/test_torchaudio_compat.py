"""Tests of how torchaudio is imported beside a torch its extension does not fit.

Each test imports the real Python files of torchaudio in a fresh interpreter, or in
one that has imported torch and nothing else. Only the loading of the compiled extension
is simulated, so that the outcome does not depend on which builds of torch and
torchaudio are installed.
"""

import json
import os
import subprocess
import sys
import textwrap
from importlib import metadata, util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.xdist_group("torchaudio")

# Imports torch, which takes seconds, and then runs each script that it is given in a fork of
# itself.
FORKING = """
import json, os, sys, tempfile, traceback
import torch

for line in sys.stdin:
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        pid = os.fork()
        if pid == 0:
            os.dup2(output.fileno(), 1)
            os.dup2(errors.fileno(), 2)
            code = 0
            try:
                exec(compile(json.loads(line), "script", "exec"), {"__name__": "__main__"})
            except BaseException:
                traceback.print_exc()
                code = 1
            sys.stdout.flush()
            os._exit(code)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        output.seek(0)
        errors.seek(0)
        print(json.dumps([code, output.read().decode(), errors.read().decode()]), flush=True)
"""

# The extension loads, was compiled for CUDA 13.0, and has the operators that
# torchaudio looks up when it is imported.
LOADS = """
import types
import torch

torch.ops.load_library = lambda path: None
torch.ops._torchaudio = types.SimpleNamespace(
    cuda_version=lambda: 13000, is_align_available=lambda: True
)
torch.ops.torchaudio = types.SimpleNamespace(_lfilter_core_loop=None, _overdrive_core_loop=None)
torch.version.cuda = "13.0"
"""

# It needs a library that is not there, as beside a CPU build of torch.
DOES_NOT_LOAD = """
import torch

def load_library(path):
    try:
        raise OSError("libc10_cuda.so: cannot open shared object file")
    except OSError as error:
        raise OSError(f"Could not load this library: {path}") from error

torch.ops.load_library = load_library
torch.version.cuda = None
"""

OTHER_CUDA = LOADS + 'torch.version.cuda = "12.6"\n'

# What is said: at debug level to the logging, and nowhere else.
IMPORT = """
import logging
import sys
import warnings

said = []
handler = logging.Handler()
handler.emit = lambda record: said.append((record.levelname, record.getMessage()))
logging.getLogger("bloomnet_sb").addHandler(handler)
logging.getLogger("bloomnet_sb").setLevel(logging.DEBUG)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import bloomnet_sb
    # a second call has nothing to do
    bloomnet_sb.utils.torchaudio_compat.ensure_torchaudio_imports()
    imported_before = [n for n in sys.modules if n.partition(".")[0] == "torchaudio"]
    import torchaudio
caught = [w for w in caught if "torchaudio" in str(w.message)]
assert not caught, [str(w.message) for w in caught]
"""

CHECK_IMPORTED_WITHOUT = """
import math
import torch
import torchaudio
import torchaudio.compliance.kaldi
from speechbrain.inference import SpectralMaskEnhancement

((level, message),) = said
assert level == "DEBUG"
assert "\\n" not in message
for word in KEYWORDS + [torch.__version__, torchaudio.__version__]:
    assert word in message, (word, message)

assert not torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE
assert torchaudio._extension.utils is sys.modules["torchaudio._extension.utils"]
assert torchaudio.__spec__.loader is torchaudio.__loader__
assert type(torchaudio.__loader__).__module__.startswith("_frozen_importlib"), torchaudio.__loader__
seconds = torch.arange(16000) / 16000
sine = torch.sin(2 * math.pi * 440 * seconds)[None]
half = torchaudio.functional.resample(sine, 16000, 8000)
assert half.shape == (1, 8000)
assert torch.allclose(half[:, 100:-100], sine[:, ::2][:, 100:-100], atol=1e-2)
assert torchaudio.transforms.Resample(16000, 8000)(sine).shape == (1, 8000)
assert torchaudio.compliance.kaldi.fbank(sine).shape == (98, 23)
a, b = torch.tensor([1.0, 0.5]), torch.tensor([1.0, 0.0])
assert torchaudio.functional.lfilter(sine, a, b).isfinite().all()
assert torchaudio.models.ConvTasNet(num_sources=1)(sine[None]).shape == (1, 1, 16000)
try:
    torchaudio.functional.forced_align(sine[None], sine)
except RuntimeError as error:
    assert "alignment" in str(error), error
else:
    raise AssertionError("a compiled part is said to be available")
"""


def _torchaudio_has_simulated_form() -> bool:
    """Tells whether an extension is installed, in the form it has since torchaudio 2.10."""
    spec = util.find_spec("torchaudio")
    if spec is None:
        return False
    if tuple(int(part) for part in metadata.version("torchaudio").split(".")[:2]) < (2, 10):
        return False
    return any((Path(spec.origin).parent / "lib").glob("_torchaudio*"))


needs_extension = pytest.mark.skipif(
    not _torchaudio_has_simulated_form(), reason="no torchaudio >= 2.10 with an extension"
)


def _joined(parts: tuple[str, ...]) -> str:
    return "\n".join(textwrap.dedent(part) for part in parts)


def _run_fresh(*parts: str) -> subprocess.CompletedProcess:
    """Runs a script, given in parts, in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", _joined(parts)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture(scope="module")
def run():
    """Runs a script, given in parts, in an interpreter that has imported torch alone."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORKING],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )

    def run(*parts: str) -> subprocess.CompletedProcess:
        print(json.dumps(_joined(parts)), file=process.stdin, flush=True)
        return subprocess.CompletedProcess([], *json.loads(process.stdout.readline()))

    yield run
    process.stdin.close()
    process.wait(timeout=60)


@needs_extension
@pytest.mark.parametrize(
    ("simulation", "keywords"),
    [
        (DOES_NOT_LOAD, ["Could not load this library", "libc10_cuda.so"]),
        (OTHER_CUDA, ["different CUDA versions", "version 12.6", "13.0"]),
    ],
    ids=["does not load", "other CUDA version"],
)
def test_imports_without_extension(run, simulation, keywords):
    """torchaudio and SpeechBrain import and work, and one line at debug level says what is not."""
    done = run(simulation, IMPORT, f"KEYWORDS = {keywords!r}", CHECK_IMPORTED_WITHOUT)
    assert done.returncode == 0, done.stderr


@needs_extension
def test_failed_import_before(run):
    """A failed attempt to import torchaudio earlier in the process changes nothing."""
    attempt = """
    try:
        import torchaudio
    except OSError:
        pass
    else:
        raise AssertionError("torchaudio imported")
    """
    done = run(DOES_NOT_LOAD, attempt, IMPORT, "KEYWORDS = []", CHECK_IMPORTED_WITHOUT)
    assert done.returncode == 0, done.stderr


@needs_extension
def test_leaves_healthy_torchaudio_alone(run):
    """Where the extension loads, it is used, and nothing is replaced or said."""
    check = """
    assert not said, said
    assert not imported_before, imported_before
    import speechbrain
    from torchaudio._extension import utils

    assert torchaudio._extension._IS_TORCHAUDIO_EXT_AVAILABLE
    assert torchaudio._extension._IS_ALIGN_AVAILABLE
    for module in (torchaudio, torchaudio._extension, utils):
        assert module.__spec__.origin == module.__file__, module
    assert utils._load_lib.__code__.co_filename == utils.__file__
    assert torchaudio._extension._load_lib is utils._load_lib
    assert torchaudio.__spec__.loader is torchaudio.__loader__
    assert None not in [m for n, m in sys.modules.items() if n.startswith("torchaudio")]
    """
    done = run(LOADS, IMPORT, check)
    assert done.returncode == 0, done.stderr


@needs_extension
def test_leaves_imported_torchaudio_alone(run):
    """A torchaudio that was imported before stays, whatever the extension would do now."""
    before = """
    import sys
    import torchaudio

    before = {n: m for n, m in sys.modules.items() if n.startswith("torchaudio")}
    before_utils = dict(vars(sys.modules["torchaudio._extension.utils"]))
    """
    check = """
    assert not said, said
    assert all(sys.modules[name] is module for name, module in before.items())
    assert vars(sys.modules["torchaudio._extension.utils"]) == before_utils
    """
    done = run(LOADS, before, DOES_NOT_LOAD, IMPORT, check)
    assert done.returncode == 0, done.stderr


@needs_extension
@pytest.mark.parametrize(
    "error",
    ["ImportError('other')", "SyntaxError('other')", "RuntimeError('other')", "OSError('other')"],
)
def test_passes_on_other_errors(run, error):
    """An error that does not come from the loading of the extension is raised as it is."""
    simulation = f"""
    import importlib.abc
    import sys

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name, path, target=None):
            if name == "torchaudio.functional":
                raise {error}

    sys.meta_path.insert(0, Finder())
    """
    done = run(LOADS, simulation, "import bloomnet_sb, torchaudio")
    assert done.returncode == 1
    kind = error.partition("(")[0]
    assert done.stderr.strip().splitlines()[-1] == f"{kind}: other"
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("absence", ["sys.modules['torchaudio'] = None", "sys.path.clear()"])
def test_passes_on_missing_torchaudio(absence):
    """Where torchaudio is not installed, the usual error says so, once it is asked for."""
    done = _run_fresh("import sys, bloomnet_sb", absence, "print('imported')", "import torchaudio")
    assert done.returncode == 1
    assert done.stdout.strip() == "imported"
    assert done.stderr.strip().splitlines()[-1].startswith("ModuleNotFoundError: ")
    assert "torchaudio" in done.stderr.strip().splitlines()[-1]
