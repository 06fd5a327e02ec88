"""How the wide engine's kernels are compiled: as others, but they may allocate arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

from spikey.base.jit import kept

_options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
inlined = numba.njit(forceinline=True, **_options)
called = numba.njit(**_options)  # from kernels, often: inlining it everywhere would take long to compile


def kernel(function: Callable[..., Any]) -> Any:
    """Compile when first called, and keep the result for later processes."""
    return kept(function, _options)
