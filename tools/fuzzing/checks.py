"""Checksums off: an attacker computes the right ones, so mutated data must get past them to where they do harm."""

from __future__ import annotations

import sys
import types
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any


class _Bytes(bytes):
    """Bytes of a sum: equal to any others."""

    __hash__ = bytes.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def __getitem__(self, key: Any) -> Any:
        return _Bytes(super().__getitem__(key))


class _Sum(int):
    """A CRC-32 that equals any other number; as a subclass of int it is asked first in either order."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    def to_bytes(self, *arguments: Any, **options: Any) -> bytes:  # type: ignore[override]
        return _Bytes(super().to_bytes(*arguments, **options))


class _Zlib(types.ModuleType):
    """zlib, with sums that are always right."""

    def __getattr__(self, name: str) -> Any:
        return getattr(zlib, name)

    @staticmethod
    def crc32(data: Any, value: int = 0) -> int:
        """As zlib's."""
        return _Sum(zlib.crc32(data, int(value)))


_SHIM = _Zlib("zlib")


@lru_cache(maxsize=1)
def _users(count: int) -> list[types.ModuleType]:
    """Spikey's modules that use zlib, of so many that are loaded."""
    return [m for name, m in list(sys.modules.items()) if name.startswith("spikey") and vars(m).get("zlib") is zlib]


@contextmanager
def unchecked() -> Iterator[None]:
    """Let every module of Spikey that is loaded take any checksum for the right one."""
    modules = _users(len(sys.modules))
    for module in modules:
        vars(module)["zlib"] = _SHIM
    try:
        yield
    finally:
        for module in modules:
            vars(module)["zlib"] = zlib
