"""SpeechBrain recipes for BLOOM-Net: speech enhancement whose cost is chosen while it runs."""

from importlib import import_module
from typing import TYPE_CHECKING

from bloomnet_sb.utils.torchaudio_compat import ensure_torchaudio_imports

if TYPE_CHECKING:
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.inference.separator import BloomSeparator
    from bloomnet_sb.model import BloomNet
    from bloomnet_sb.training.brain import BlockwiseBrain
    from bloomnet_sb.training.schedule import BlockwiseSchedule
    from bloomnet_sb.utils.errors import InputError

__version__ = "0.1.0"  # setup.py reads it here

__all__ = [
    "BlockwiseBrain",
    "BlockwiseSchedule",
    "BloomEnhancer",
    "BloomNet",
    "BloomSeparator",
    "InputError",
]

# Where each is defined: imported when it is asked for, since torch and SpeechBrain take seconds.
_MODULES = {
    "BlockwiseBrain": "bloomnet_sb.training.brain",
    "BlockwiseSchedule": "bloomnet_sb.training.schedule",
    "BloomEnhancer": "bloomnet_sb.inference.enhancer",
    "BloomNet": "bloomnet_sb.model",
    "BloomSeparator": "bloomnet_sb.inference.separator",
    "InputError": "bloomnet_sb.utils.errors",
}

ensure_torchaudio_imports()  # first of all: SpeechBrain imports torchaudio


def __getattr__(name: str) -> object:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
