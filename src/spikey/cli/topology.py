"""`spikey topology`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spikey.base.errors import UsageError
from spikey.cli import options
from spikey.cli.common import raw_layout, say
from spikey.cli.tables import show_table
from spikey.cli.together import found as files_in

if TYPE_CHECKING:
    from spikey.report.topology import Topology


def command(
    paths: Annotated[
        list[Path], typer.Argument(metavar="IN...", help="Recordings or folders of them, one recording, or an archive.")
    ],
    picture: Annotated[
        Path | None, typer.Option(help="File for a picture: PNG, SVG or PDF. Default: no picture.")
    ] = None,
    channels: options.Channels = None,
    rate: options.Rate = None,
    dtype: options.Dtype = None,
    as_json: options.AsJson = False,
) -> None:
    """Find simultaneous recordings, or related channels of one recording.

    Of an archive, list the simultaneous recordings that were found when it was written, and which recordings each is
    predicted from.

    Examples
    --------
    spikey topology data/                      # simultaneous recordings
    spikey topology a.wav --picture a.png      # related channels
    """
    from spikey.container.archive import Archive, is_archive
    from spikey.report.topology import of_archive, of_channels, of_recordings, opener

    if picture is not None:
        from spikey.report.calibration_picture import check_picture

        check_picture(picture)
    raw = raw_layout(channels, rate, dtype)
    archives = [path for path in paths if is_archive(path)]
    if archives:
        if len(paths) > 1:
            raise UsageError(f"{archives[0]}: is an archive; give it by itself")
        with Archive(archives[0]) as archive:
            found = of_archive(archive)
    elif len(paths) == 1 and not paths[0].is_dir():
        found = of_channels(paths[0], opener(raw))
    else:
        suffixes = (".wav", ".spky") if raw is None else (".raw", ".dat", ".bin")
        members, _ = files_in(paths, suffixes)
        names, files = zip(*members, strict=True)
        found = of_recordings(names, files, opener(raw))
    if picture is not None:
        from spikey.report.topology_picture import draw_topology

        draw_topology(picture, found, f"Related in {', '.join(path.name for path in paths[:3])}")
    if as_json:
        typer.echo(json.dumps(found.to_json(), indent=2))
        return
    _show(found)
    if picture is not None:
        say(f"picture: {picture}")


def _show(found: Topology) -> None:
    """The table."""
    with_others: dict[int, list[str]] = {}
    for link in found.links:
        name = found.names[link.other]
        place = name if found.of == "channels" or not link.channel else f"{name}:{link.channel}"
        text = f"copy of {name}" if link.channel is None else f"{place} ({link.correlation:+.3f})"
        with_others.setdefault(link.node, []).append(text)
    groups = found.groups()
    if found.of == "channels":
        rows = [[name, ", ".join(with_others.get(node, []))] for node, name in enumerate(found.names)]
        show_table(["channel", "refers to" if found.source == "file" else "goes with"], rows)
        typer.echo(f"\n{len(found.names):,} channels, {len(found.links):,} references")
        return
    rows = [
        [str(number), found.names[node], f"{found.frames[node]:,}", ", ".join(with_others.get(node, []))]
        for number, group in enumerate(groups, 1)
        for node in group
    ]
    if rows:
        show_table(["group", "recording", "frames", "coded with"], rows)
        typer.echo("")
    alone = len(found.names) - sum(map(len, groups))
    typer.echo(
        f"{len(found.names):,} recordings: {len(found.names) - alone:,} simultaneous in {len(groups):,} "
        f"group{'s' * (len(groups) != 1)}, {alone:,} alone"
    )
