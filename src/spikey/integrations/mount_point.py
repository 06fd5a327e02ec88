"""What a mount needs of the machine: FUSE, and an empty folder that is not a mount point already."""

from __future__ import annotations

import ctypes.util
import errno
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from spikey.base.errors import UsageError, install
from spikey.recording.output import make_folder

KIND = "fuse.spikey"  # how the system lists a mount of Spikey's
DEVICE = "/dev/fuse"


def import_fuse() -> ModuleType:
    """The package mfusepy; UsageError, with what to install, where it or FUSE is missing."""
    if sys.platform == "win32":
        raise UsageError(
            "spikey mount needs FUSE, which it does not use on Windows: mount in the Windows Subsystem for Linux, or "
            "restore the files with spikey decompress"
        )
    if ctypes.util.find_library("fuse3"):
        os.environ.setdefault("FUSE_LIBRARY_NAME", "fuse3")
    try:
        import mfusepy
    except ImportError:
        raise UsageError(f"spikey mount needs mfusepy: {install('mount')}", code="missing-package") from None
    except (OSError, AttributeError) as error:
        raise UsageError(f"spikey mount needs FUSE ({error}): {_system_package()}") from None
    if sys.platform == "linux":
        if not os.path.exists(DEVICE):
            raise UsageError(
                f"spikey mount needs {DEVICE}, which this machine lacks: sudo modprobe fuse; in a container, start it "
                f"with --device {DEVICE} --cap-add SYS_ADMIN"
            )
        if os.geteuid() and not (shutil.which("fusermount3") or shutil.which("fusermount")):
            raise UsageError(f"spikey mount needs fusermount3: {_system_package()}")
    return mfusepy


def _system_package() -> str:
    return "install macFUSE (https://macfuse.github.io)" if sys.platform == "darwin" else "sudo apt-get install fuse3"


@contextmanager
def mount_point(folder: str) -> Iterator[None]:
    """Have an empty folder to mount in; one that had to be made is removed at the end.

    What a mount left there whose process was killed is unmounted first. Raises UsageError where the folder cannot be
    used.
    """
    made = False
    try:
        os.listdir(folder)  # what a killed mount has left may still have a status
    except FileNotFoundError:
        made = True
        make_folder(Path(folder))
    except NotADirectoryError:
        pass
    except OSError as error:
        if error.errno != errno.ENOTCONN:
            raise UsageError(f"{folder}: cannot be used to mount in ({error.strerror})") from None
        _clear(folder)
    _check(folder)
    try:
        yield
    finally:
        if made:
            with suppress(OSError):
                os.rmdir(folder)


def _check(folder: str) -> None:
    """UsageError where a folder is none, is mounted on or contains something."""
    if not os.path.isdir(folder):
        raise UsageError(f"{folder}: is not a folder; name an empty one, or one that does not exist, to mount in")
    if os.path.ismount(folder):
        raise UsageError(f"{folder}: something is mounted there already; {how_to_unmount(folder)} unmounts it")
    try:
        if os.listdir(folder):
            raise UsageError(f"{folder}: is not empty; name an empty folder, or one that does not exist, to mount in")
    except OSError as error:
        raise UsageError(f"{folder}: cannot be used to mount in ({error.strerror})") from None


def how_to_unmount(folder: str) -> str:
    """The command that ends a mount."""
    tool = "umount" if sys.platform == "darwin" else "fusermount3 -u"
    return f"{tool} {shlex.quote(folder)}"


def _clear(folder: str) -> None:
    """Unmount what a killed process left; UsageError where it is another program's, or that fails."""
    if _is_left(folder):
        for command in (["fusermount3", "-u"], ["fusermount", "-u"], ["umount"]):
            with suppress(OSError):
                if subprocess.run([*command, folder], capture_output=True, check=False).returncode == 0:
                    return
    raise UsageError(
        f"{folder}: was left by a mount whose program ended without unmounting it; {how_to_unmount(folder)} unmounts it"
    )


def _is_left(folder: str) -> bool:
    """Whether the system lists a folder as a mount of Spikey's."""
    place = os.path.join(
        os.path.realpath(os.path.dirname(os.path.abspath(folder))), os.path.basename(folder.rstrip("/"))
    )
    try:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.split() for line in file]
    except OSError:
        return False
    mounts = {_unescaped(line[4]): line[line.index("-") + 1] for line in lines}
    return mounts.get(place) == KIND


def _unescaped(text: str) -> str:
    """A path of the list of mounts, which has octal numbers for blanks and the like."""
    raw = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8)]), os.fsencode(text))
    return os.fsdecode(raw)
