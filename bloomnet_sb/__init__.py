"""SpeechBrain recipes for BLOOM-Net speech enhancement."""

from bloomnet_sb._torchaudio import ensure_torchaudio_imports

ensure_torchaudio_imports()  # first of all: SpeechBrain imports torchaudio
