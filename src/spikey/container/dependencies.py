"""The calibration and the trained network that a file's blocks are decoded with: from its records, or by their ids."""

from __future__ import annotations

from collections.abc import Callable

from spikey.base.errors import DataError
from spikey.base.wire import Cursor
from spikey.container.embedding import unpack_model
from spikey.container.input import Input
from spikey.container.layout import Header
from spikey.container.records import CALIBRATION, MODEL
from spikey.container.structure import unpack_record
from spikey.model.calibration import Calibration, find, load
from spikey.model.trained import Model


class MissingDependency(DataError):
    """A calibration or model is missing or unusable: no block is to blame."""


class Dependencies:
    """What a file names beside its blocks, looked up when the first block needs it; models: finds a model by its id."""

    def __init__(self, file: Input, header: Header, models: Callable[[bytes], Model]):
        self._file = file
        self._header = header
        self._models = models
        self._calibration: Calibration | None = None
        self._model: Model | None = None

    @property
    def calibration_id(self) -> bytes:
        """The id of the calibration that the file names; empty where it names none."""
        return self._header.calibration

    @property
    def model_id(self) -> bytes:
        """The id of the model that the file names; empty where it names none."""
        return (self._header.record(MODEL) or b"")[:4]

    def calibration(self) -> Calibration | None:
        """The calibration that the file names, if any; MissingDependency where it cannot be had."""
        if self._calibration is None and self.calibration_id:
            try:
                embedded = unpack_record(self._header, CALIBRATION, self._file.name)
                found = load(embedded) if embedded is not None else find(self.calibration_id)
            except DataError as error:
                raise MissingDependency(f"{self._file.name}: {error}") from None
            if found.id != self.calibration_id:
                raise MissingDependency(
                    f"{self._file.name}: names calibration {self.calibration_id.hex()} but holds {found.id.hex()}"
                )
            self._calibration = found
        return self._calibration

    def model(self) -> Model | None:
        """The model that the file names, if any; MissingDependency where it cannot be had."""
        record = self._header.record(MODEL)
        if self._model is None and record is not None:
            try:
                cursor = Cursor(record, self._file.name)
                name = cursor.take(4)
                found = unpack_model(cursor) if len(record) > 4 else self._models(name)
            except DataError as error:
                raise MissingDependency(f"{self._file.name}: {error}") from None
            if found.id != name:
                raise MissingDependency(f"{self._file.name}: names model {name.hex()} but holds {found.id.hex()}")
            self._model = found
        return self._model
