"""`bloomnet live`: a microphone as it comes."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from bloomnet_sb.cli.common import (
    DEFAULT_SOURCE,
    AttenuationLimit,
    Device,
    Force,
    Highband,
    Source,
    Strength,
    load_network,
)
from bloomnet_sb.utils.errors import check_blocks


class Speed(str, Enum):
    """How fast a file comes in place of a microphone."""

    REALTIME = "realtime"
    FULL = "full"


def live(
    source: Source = DEFAULT_SOURCE,
    input: Annotated[str, typer.Option(help="A file, or a sound device's number or name.")] = "",
    output: Annotated[str, typer.Option(help="A file, or a sound device's number or name.")] = "",
    list_devices: Annotated[
        bool,
        typer.Option("--list_devices", "--list-devices", help="Name the sound devices, and exit."),
    ] = False,
    virtual_microphone: Annotated[
        bool,
        typer.Option(
            "--virtual_microphone",
            "--virtual-microphone",
            help="Play into a microphone that other programs can choose, BLOOM-Net (Linux).",
        ),
    ] = False,
    blocks: Annotated[int, typer.Option(help="How many blocks run. Default: by the load.")] = 0,
    target: Annotated[float, typer.Option(help="The load to keep to, where it decides.")] = 0.3,
    speed: Annotated[
        Speed, typer.Option(help="For a file: as a microphone, or as fast as it goes.")
    ] = Speed.REALTIME,
    compiled: Annotated[
        bool | None,
        typer.Option(
            help="Whether to compile it for this CPU, a minute or two. Default: if it once was.",
        ),
    ] = None,
    strength: Strength = 1.0,
    attenuation_limit_db: AttenuationLimit = None,
    highband: Highband = "follow",
    force: Force = False,
    device: Device = "",
) -> None:
    """Enhance a microphone as it comes; a digit sets the blocks, "a" the automatic, "q" ends.

    Without --input and --output, the system's default devices.
    """
    if list_devices:
        from bloomnet_sb.streaming.devices import device_lines

        typer.echo("\n".join(device_lines()) or "no sound devices")
        return
    from bloomnet_sb.inference.enhancer import BloomEnhancer
    from bloomnet_sb.inference.places import check_new
    from bloomnet_sb.streaming.compiled_code import is_kept
    from bloomnet_sb.streaming.live import run_live
    from bloomnet_sb.streaming.policies import Fixed, RealTime
    from bloomnet_sb.utils.audio_files import is_same_file

    if Path(output).suffix and not is_same_file(input, output):  # which is refused for itself
        check_new(Path(output), force)
    enhancer = load_network(BloomEnhancer, source, device)
    automatic = RealTime(target)
    policy = Fixed(check_blocks(blocks, enhancer.num_blocks)) if blocks else automatic
    on_cpu = str(enhancer.device).startswith("cpu")
    compiled = on_cpu and is_kept(enhancer.mods.model) if compiled is None else compiled
    report = run_live(
        enhancer, policy, input or None, output or None, speed.value, virtual=virtual_microphone,
        automatic=automatic, blocks=blocks or None, compiled=compiled, strength=strength,
        attenuation_limit_db=attenuation_limit_db, highband=highband,
    )  # fmt: skip
    if not compiled and on_cpu and report.blocks < enhancer.num_blocks - 0.5 and not blocks:
        typer.echo("for more blocks at this load, once: --compiled, which takes a minute or two")
    typer.echo(
        f"{report.chunks} chunks, {report.missed} of them late, {report.blocks:.2f} blocks on "
        f"average, load {report.compute_seconds / max(report.audio_seconds, 1e-9):.1%}"
    )
