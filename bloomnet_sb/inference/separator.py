"""Separating speakers with a trained network and as many blocks as asked for."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from bloomnet_sb.inference.files import FileInterface, in_memory, write_all
from bloomnet_sb.utils.audio_files import audio_info, writing
from bloomnet_sb.utils.audio_formats import result_name
from bloomnet_sb.utils.errors import check_path


class BloomSeparator(FileInterface):
    """A trained BLOOM-Net, ready to separate speakers with any number of its blocks.

    Made by `BloomSeparator.from_hparams`. Its calls are those of SpeechBrain's
    `SepformerSeparation`, with `blocks` beside them. A source has the level that it has in the
    mixture, and is the same speaker whatever number of blocks runs.

    Attributes
    ----------
    blocks : int
        How many blocks run where a call does not say; at first all.
    window_seconds : float
        A longer file is separated in windows of at most this length.

    Example
    -------
    >>> from bloomnet_sb.model import BloomNet
    >>> from bloomnet_sb.nn.filterbanks import LearnedFilterbank
    >>> from bloomnet_sb.separators import ConvTasNetSeparator
    >>> parts = ConvTasNetSeparator(num_filters=16, num_blocks=2, num_sources=2)
    >>> model = BloomNet(LearnedFilterbank(16), parts)
    >>> separator = BloomSeparator({"model": model}, {"sample_rate": 16000})
    >>> separator.separate_batch(torch.randn(1, 16000), blocks=1).shape
    torch.Size([1, 16000, 2])
    >>> separator.separate_file("tests/samples/demo/noisy_0dB.flac").shape
    torch.Size([1, 99587, 2])
    """

    def separate_batch(
        self,
        mix: torch.Tensor,
        lengths: torch.Tensor | None = None,
        blocks: int | None = None,
    ) -> torch.Tensor:
        """Separate a batch of mixtures.

        Arguments
        ---------
        mix : torch.Tensor
            Waveforms [batch, time] at the network's sample rate.
        lengths : torch.Tensor, optional
            Length of each, as a share of `time`, see `BloomEnhancer.enhance_batch`.
        blocks : int, optional
            How many blocks run. Default: `self.blocks`.

        Returns
        -------
        torch.Tensor
            The sources [batch, time, sources].

        Raises
        ------
        InputError
            As `BloomEnhancer.enhance_batch`.
        """
        return self._estimate_batch(mix, lengths, blocks)

    def forward(
        self,
        mix: torch.Tensor,
        lengths: torch.Tensor | None = None,
        blocks: int | None = None,
    ) -> torch.Tensor:
        """The same as `separate_batch`."""
        return self.separate_batch(mix, lengths, blocks)

    def output_names(self, path: str | Path, output_folder: str | Path) -> list[Path]:
        """Where the sources of a file go.

        Arguments
        ---------
        path : str or Path
            The file.
        output_folder : str or Path
            The folder of the results.

        Returns
        -------
        list of Path
            <name>_source1, <name>_source2.. with the input's suffix, or one that can be written.

        Raises
        ------
        InputError
            If the file cannot be read.
        """
        info, path = audio_info(path)._replace(channels=1), Path(path)
        return [
            result_name(Path(output_folder) / f"{path.stem}_source{n}{path.suffix}", info)
            for n in range(1, self.mods.model.num_sources + 1)
        ]

    def separate_file(
        self,
        path: str | Path,
        output_folder: str | Path | None = None,
        blocks: int | None = None,
    ) -> torch.Tensor | None:
        """Separate an audio file of any length, rate and readable format.

        Several channels are averaged. Long files are separated in windows as
        `BloomEnhancer.enhance_file` does; each window's sources are put in the order of the one
        before.

        Arguments
        ---------
        path : str or Path
            The file.
        output_folder : str or Path, optional
            Where the sources go, see `output_names`, with the input's rate, length and, where the
            format has it, sample type. They appear when they are complete.
        blocks : int, optional
            How many blocks run. Default: `self.blocks`.

        Returns
        -------
        torch.Tensor or None
            The sources at the file's rate [1, time, sources]. None if they went to
            `output_folder` and have more than 2**24 samples.

        Raises
        ------
        InputError
            As `BloomEnhancer.enhance_file`.
        """
        check_path(path=path, output_folder=output_folder)
        outputs = None if output_folder is None else self.output_names(path, output_folder)
        return self.separate_to(path, outputs, blocks)

    def separate_to(
        self, path: str | Path, outputs: Sequence[Path] | None, blocks: int | None = None
    ) -> torch.Tensor | None:
        """The same as `separate_file`, with a place for each of the sources.

        Arguments
        ---------
        path : str or Path
            The file.
        outputs : sequence of Path, optional
            Where the sources go.
        blocks : int, optional
            How many blocks run. Default: `self.blocks`.

        Returns
        -------
        torch.Tensor or None
            As `separate_file`.

        Raises
        ------
        InputError
            As `separate_file`.
        """
        info, path = audio_info(path), Path(path)
        pieces = self._estimate_file(path, info, blocks, mono=True)
        sources = self.mods.model.num_sources
        if outputs is None:
            return in_memory(pieces, path, info.frames * sources, dim=1)
        self.notes = {}
        with ExitStack() as files:
            writers = [files.enter_context(writing(name, info, 1, source=path)) for name in outputs]

            def write(samples: torch.Tensor) -> None:
                for source, write_source in enumerate(writers):
                    write_source(samples[0, :, source])

            kept = write_all(pieces, write, info.frames * sources)
        self._note(path, info, writers)
        return torch.cat(kept, dim=1) if kept else None
