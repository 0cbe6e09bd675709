"""SpeechBrain recipes for BLOOM-Net: speech enhancement whose cost is chosen while it runs."""

from bloomnet_sb.utils.torchaudio_compat import ensure_torchaudio_imports

ensure_torchaudio_imports()  # first of all: SpeechBrain imports torchaudio

from bloomnet_sb.inference.enhancer import BloomEnhancer, BloomSeparator  # noqa: E402
from bloomnet_sb.model import BloomNet  # noqa: E402
from bloomnet_sb.training.brain import BlockwiseBrain  # noqa: E402
from bloomnet_sb.training.schedule import BlockwiseSchedule  # noqa: E402
from bloomnet_sb.utils.errors import InputError  # noqa: E402

__all__ = [
    "BlockwiseBrain",
    "BlockwiseSchedule",
    "BloomEnhancer",
    "BloomNet",
    "BloomSeparator",
    "InputError",
]
