"""The page of recordings, enhanced or separated by networks at every depth."""

from collections.abc import Sequence
from pathlib import Path

import torch

from bloomnet_sb.inference.separator import BloomSeparator
from bloomnet_sb.page.html import Written, check_length, check_place, write_page
from bloomnet_sb.page.recordings import Network, Recording, make_recording
from bloomnet_sb.utils.audio_files import audio_info, read_audio
from bloomnet_sb.utils.errors import InputError

TITLE = "Hear every depth"


def compare_files(
    files: Sequence[str | Path],
    output: str | Path,
    sources: Sequence[str],
    clean_files: Sequence[str | Path] = (),
    device: str | None = None,
) -> Written:
    """Write a page of audio files, as every depth of networks makes them.

    Several channels of a file are averaged.

    Arguments
    ---------
    files : sequence of str or Path
        The noisy recordings.
    output : str or Path
        The HTML file to write.
    sources : sequence of str
        The networks, see `bloomnet_sb.inference.base.BloomInterface.from_hparams`.
    clean_files : sequence of str or Path
        The clean speech of each, of its rate and length, if the estimates are to be scored. For
        networks that separate, a channel for each source.
    device : str, optional
        Where the networks run. Default: a GPU, where there is one.

    Returns
    -------
    Written
        See `bloomnet_sb.page.html.write_page`.

    Raises
    ------
    InputError
        If a file cannot be read, the clean speech does not fit, a network cannot be loaded or is
        named twice, the recordings are longer than 10 minutes or their tracks too many, or the page
        cannot be written or would be written over something else.

    Example
    -------
    >>> noisy, clean = (f"tests/samples/demo/{kind}_0dB.flac" for kind in ("noisy", "clean"))
    >>> page = Path(getfixture("tmpdir")) / "listen.html"
    >>> written = compare_files([noisy], page, ["convtasnet-causal-16k"], [clean])
    >>> written.tracks, written.codec
    (6, 'FLAC')
    """
    check_place(output)
    _check(files, sources, clean_files)
    cleans = [_clean(*pair) for pair in zip(clean_files, files, strict=True)] if clean_files else []
    interfaces = [
        BloomSeparator.from_hparams(source=source, run_opts={"device": device})
        for source in sources
    ]
    _check_sources(sources, interfaces, clean_files, cleans)
    networks = [
        Network(name, interface.profile())
        for name, interface in zip(_names(sources), interfaces, strict=True)
    ]
    recordings = [
        _recording(file, interfaces, cleans[n] if cleans else None) for n, file in enumerate(files)
    ]
    return write_page(recordings, networks, output, TITLE)


def _check(
    files: Sequence[str | Path], sources: Sequence[str], clean_files: Sequence[str | Path]
) -> None:
    """What takes no network to see."""
    twice = {source for source in sources if list(sources).count(source) > 1}
    if twice:
        raise InputError(f"source {min(twice)} is named twice")
    if clean_files and len(clean_files) != len(files):
        raise InputError(
            f"clean speech of {len(clean_files)} recordings is given, but there are {len(files)}; "
            "name one file for each, in their order, or none"
        )
    for path in (*files, *clean_files):
        if Path(path).is_dir():
            raise InputError(f"{path}: a folder; name the recordings in it")
        audio_info(path)
    infos = map(audio_info, files)
    check_length(sum(info.frames / info.samplerate for info in infos))


def _check_sources(
    sources: Sequence[str],
    interfaces: Sequence[BloomSeparator],
    clean_files: Sequence[str | Path],
    cleans: Sequence[torch.Tensor],
) -> None:
    """Refuse clean speech without a channel for each source of a network that separates."""
    for source, interface in zip(sources, interfaces, strict=True):
        needed = interface.mods.model.num_sources
        for path, clean in zip(clean_files, cleans, strict=True):
            if needed > 1 and clean.shape[1] != needed:
                raise InputError(
                    f"{path}: of {clean.shape[1]} channels, but {source} separates {needed} "
                    "sources, and needs the clean speech of each in a channel"
                )


def _clean(path: str | Path, noisy: str | Path) -> torch.Tensor:
    """The clean speech [time, channels] of a noisy file."""
    clean, like = audio_info(path), audio_info(noisy)
    if (clean.samplerate, clean.frames) != (like.samplerate, like.frames):
        raise InputError(
            f"{path}: {clean.frames} samples at {clean.samplerate} Hz, but {noisy} has "
            f"{like.frames} at {like.samplerate} Hz; clean speech is to be of the same length"
        )
    return torch.from_numpy(read_audio(path))


def _recording(
    file: str | Path, interfaces: Sequence[BloomSeparator], clean: torch.Tensor | None
) -> Recording:
    mix = torch.from_numpy(read_audio(file).mean(1))
    estimates = [
        {blocks: _estimate(file, i, blocks) for blocks in range(1, i.num_blocks + 1)}
        for i in interfaces
    ]
    rate = audio_info(file).samplerate
    return make_recording(Path(file).stem, rate, mix, estimates, clean)


def _estimate(file: str | Path, interface: BloomSeparator, blocks: int) -> torch.Tensor:
    """[time, sources]."""
    estimate = interface.separate_file(file, blocks=blocks)
    assert estimate is not None  # it is not written
    return estimate[0]


def _names(sources: Sequence[str]) -> list[str]:
    """Short names: a folder's without the folders above its last two, where they differ."""
    short = ["/".join(Path(source).parts[-2:]) for source in sources]
    return short if len(set(short)) == len(short) else list(sources)
