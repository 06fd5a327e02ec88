"""How the compiled loops are made: one `@kernel` decorator, and functions chosen by the type of a state.

A state (a predictor's, a density's, a coder's) is a NamedTuple of arrays. `generic` names an operation on states, such
as `predict`; each file that defines a state registers its implementation. Compiled code resolves the call while it is
compiled; uncompiled code (NUMBA_DISABLE_JIT=1) looks it up in a dictionary, so both run the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba.core.event import Listener, register
from numba.extending import overload

from spikey.base.jit_cache import enable

# Python's error model would add a test for division by zero to every division; every divisor here is positive.
# Kernels allocate nothing: without reference counting, passing a state costs nothing either.
_options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
inlined = numba.njit(forceinline=True, **_options)


def kernel(function: Callable[..., Any]) -> Any:
    """Compile a loop when it is first called, and keep the result for later processes."""
    return kept(function, _options)


def kept(function: Callable[..., Any], options: dict[str, Any]) -> Any:
    """`kernel` with other options of Numba's."""
    compiled = numba.njit(**options)(function)
    if compiled is not function:  # as it is where NUMBA_DISABLE_JIT is set
        enable(compiled)
    return compiled


_announced = False


class _FirstCompilation(Listener):
    """Calls `say` once, when something is about to be compiled that no cache holds."""

    def __init__(self, say: Callable[[], None]):
        self.say: Callable[[], None] | None = say

    def on_start(self, event: Any) -> None:
        say, self.say = self.say, None
        if say is not None:
            say()

    def on_end(self, event: Any) -> None:
        pass


def announce_compilation(say: Callable[[], None]) -> None:
    """Have `say` called once, before the first compilation of this process, if there is one; the first call counts."""
    global _announced
    if not _announced:
        _announced = True
        register("numba:compile", _FirstCompilation(say))


@inlined
def entry(table, index):
    """table[index] for an index known not to be negative, without the test that Python's indexing needs."""
    return np.int64(table[np.uint64(index)])


def generic(signature: Callable[..., Any]) -> Any:
    """Make `signature` an operation whose implementation is chosen by the type of its first argument.

    The returned function has an attribute `register(state_class)`, a decorator for implementations, which must take
    the same arguments under the same names.
    """
    implementations: dict[type, Callable[..., Any]] = {}
    name = signature.__name__

    def call(state: Any, *arguments: Any) -> Any:
        return implementations[type(state)](state, *arguments)

    def register(state_class: type, inline: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorate(implementation: Callable[..., Any]) -> Callable[..., Any]:
            implementations[state_class] = implementation

            def choose(state: Any, *arguments: Any) -> Any:
                if getattr(state, "instance_class", None) is state_class:  # the type of a NamedTuple
                    return implementation
                return None

            options: Any = _options | {"forceinline": inline}
            overload(call, strict=False, jit_options=options)(choose)
            return implementation

        return decorate

    call.__name__ = call.__qualname__ = name
    call.__doc__ = signature.__doc__
    call.register = register  # type: ignore[attr-defined]
    return call
