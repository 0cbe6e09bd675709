"""Imports torchaudio without its compiled extension where that does not load.

torchaudio's Linux wheels carry an extension compiled for one CUDA version. It
does not load beside a CPU build of torch (``OSError``), and it refuses a torch
built for another CUDA version (``RuntimeError``). Either error stops
``import torchaudio`` and with it ``import speechbrain``, although SpeechBrain
needs only the Python parts of torchaudio, which work without the extension.
"""

import sys
import warnings
from importlib import import_module
from traceback import walk_tb
from types import ModuleType
from typing import Any

import torch

_EXTENSION = "torchaudio._extension"
_LOADER = "torchaudio._extension.utils"


def ensure_torchaudio_imports() -> None:
    """Imports torchaudio, without its compiled extension where it must.

    Where torchaudio imports by itself, or has been imported before, nothing is
    changed. Where its extension does not load, torchaudio is imported once more
    the way it imports where no library file was installed, and one warning says
    so. No file is changed.

    Raises
    ------
    ImportError
        If torchaudio is not installed. This error, and any other that does not
        come from the loading of the extension, is passed on as it is.

    Example
    -------
    >>> ensure_torchaudio_imports()
    >>> import torch, torchaudio
    >>> torchaudio.functional.resample(torch.zeros(1, 160), 16000, 8000).shape
    torch.Size([1, 80])
    """
    try:
        import_module("torchaudio")
    except (OSError, RuntimeError) as error:
        modules = {frame.f_globals.get("__name__") for frame, _ in walk_tb(error.__traceback__)}
        # The loader was imported before it failed, and outlasts the failed import.
        if modules.isdisjoint((_EXTENSION, _LOADER)) or _LOADER not in sys.modules:
            raise
        torchaudio = _import_without_extension()
        reason = str(error).rstrip(". ")
        if error.__cause__ is not None:
            reason += f" ({error.__cause__})"
        cuda = f"CUDA {torch.version.cuda}" if torch.version.cuda else "no CUDA"
        warnings.warn(
            f"torchaudio {getattr(torchaudio, '__version__', '(unknown version)')} could not load "
            f"its compiled extension beside torch {torch.__version__} ({cuda}): {reason}. It was "
            "imported without the extension: its Python parts, which are all that SpeechBrain "
            "needs, work; its compiled parts (forced_align, rnnt_loss, the CUDA CTC decoder) are "
            "unavailable. To be rid of this warning, install the torchaudio build made for this "
            "build of torch (CPU only, or the same CUDA version).",
            RuntimeWarning,
            stacklevel=2,
        )


def _import_without_extension() -> ModuleType:
    """Imports torchaudio as if its library files were not there.

    Returns
    -------
    ModuleType
        The module ``torchaudio``.
    """
    loader: Any = sys.modules[_LOADER]
    for name in list(sys.modules):
        if name.partition(".")[0] == "torchaudio":
            del sys.modules[name]
    loader._load_lib = lambda lib: False  # what it returns where there is no file
    sys.modules[_LOADER] = loader
    # Up to torchaudio 2.9 it is looked for as a module first; None hides it.
    sys.modules["torchaudio.lib._torchaudio"] = None  # type: ignore[assignment]
    torchaudio = import_module("torchaudio")
    torchaudio._extension.utils = loader  # as an ordinary import would have left it
    return torchaudio
