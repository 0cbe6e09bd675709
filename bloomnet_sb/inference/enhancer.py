"""Enhancing speech with a trained network and as many blocks as asked for."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bloomnet_sb.inference.amount import Amount
from bloomnet_sb.inference.files import FileInterface, in_memory, write_all
from bloomnet_sb.inference.rows import enhance_rows
from bloomnet_sb.streaming.resampled_stream import checked_stream_rate
from bloomnet_sb.utils.audio_files import audio_info, writing
from bloomnet_sb.utils.audio_formats import AudioInfo
from bloomnet_sb.utils.errors import InputError, check_path, check_samples
from bloomnet_sb.utils.resampling import check_rate


class BloomEnhancer(FileInterface):
    """A trained BLOOM-Net, ready to enhance speech with any number of its blocks.

    Made by `BloomEnhancer.from_hparams`. An output has its input's length and level.

    Attributes
    ----------
    blocks : int
        How many blocks run where a call does not say; at first all.
    window_seconds : float
        A longer file is enhanced in windows of at most this length.

    Example
    -------
    >>> from bloomnet_sb.model import BloomNet
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> model = BloomNet(LearnedFilterbank(16), ConvTasNetSeparator(16, num_blocks=2))
    >>> enhancer = BloomEnhancer({"model": model}, {"sample_rate": 16000})
    >>> enhancer.enhance_batch(torch.randn(1, 16000), blocks=1).shape
    torch.Size([1, 16000])
    >>> enhancer.enhance_file("tests/samples/demo/noisy_0dB.flac").shape
    torch.Size([99587])
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        sources = self.mods.model.num_sources
        if sources != 1:
            raise InputError(f"this network separates {sources} sources; use BloomSeparator")

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
            Length of each, as a share of `time`. A waveform is then run without its padding,
            beside those of its length only: its result does not depend on what it is padded to.
            The padding comes back as zeros.
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
        return self._estimate_batch(noisy, lengths, blocks)[..., 0]

    def forward(
        self,
        noisy: torch.Tensor | Mapping[str, Any],
        lengths: torch.Tensor | None = None,
        blocks: int | None = None,
    ) -> torch.Tensor | dict[str, Any]:
        """The same as `enhance_batch`; or, for rows of a table, the rows with enhanced recordings.

        So that `dataset.map(enhancer)` of Hugging Face's datasets and `dataset.map_batches` of Ray
        Data enhance, with `enhancer.blocks` blocks; see `bloomnet_sb.inference.rows.enhance_rows`.

        Example
        -------
        >>> enhancer = BloomEnhancer.from_hparams(source="convtasnet-16k")
        >>> row = {"amplitude": np.zeros((1, 16000)), "sample_rate": 16000, "path": "a.wav"}
        >>> enhancer(row)["amplitude"].shape
        (1, 16000)
        """
        if isinstance(noisy, Mapping):
            return enhance_rows(noisy, partial(self.enhance_array, blocks=blocks))
        return self.enhance_batch(noisy, lengths, blocks)

    def enhance_array(
        self, noisy: np.ndarray, sample_rate: int, blocks: int | None = None
    ) -> np.ndarray:
        """Enhance a recording that is in memory, of any length, rate and number of channels.

        Arguments
        ---------
        noisy : numpy.ndarray
            Samples [time] or [channels, time].
        sample_rate : int
            Their rate, in Hz.
        blocks : int, optional
            How many blocks run. Default: `self.blocks`.

        Returns
        -------
        numpy.ndarray
            Enhanced samples of the same shape and rate, float32, as `enhance_file` gives them.

        Raises
        ------
        InputError
            If the samples are of another shape, none, or NaN, or an argument cannot be.

        Example
        -------
        >>> enhancer = BloomEnhancer.from_hparams(source="convtasnet-16k")
        >>> enhancer.enhance_array(np.zeros((2, 48000), np.float32), 48000).shape
        (2, 48000)
        """
        noisy = np.asarray(noisy, dtype=np.float32)
        if noisy.ndim not in (1, 2) or not noisy.size:
            raise InputError(
                f"the samples are {list(noisy.shape)}, but must be [time] or [channels, time]"
            )
        check_samples(noisy, "the samples hold")
        sample_rate = checked_stream_rate(sample_rate, self.sample_rate)
        channels = torch.from_numpy(np.atleast_2d(noisy).copy())
        info = AudioInfo(channels.shape[1], sample_rate, len(channels))
        self._begin_measuring([])
        size = sample_rate  # a second at a time, as files are read
        pieces = self._estimate_pieces(lambda: iter(channels.split(size, 1)), "", info, blocks)
        signals = torch.cat([piece[..., 0] for piece in pieces], dim=1)
        return signals.numpy().reshape(noisy.shape)

    def enhance_file(
        self,
        filename: str | Path,
        output_filename: str | Path | None = None,
        blocks: int | str | None = None,
        min_gain_db: float = -20.0,
        strength: float = 1.0,
        attenuation_limit_db: float | None = None,
        highband: str | None = None,
    ) -> torch.Tensor | None:
        """Enhance an audio file of any length, rate, number of channels and readable format.

        What libsndfile cannot read (m4a, mp4, webm, the sound of videos) needs the extra `media`.

        The channels are enhanced one by one, at the network's sample rate. A file longer than
        `window_seconds` is read, enhanced and written window by window, with a progress bar on a
        terminal. A causal network carries its state from window to window: its result is that of
        the whole file, and of a stream. The windows of others overlap and are cross-faded: with the
        norms BN and cLN the result is again that of the whole file; the statistics of gLN are those
        of the window.

        With "auto" for `blocks`, each window gets blocks until the last one changed its estimate
        by less than `min_gain_db`; `blocks_used` says how many those were. Each window begins anew
        then, with a causal network too.

        Arguments
        ---------
        filename : str or Path
            The file.
        output_filename : str or Path, optional
            Where the result goes, in the format of this name's suffix, with the input's rate,
            channels, length and, where the format has it, sample type, tags, cue points and the
            like; `notes` says what could not be kept. It appears when it is complete, and what was
            there is overwritten, unless it is the input.
        blocks : int or "auto", optional
            How many blocks run. Default: `self.blocks`.
        min_gain_db : float
            For "auto": the power of the change over that of the estimate, in dB.
        strength : float
            How much is enhanced: 1, the network's output; 0, the file as it is.
        attenuation_limit_db : float, optional
            The most, in dB, that anything is lowered: the noisy signal's share is 10^(-dB / 20) at
            least. Default: no limit.
        highband : str, optional
            What becomes of the band above the network's, in a file of a higher rate: "follow", it
            is let through as far as the network let its top octave through, see
            `bloomnet_sb.streaming.full_band.FullBand`; "mute", it is left out. Default: "follow".

        Returns
        -------
        torch.Tensor or None
            The enhanced signal at the file's rate: [time], or [time, channels] where there are
            several. None if it went to `output_filename` and has more than 2**24 samples.

        Raises
        ------
        InputError
            If the file cannot be read, holds NaN or samples beyond 1e12, or has a rate that is no
            audio's; if the result cannot be written, or has more than 2**28 samples and no
            `output_filename`; if `blocks` is no number of blocks of this network; or if `strength`,
            `attenuation_limit_db` or `highband` cannot be.
        """
        check_path(filename=filename, output_filename=output_filename)
        info = audio_info(filename)
        amount = Amount(strength, attenuation_limit_db, highband)
        self._begin_measuring([info])
        pieces = self._estimate_file(filename, info, blocks, False, min_gain_db, amount)
        signals = (piece.t() for piece in self._kept(pieces))
        if output_filename is None:
            samples = info.frames * info.channels
            result = in_memory(signals, filename, samples, dim=0).squeeze(1)
            self._end_measuring([filename])
            return result
        self.notes = {}
        with writing(output_filename, info, info.channels, source=filename) as write:
            kept = write_all(signals, write, info.frames * info.channels)
        self._note(filename, info, [write])
        self._end_measuring([filename])
        return torch.cat(kept).squeeze(1) if kept else None

    def enhance_alike(
        self,
        files: Sequence[tuple[str | Path, str | Path]],
        blocks: int | None = None,
        strength: float = 1.0,
        attenuation_limit_db: float | None = None,
        highband: str | None = None,
    ) -> None:
        """Enhance files of one channel, of the same rate and length, in one batch.

        The results are those of `enhance_file`. It is quicker where the files are short.

        Arguments
        ---------
        files : sequence of (str or Path, str or Path)
            Inputs and outputs.
        blocks : int, optional
            How many blocks run. Default: `self.blocks`.
        strength, attenuation_limit_db, highband
            As `enhance_file`.

        Raises
        ------
        InputError
            As `enhance_file`, or if the files are not alike. No output is written then.

        Example
        -------
        >>> enhancer = BloomEnhancer.from_hparams(source="convtasnet-16k")
        >>> noisy, out = "tests/samples/demo/noisy_0dB.flac", Path(getfixture("tmpdir"))
        >>> enhancer.enhance_alike([(noisy, out / "one.wav"), (noisy, out / "two.wav")], blocks=1)
        >>> audio_info(out / "two.wav").frames
        99587
        """
        infos = [audio_info(path) for path, _ in files]
        first = infos[0]
        for (path, _), info in zip(files, infos, strict=True):
            if (info.channels, info.frames, info.samplerate) != (1, first.frames, first.samplerate):
                raise InputError(
                    f"{path}: not of one channel, and of the rate and length of {files[0][0]}"
                )
        check_rate(files[0][0], first.samplerate, self.sample_rate)

        def read() -> Iterator[torch.Tensor]:
            return map(
                torch.cat, zip(*(self._read(path, first, False) for path, _ in files), strict=True)
            )

        amount = Amount(strength, attenuation_limit_db, highband)
        name = f"{len(files)} files"
        self._begin_measuring(infos)
        pieces = self._estimate_pieces(read, name, first, blocks, amount=amount)
        with ExitStack() as outputs:
            writers = [
                outputs.enter_context(writing(output, info, 1, source=path))
                for (path, output), info in zip(files, infos, strict=True)
            ]
            for piece in self._kept(pieces):
                for write, estimate in zip(writers, piece, strict=True):
                    write(estimate)
        self.notes = {}
        for (path, _), info, writer in zip(files, infos, writers, strict=True):
            self._note(path, info, [writer])
        self._end_measuring(path for path, _ in files)

    def _kept(self, pieces: Iterator[torch.Tensor]) -> Iterator[torch.Tensor]:
        """The pieces [channels, time] of the only source, measured if that was asked for."""
        signals = (piece[..., 0] for piece in pieces)
        return self._meter.keeping(signals) if self._meter.files else signals
