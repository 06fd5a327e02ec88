"""Numbers and arrays that count: the codec's own kernels, run uncompiled on them, say what they compute and touch.

An operation's width is that of the widest value its place in the code has seen: what a circuit there would need. An
array that is never written is a table; one of which something written at one sample is read at a later one is state;
any other is scratch, which channels can share.
"""

from __future__ import annotations

import math
import operator
import sys
from collections import defaultdict
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np

WIDTHS = (8, 16, 24, 32, 48, 64)


class Tally:
    """Counts of one run: operations by their place in the code, accesses by array; `step` is the sample at hand."""

    def __init__(self) -> None:
        self.step = 0
        self.places: dict[tuple[Any, ...], list[int]] = {}  # kind, code and instruction: times and widest bits
        self.memories: list[Memory] = []

    def note(self, kind: str, bits: int, frame: FrameType, times: int = 1) -> None:
        """An operation on values of so many bits, at the place where `frame` is."""
        key = (kind, frame.f_code, frame.f_lasti)
        place = self.places.get(key)
        if place is None:
            self.places[key] = [times, bits]
        else:
            place[0] += times
            if bits > place[1]:
                place[1] = bits

    def operations(self, others: Tally) -> dict[str, dict[int, int]]:
        """Times of each kind of operation by width in bits, the widest that this or another run has seen."""
        counts: dict[str, dict[int, int]] = {kind: dict.fromkeys(WIDTHS, 0) for kind in KINDS}
        for place, (times, bits) in self.places.items():
            bits = max(bits, others.places.get(place, (0, 0))[1])
            counts[place[0]][next(width for width in WIDTHS if bits <= width)] += times
        return counts


KINDS = ("add", "shift", "multiply", "divide")
_tally = Tally()


def start() -> Tally:
    """Count anew from here on; the result is filled while the kernels run."""
    global _tally
    _tally = Tally()
    return _tally


class Counted(int):
    """A whole number whose operations are counted."""

    __hash__ = int.__hash__

    def __neg__(self) -> Counted:
        _tally.note("add", self.bit_length() + 1, sys._getframe(1))
        return Counted(int.__neg__(self))

    def __abs__(self) -> Counted:
        _tally.note("add", self.bit_length() + 1, sys._getframe(1))
        return Counted(int.__abs__(self))


def _operation(kind: str, compute: Callable[[int, int], int], widest: Callable[[int, int, int], int]) -> Any:
    """A binary operator and its reflection; `widest`: bits of first operand, second operand and result that count."""

    def operate(first: int, second: int, frame: FrameType) -> Any:
        result = compute(int(first), int(second))
        # One bit more for the sign.
        bits = widest(int(first).bit_length(), int(second).bit_length(), int(result).bit_length()) + 1
        _tally.note(kind, bits, frame)
        return result if isinstance(result, bool) else Counted(result)

    def plain(self: Counted, other: int) -> Any:
        return operate(self, other, sys._getframe(1))

    def reflected(self: Counted, other: int) -> Any:
        return operate(other, self, sys._getframe(1))

    return plain, reflected


def _define() -> None:
    """Give `Counted` its operators. Comparisons, conjunctions and disjunctions count as additions."""
    for name, kind in (
        ("add", "add"), ("sub", "add"), ("and", "add"), ("or", "add"),
        ("mul", "multiply"), ("floordiv", "divide"), ("lshift", "shift"), ("rshift", "shift"),
    ):  # fmt: skip
        compute = getattr(operator, f"{name}_" if name in ("and", "or") else name)
        widest = {
            "add": lambda a, b, c: max(a, b, c),
            "multiply": lambda a, b, c: max(a, b),
            "divide": lambda a, b, c: max(a, b),
            "shift": lambda a, b, c: max(a, c),
        }[kind]
        plain, reflected = _operation(kind, compute, widest)
        setattr(Counted, f"__{name}__", plain)
        setattr(Counted, f"__r{name}__", reflected)
    for name in ("lt", "le", "gt", "ge", "eq", "ne"):
        plain, _ = _operation("add", getattr(operator, name), lambda a, b, c: max(a, b))
        setattr(Counted, f"__{name}__", plain)


_define()


class Memory:
    """What happened to one array: elements read and written, and how long they were needed."""

    def __init__(self, name: str, array: np.ndarray):
        self.name, self.size, self.item = name, array.size, array.itemsize
        self.reads = self.writes = 0
        self.fetched = self.stored = 0  # with registers that hold every element for the length of a sample
        self._written = np.full(array.size, -1, dtype=np.int64)  # step; -1: from the beginning
        self._read = np.full(array.size, -1, dtype=np.int64)
        self._kept: dict[int, int] = defaultdict(int)  # changes of the number of elements kept, by step
        _tally.memories.append(self)

    def read(self, places: Any, times: int = 1) -> None:
        """Elements are read."""
        self.reads += times
        new = (self._read[places] != _tally.step) & (self._written[places] != _tally.step)
        self.fetched += int(np.count_nonzero(new))
        self._read[places] = _tally.step

    def write(self, place: int) -> None:
        """An element is written."""
        self.writes += 1
        self.stored += int(self._written[place] != _tally.step)
        self._close(place)
        self._written[place], self._read[place] = _tally.step, -1

    def _close(self, place: int) -> None:
        written, read = int(self._written[place]), int(self._read[place])
        if read > written:
            self._kept[written] += 1
            self._kept[read] -= 1

    def kept(self) -> int:
        """Most elements that had to be kept from one sample to the next; call it once, after the run."""
        for place in range(self.size):
            self._close(place)
        now = most = 0
        for step in sorted(self._kept):
            now += self._kept[step]
            most = max(most, now)
        return most


class CountedArray:
    """An array that hands out counted numbers; parts of it are counted with the whole."""

    __slots__ = ("memory", "places", "values")

    def __init__(self, values: np.ndarray, places: np.ndarray, memory: Memory):
        self.values, self.places, self.memory = values, places, memory

    @property
    def shape(self) -> tuple[int, ...]:
        """As of NumPy's arrays."""
        return self.values.shape

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, key: Any) -> Any:
        value = self.values[key]
        if isinstance(value, np.ndarray):
            return CountedArray(value, self.places[key], self.memory)
        self.memory.read(self.places[key])
        return Counted(int(value))

    def __setitem__(self, key: Any, value: Any) -> None:
        self.values[key] = int(value)
        for place in np.ravel(self.places[key]).tolist():
            self.memory.write(place)


def wrapped(state: Any, name: str = "") -> Any:
    """A state, a NamedTuple of arrays and further states, with arrays that count."""
    if isinstance(state, np.ndarray):
        values = np.ascontiguousarray(state).copy()
        return CountedArray(values, np.arange(values.size).reshape(values.shape), Memory(name, values))
    return type(state)(*(wrapped(part, field) for field, part in zip(state._fields, state, strict=True)))


def quick_dot(row: CountedArray, column: CountedArray) -> Counted:
    """`spikey.model.network.dot`, counted at once: a 16-bit product and a 32-bit sum for each pair."""
    count, frame = len(row), sys._getframe(0)
    row.memory.read(row.places, count)
    column.memory.read(column.places, count)
    _tally.note("multiply", 16, frame, count)
    _tally.places.setdefault(("add", frame.f_code, -1), [0, 32])[0] += count
    return Counted(int(np.dot(row.values.astype(np.int64), column.values.astype(np.int64))))


def square_root(value: int) -> Counted:
    """Of a whole number, rounded down; counts as a division of half the bits, each of which takes a subtraction."""
    result = math.isqrt(int(value))
    _tally.note("divide", result.bit_length() + 1, sys._getframe(1))
    return Counted(result)


class CountingNumpy:
    """NumPy, but for the conversions of scalars, which give counted numbers and cost nothing."""

    def __getattr__(self, name: str) -> Any:
        return Counted if name in ("int64", "int32", "int16", "uint64") else getattr(np, name)
