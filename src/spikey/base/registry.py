"""Registries: records of one kind, by name and by the number that stands for them in files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Record(Protocol):
    """What is registered: a frozen dataclass without defaults, so that a missing field fails at import, by name."""

    @property
    def name(self) -> str: ...


R = TypeVar("R", bound=Record)


class Registry(Generic[R]):
    """Records of one kind in the order in which they were registered. most: the largest number that a file can hold."""

    def __init__(self, what: str, most: int = 0):
        self.what, self.most = what, most
        self._records: dict[str, R] = {}

    def register(self, record: R) -> R:
        """Add a record; ValueError where its name or number is taken or does not fit."""
        if record.name in self._records:
            raise ValueError(f"there is a {self.what} {record.name!r} already")
        number = getattr(record, "number", None)
        if number is not None:
            if not 0 <= number <= self.most:
                raise ValueError(
                    f"the {self.what} {record.name!r} has the number {number}, not one of 0 to {self.most}"
                )
            if self.numbered(number) is not None:
                raise ValueError(f"the {self.what} {record.name!r}: number {number} is taken")
        self._records[record.name] = record
        return record

    def remove(self, name: str) -> None:
        """Forget a record, as tests do with theirs."""
        del self._records[name]

    def get(self, name: str) -> R | None:
        """The record of a name."""
        return self._records.get(name)

    def __getitem__(self, name: str) -> R:
        return self._records[name]

    def __contains__(self, name: object) -> bool:
        return name in self._records

    def __iter__(self) -> Iterator[R]:
        return iter(list(self._records.values()))

    @property
    def names(self) -> list[str]:
        """All names."""
        return list(self._records)

    def numbered(self, number: int) -> R | None:
        """The record of a number."""
        return next((record for record in self if getattr(record, "number", None) == number), None)
