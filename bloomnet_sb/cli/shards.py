"""`bloomnet shard`: a corpus for training, packed."""

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer


def shard(
    data_folder: Annotated[Path, typer.Argument(help="The folder of LibriSpeech/ and musan/.")],
    folder: Annotated[Path, typer.Argument(help="OUT: a folder without shards.")],
    shard_mb: Annotated[
        int, typer.Option("--shard_mb", "--shard-mb", help="How large a shard is, in 10^6 bytes.")
    ] = 500,
    sample_rate: Annotated[
        int, typer.Option("--sample_rate", "--sample-rate", help="The lowest that is taken, in Hz.")
    ] = 16000,
) -> None:
    """Pack a corpus's training speech into WebDataset shards, for the `shards` of a recipe."""
    from bloomnet_sb.data import prepare_librispeech_musan, write_shards

    with TemporaryDirectory() as manifests:
        prepare_librispeech_musan(str(data_folder), manifests, sample_rate)
        index = write_shards(manifests, str(data_folder), folder, shard_mb)
    utterances = sum(entry["utterances"] for entry in index.values())
    typer.echo(f"{utterances} utterances in {len(index)} shards; see {folder / 'shards.json'}")
