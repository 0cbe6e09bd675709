"""Imports torchaudio without its compiled extension where that does not load.

torchaudio's Linux wheels carry an extension compiled for one CUDA version. It
does not load beside a CPU build of torch (``OSError``), and it refuses a torch
built for another CUDA version (``RuntimeError``). Either error stops
``import torchaudio`` and with it ``import speechbrain``, although SpeechBrain
needs only the Python parts of torchaudio, which work without the extension.

Here is a hook for the import of torchaudio, whoever asks for it first. Until
then it costs nothing: neither torch nor torchaudio is imported.
"""

import logging
import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from traceback import walk_tb
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)

_EXTENSION = "torchaudio._extension"
_LOADER = "torchaudio._extension.utils"


def ensure_torchaudio_imports() -> None:
    """Has torchaudio, when it is imported, do without its extension where it must.

    Where torchaudio imports by itself, or has been imported before, nothing is
    changed. Where its extension does not load, torchaudio is imported the way it
    imports where no library file was installed, and a line at debug level says
    so. No file is changed. A second call has nothing to do.

    Raises
    ------
    ImportError
        By ``import torchaudio``, not here, if torchaudio is not installed. This
        error, and any other that does not come from the loading of the
        extension, is passed on as it is.

    Example
    -------
    >>> ensure_torchaudio_imports()
    >>> import torch, torchaudio
    >>> torchaudio.functional.resample(torch.zeros(1, 160), 16000, 8000).shape
    torch.Size([1, 80])
    """
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Finds torchaudio where Python would, and has `_Import` import it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != "torchaudio":
            return None
        for finder in sys.meta_path:
            if finder is not self and (spec := finder.find_spec(fullname, path, target)):
                if spec.loader is not None:
                    spec.loader = _Import(spec.loader)
                return spec
        return None


class _Import(Loader):
    """The import of torchaudio by its own loader, and once more where the extension fails."""

    def __init__(self, loader: Loader):
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self.loader  # as an ordinary import leaves it
        module.__loader__ = self.loader
        try:
            self.loader.exec_module(module)
        except (OSError, RuntimeError) as error:
            modules = {frame.f_globals.get("__name__") for frame, _ in walk_tb(error.__traceback__)}
            # What loads it was imported before it failed, and outlasts the failed import.
            if modules.isdisjoint((_EXTENSION, _LOADER)) or _LOADER not in sys.modules:
                raise
            self._exec_without_extension(module)
            _log(module, error)

    def _exec_without_extension(self, module: ModuleType) -> None:
        """Runs torchaudio as if its library files were not there."""
        utils: Any = sys.modules[_LOADER]
        for name in list(sys.modules):
            if name.startswith("torchaudio."):
                del sys.modules[name]
        utils._load_lib = lambda lib: False  # what it returns where there is no file
        sys.modules[_LOADER] = utils
        # Up to torchaudio 2.9 it is looked for as a module first; None hides it.
        sys.modules["torchaudio.lib._torchaudio"] = None  # type: ignore[assignment]
        self.loader.exec_module(module)
        sys.modules[_EXTENSION].utils = utils  # type: ignore[attr-defined]  # as usual


def _log(torchaudio: ModuleType, error: Exception) -> None:
    import torch  # torchaudio has imported it by now

    reason = f"{error} ({error.__cause__})" if error.__cause__ else str(error)
    logger.debug(
        "torchaudio %s was imported without its compiled extension, which SpeechBrain does not "
        "need, since it did not load beside torch %s: %s",
        getattr(torchaudio, "__version__", "(unknown version)"),
        torch.__version__,
        " ".join(reason.split()),
    )
