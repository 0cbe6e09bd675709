"""SpeechBrain recipes for BLOOM-Net: speech enhancement whose cost is chosen while it runs."""

from bloomnet_sb._torchaudio import ensure_torchaudio_imports

ensure_torchaudio_imports()  # first of all: SpeechBrain imports torchaudio

from bloomnet_sb.brain import BlockwiseBrain  # noqa: E402
from bloomnet_sb.errors import InputError  # noqa: E402
from bloomnet_sb.inference import BloomEnhancer, BloomSeparator  # noqa: E402
from bloomnet_sb.model import BloomNet  # noqa: E402
from bloomnet_sb.schedule import BlockwiseSchedule  # noqa: E402

__all__ = [
    "BlockwiseBrain",
    "BlockwiseSchedule",
    "BloomEnhancer",
    "BloomNet",
    "BloomSeparator",
    "InputError",
]
