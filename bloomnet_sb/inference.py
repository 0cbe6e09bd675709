"""Enhancing audio with a trained network and as many blocks as asked for."""

from pathlib import Path

import numpy as np
import soundfile as sf
import torch
from hyperpyyaml import load_hyperpyyaml
from safetensors import SafetensorError
from safetensors.torch import load_file
from speechbrain.inference.interfaces import Pretrained
from speechbrain.utils.fetching import fetch
from torchaudio.functional import resample

from bloomnet_sb.data.audio import audio_info, read_audio
from bloomnet_sb.errors import InputError, check_blocks
from bloomnet_sb.files import written_whole
from bloomnet_sb.profiling import DepthProfile, profile_depths

HPARAMS_FILE = "hyperparams.yaml"
WEIGHTS_FILE = "model.safetensors"


class BloomEnhancer(Pretrained):
    """A trained BLOOM-Net, ready to enhance speech with any number of its blocks.

    Made by `BloomEnhancer.from_hparams`. An output has its input's length and level.

    Attributes
    ----------
    blocks : int
        How many blocks run where a call does not say; at first all.

    Example
    -------
    >>> from bloomnet_sb.model import BloomNet
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> model = BloomNet(ConvTasNetSeparator(num_filters=16, num_blocks=2), num_filters=16)
    >>> enhancer = BloomEnhancer({"model": model}, {"sample_rate": 16000})
    >>> enhancer.enhance_batch(torch.randn(1, 16000), blocks=1).shape
    torch.Size([1, 16000])
    >>> enhancer.enhance_file("tests/samples/demo/noisy_0dB.flac").shape
    torch.Size([99587])
    """

    HPARAMS_NEEDED = ["sample_rate"]
    MODULES_NEEDED = ["model"]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.sample_rate = self.hparams.sample_rate
        self._blocks = self.num_blocks

    @classmethod
    def from_hparams(
        cls, source: str, hparams_file: str = HPARAMS_FILE, savedir: str | None = None, **kwargs
    ) -> "BloomEnhancer":
        """Load a `pretrained` folder, as a recipe leaves it.

        Arguments
        ---------
        source : str
            A folder with hyperparams.yaml and model.safetensors, or the id of such a repository
            on the Hugging Face hub.
        hparams_file : str
            Another name for hyperparams.yaml.
        savedir : str, optional
            Where links to what was fetched go. Default: no links, and the hub's own cache.
        **kwargs
            Arguments of SpeechBrain's `Pretrained`, such as `run_opts={"device": "cuda"}`.

        Returns
        -------
        BloomEnhancer
            The enhancer.

        Raises
        ------
        InputError
            If there is no such folder or repository, a file is missing, or the weights are not
            those of the network in hyperparams.yaml.
        """
        hparams_path = _fetch(hparams_file, source, savedir)
        weights_path = _fetch(WEIGHTS_FILE, source, savedir)
        with open(hparams_path, encoding="utf-8") as file:
            hparams = load_hyperpyyaml(file)
        _load_weights(hparams["modules"]["model"], weights_path)
        return cls(modules=hparams["modules"], hparams=hparams, **kwargs)

    @property
    def num_blocks(self) -> int:
        """The number of blocks that the network has, L."""
        return self.mods.model.num_blocks

    @property
    def blocks(self) -> int:
        """How many blocks run where a call does not say."""
        return self._blocks

    @blocks.setter
    def blocks(self, blocks: int) -> None:
        self._blocks = check_blocks(blocks, self.num_blocks)

    def enhance_batch(
        self,
        noisy: torch.Tensor,
        lengths: torch.Tensor | None = None,
        blocks: int | None = None,
    ) -> torch.Tensor:
        """Enhance a batch of noisy waveforms.

        Arguments
        ---------
        noisy : torch.Tensor
            Waveforms [batch, time] at the network's sample rate.
        lengths : torch.Tensor, optional
            Length of each, as a share of `time`. Each waveform is then run by itself without its
            padding, so that its result does not depend on what it is padded to; the padding comes
            back as zeros.
        blocks : int, optional
            How many blocks run. Default: `self.blocks`.

        Returns
        -------
        torch.Tensor
            Enhanced waveforms [batch, time].

        Raises
        ------
        InputError
            If `blocks` is no number of blocks of this network, or `noisy` is not [batch, time] or
            holds NaN or infinite samples.
        """
        blocks = self.blocks if blocks is None else check_blocks(blocks, self.num_blocks)
        noisy = noisy.to(self.device)
        if not torch.isfinite(noisy).all():
            raise InputError("noisy holds NaN or infinite samples")
        if lengths is None:
            return self._estimate(noisy, blocks)
        enhanced = torch.zeros_like(noisy)
        for index, length in enumerate((lengths * noisy.shape[1]).round().int().tolist()):
            enhanced[index, :length] = self._estimate(noisy[index : index + 1, :length], blocks)[0]
        return enhanced

    def forward(
        self,
        noisy: torch.Tensor,
        lengths: torch.Tensor | None = None,
        blocks: int | None = None,
    ) -> torch.Tensor:
        """The same as `enhance_batch`."""
        return self.enhance_batch(noisy, lengths, blocks)

    def enhance_file(
        self,
        filename: str | Path,
        output_filename: str | Path | None = None,
        blocks: int | None = None,
    ) -> torch.Tensor:
        """Enhance an audio file of any rate, number of channels and format that soundfile reads.

        The channels are enhanced one by one, at the network's sample rate: what lies above half
        of it is lost.

        Arguments
        ---------
        filename : str or Path
            The file.
        output_filename : str or Path, optional
            Where the result goes, in the format of this name's suffix, with the input's rate,
            channels, length and, where the format has it, sample type. It appears when it is
            complete.
        blocks : int, optional
            How many blocks run. Default: `self.blocks`.

        Returns
        -------
        torch.Tensor
            The enhanced signal at the file's rate: [time], or [time, channels] where there are
            several.

        Raises
        ------
        InputError
            If the file cannot be read or holds NaN, the result cannot be written, or `blocks` is
            no number of blocks of this network.
        """
        info = audio_info(filename)
        noisy = torch.from_numpy(read_audio(filename)).t().to(self.device)
        at_network_rate = resample(noisy, info.samplerate, self.sample_rate)
        enhanced = self.enhance_batch(at_network_rate, blocks=blocks)
        enhanced = resample(enhanced, self.sample_rate, info.samplerate)
        # Resampling there and back may give some samples more; never fewer.
        samples = enhanced[:, : noisy.shape[1]].t().cpu()
        if output_filename is not None:
            _write_audio(Path(output_filename), samples.numpy(), info)
        return samples.squeeze(1)

    def profile(self) -> list[DepthProfile]:
        """What each number of blocks costs on this device.

        Returns
        -------
        list of DepthProfile
            For each number of blocks: parameters in use, multiply-accumulates per second of
            audio, measured real-time factor.
        """
        return profile_depths(self.mods.model, self.sample_rate)

    def _estimate(self, noisy: torch.Tensor, blocks: int) -> torch.Tensor:
        with torch.inference_mode(), self.inference_ctx:
            return self.mods.model.estimate(noisy, blocks)[..., 0].float()


def _fetch(filename: str, source: str, savedir: str | None) -> Path:
    folder = Path(source)
    if folder.is_dir():
        if not (folder / filename).is_file():
            raise InputError(f"{source}: a pretrained folder without {filename}")
    elif folder.exists() or folder.is_absolute() or str(source).count("/") != 1:
        raise InputError(f"{source}: neither a folder nor a Hugging Face id such as name/model")
    try:
        return fetch(filename, source, savedir=savedir)
    except Exception as error:  # the hub's client has a dozen kinds; all mean that there is none
        reason = str(error).strip().splitlines()[0]
        raise InputError(
            f"{source}: no such folder, and {filename} could not be fetched from the Hugging Face "
            f"hub ({reason})"
        ) from error


def _load_weights(model: torch.nn.Module, path: Path) -> None:
    try:
        model.load_state_dict(load_file(path))
    except (RuntimeError, SafetensorError, OSError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{path}: not the weights of the network in {HPARAMS_FILE} ({reason})"
        ) from error


def _write_audio(path: Path, samples: np.ndarray, info: sf._SoundFileInfo) -> None:
    extension = path.suffix[1:].upper()
    if extension not in sf.available_formats():
        raise InputError(f"{path}: cannot write {path.suffix or 'a file without suffix'}")
    subtype = info.subtype if sf.check_format(extension, info.subtype) else None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_whole(path) as partial:
            sf.write(partial, samples, info.samplerate, format=extension, subtype=subtype)
    except (sf.SoundFileError, OSError) as error:
        raise InputError(f"{path}: cannot be written ({error})") from error
