"""How the compiled loops are made: one `@kernel` decorator, and functions chosen by the type of a state.

A state (a predictor's, a density's, a coder's) is a NamedTuple of arrays. `Generic` names an operation on states, such
as `predict`; each file that defines a state registers its implementation. Compiled code resolves the call while it is
compiled; uncompiled code (NUMBA_DISABLE_JIT=1) looks it up in a dictionary, so both run the same text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import types
from numba.extending import overload

# Python's error model would add a test for division by zero to every division; every divisor here is positive.
# Kernels allocate nothing: without reference counting, passing a state costs nothing either.
_options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": False}
kernel = numba.njit(cache=True, **_options)
inlined = numba.njit(forceinline=True, **_options)


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

    def register(state_class: type, small: bool = True) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        def decorate(implementation: Callable[..., Any]) -> Callable[..., Any]:
            implementations[state_class] = implementation

            def choose(state: Any, *arguments: Any) -> Any:
                if isinstance(state, types.BaseNamedTuple) and state.instance_class is state_class:
                    return implementation
                return None

            overload(call, strict=False, jit_options={"forceinline": small, **_options})(choose)
            return implementation

        return decorate

    call.__name__ = call.__qualname__ = name
    call.__doc__ = signature.__doc__
    call.register = register  # type: ignore[attr-defined]
    return call
