"""`spikey mount`."""

from __future__ import annotations

from typing import Annotated

import typer

from spikey.base.errors import UsageError
from spikey.base.workers import processors
from spikey.cli import options
from spikey.cli.common import prepare_kernels
from spikey.cli.messages import note, say, set_level

MEGABYTE = 1_000_000


def command(
    packed: Annotated[
        str, typer.Argument(metavar="PACKED", help="A folder of .spky files, one file, an archive, or an address.")
    ],
    folder: Annotated[str, typer.Argument(metavar="VIEW", help="An empty folder; a missing one is created.")],
    cache: Annotated[int, typer.Option(metavar="MB", help="Memory for decoded blocks, in MB.", min=1)] = 512,
    jobs: Annotated[
        int | None, typer.Option(help="Number of threads that decode. Default: the number of processors.", min=1)
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Mount compressed recordings as a folder of the original files (read-only).

    Programs that read only the original formats find every .bin, .dat, .wav and other file in VIEW with its original
    name, size, time and bytes, which are decoded when they are read. The command runs until Ctrl-C, or until VIEW is
    unmounted (fusermount3 -u VIEW). It needs FUSE.

    Examples
    --------
    spikey mount packed/ view/
    spikey mount packed/ view/ --cache 2048    # 2 GB for decoded blocks
    """
    set_level(quiet, False)
    from spikey.files.shared_cache import SharedCache
    from spikey.integrations.mount import View, serve
    from spikey.integrations.mount_point import how_to_unmount, import_fuse, mount_point
    from spikey.integrations.packed_files import OpenReaders
    from spikey.integrations.packed_tree import packed_tree

    if "" in (packed, folder):
        raise UsageError("an empty path names no file")
    import_fuse()
    with mount_point(folder):
        prepare_kernels()
        shared = SharedCache(cache * MEGABYTE)
        readers = OpenReaders(shared, jobs or processors())
        tree = packed_tree(packed, readers, shared, lambda text: say(f"spikey: {text}"))

        def ready() -> None:
            count = len(tree.files)
            shown = f"{folder} shows {count:,} file{'s' * (count > 1)}, {tree.size:,} bytes"
            note(f"{shown}; Ctrl-C or {how_to_unmount(folder)} ends it")

        view = View(tree, readers, shared, ready, lambda text: say(f"spikey: {text}"))
        serve(view, folder)
        if view.opened:
            count = f"{view.opened:,} file{'s were' if view.opened > 1 else ' was'}"
            say(f"spikey: {folder} is unmounted; {count} still open and can no longer be read")
