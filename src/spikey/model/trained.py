"""A trained network: its architecture, its integers, where it comes from, and the file that holds it.

The file is safetensors: integer tensors and one JSON text of metadata, named by the first four bytes of its SHA-256.
Compressed files name their model so; `find` looks it up among the shipped ones, in the folders of SPIKEY_MODELS and in
`./models`, where training writes by default.
Nothing in it is executed, and every bound that the integer arithmetic relies on is checked when one is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from spikey.base.errors import DataError, UsageError
from spikey.base.shipped import FOLDER
from spikey.model import tensor_file
from spikey.model.fixed_point import ACTIVATION_BITS, ACTIVATION_MAX

FORMAT = "spikey model 1"
SHIPPED = FOLDER / "models"
FOLDERS = "SPIKEY_MODELS"
OWN = Path("models")  # of the current folder: where training writes by default
LARGEST_FILE = 1 << 26
TOGETHER = 1 << 18  # weights that are checked at once
STATE_INPUTS = 7  # what is known besides past samples: five running scales, two about the location
EXACT = 1 << 24  # bound of every sum of a row, so that single-precision floating point is exact as well
MOST_HIDDEN, MOST_LAYERS, MOST_LAGS = 2048, 16, 1024
MOST_WEIGHTS = 1 << 24


@dataclass(frozen=True)
class Architecture:
    """What a network sees and how it is built.

    type: "lstm", or "fixed_input_nn" for dense layers with clipped rectifiers.
    alone: it sees past changes only, and its base is the previous sample; otherwise the base is linear prediction,
    and it sees past errors, past changes and the running scales.
    lags: how many past samples it sees at once. hidden: units per layer. layers: their number.
    delta: whether changes are first differences, or the samples themselves.

    >>> Architecture("lstm", alone=False, lags=8, hidden=128, layers=2).inputs
    23
    """

    type: Literal["lstm", "fixed_input_nn"]
    alone: bool
    lags: int
    hidden: int
    layers: int
    delta: bool = True

    def __post_init__(self) -> None:
        sizes = ((self.lags, MOST_LAGS), (self.hidden, MOST_HIDDEN), (self.layers, MOST_LAYERS))
        flags = (self.alone, self.delta)
        if (
            self.type not in ("lstm", "fixed_input_nn")
            or any(type(size) is not int or not 1 <= size <= most for size, most in sizes)
            or any(type(flag) is not bool for flag in flags)
        ):
            raise DataError(f"is of an architecture that this version does not support: {asdict(self)}")
        if self.weights > MOST_WEIGHTS:
            raise DataError(f"is of an architecture of {self.weights:,} weights; at most {MOST_WEIGHTS:,} are possible")

    @property
    def inputs(self) -> int:
        """Values that the network sees at every step."""
        return self.lags if self.alone else STATE_INPUTS + 2 * self.lags

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The tensors, by name: int16 weights (rows, columns) and int32 biases (rows,).

        An LSTM layer's columns are its inputs, then its own units; its rows the input, forget, cell and output gates.
        The head's columns are the network's inputs, then the last layer's units; its rows: octaves, shares.
        """
        gates, recurrent = (4, self.hidden) if self.type == "lstm" else (1, 0)
        shapes: dict[str, tuple[int, ...]] = {}
        columns = self.inputs
        for layer in range(self.layers):
            shapes[f"layer{layer}.weight"] = (gates * self.hidden, columns + recurrent)
            shapes[f"layer{layer}.bias"] = (gates * self.hidden,)
            columns = self.hidden
        return {**shapes, "head.weight": (2, self.inputs + self.hidden), "head.bias": (2,)}

    @property
    def weights(self) -> int:
        """The number of weights, which is that of multiplications for a sample."""
        return sum(rows * columns for rows, columns in (s for s in self.shapes().values() if len(s) == 2))


def architecture(
    type: Literal["lstm", "fixed_input_nn"],
    *,
    input_size: int,
    hidden_size: int,
    num_layers: int,
    fixed_input_size: int,
    delta: bool,
) -> Architecture:
    """The architecture that a configuration's keys describe; UsageError for sizes that mean nothing.

    >>> architecture("lstm", input_size=1, hidden_size=128, num_layers=2, fixed_input_size=10, delta=True)
    Architecture(type='lstm', alone=True, lags=1, hidden=128, layers=2, delta=True)
    """
    alone = input_size == 1
    least = STATE_INPUTS + 2
    if not alone and (input_size < least or (input_size - STATE_INPUTS) % 2):
        raise UsageError(
            f"predictor.input_size must be 1 (the signal alone), or {least} plus 2 for each further past sample "
            f"({least}, {least + 2}, {least + 4}, ...), not {input_size}"
        )
    if type == "fixed_input_nn" and input_size > least:
        raise UsageError(
            f"predictor.input_size of a fixed_input_nn must be 1 or {least}, not {input_size}; "
            "how many past samples it sees is predictor.fixed_input_size"
        )
    lags = fixed_input_size if type == "fixed_input_nn" else 1 if alone else (input_size - STATE_INPUTS) // 2
    try:
        return Architecture(type, alone, lags, hidden_size, num_layers, delta)
    except DataError:
        raise UsageError(
            f"predictor: at most {MOST_HIDDEN} units, {MOST_LAYERS} layers, {MOST_LAGS} past samples and "
            f"{MOST_WEIGHTS:,} weights are possible"
        ) from None


@dataclass(frozen=True, eq=False)
class Model:
    """A trained network.

    tensors: of the shapes in `Architecture.shapes`; weights int16 in 1/512, biases int32 in 1/131072.
    metadata: name, calibration, training data, figures, licence: what JSON can hold.
    """

    architecture: Architecture
    tensors: dict[str, np.ndarray]
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self)

    @property
    def name(self) -> str:
        """What people call it."""
        return str(self.metadata.get("name", "unnamed"))

    @cached_property
    def file(self) -> bytes:
        """The file; the same tensors and metadata always give the same bytes."""
        metadata = {**self.metadata, "architecture": asdict(self.architecture)}
        return tensor_file.write(FORMAT, {name: self.tensors[name] for name in self.architecture.shapes()}, metadata)

    @cached_property
    def sha256(self) -> bytes:
        """SHA-256 of the file, 32 bytes."""
        return tensor_file.digest(self.file)

    @property
    def id(self) -> bytes:
        """The name that compressed files use: the first 4 bytes of `sha256`."""
        return self.sha256[:4]


def _check(model: Model) -> None:
    shapes = model.architecture.shapes()
    if set(shapes) != set(model.tensors):
        raise DataError(f"holds the tensors {', '.join(sorted(model.tensors))}, where {', '.join(shapes)} are expected")
    for name, shape in shapes.items():
        tensor = model.tensors[name]
        wanted = np.int32 if name.endswith("bias") else np.int16
        if tensor.dtype != wanted or tensor.shape != shape:
            raise DataError(f"{name} is {tensor.dtype} {tensor.shape}, where {np.dtype(wanted)} {shape} is expected")
    for name in shapes:
        if name.endswith("weight"):
            reach = reach_of(model.architecture, name)
            sums = np.abs(model.tensors[name.replace("weight", "bias")].astype(np.int64))
            step = max(TOGETHER // len(reach), 1)
            for row in range(0, len(sums), step):
                sums[row : row + step] += np.abs(model.tensors[name][row : row + step].astype(np.int64)) @ reach
            if sums.max() >= EXACT:
                raise DataError(
                    f"{name}: row {int(sums.argmax())} could reach {sums.max()}, and less than 2^24 is allowed"
                )


def reach_of(architecture: Architecture, name: str) -> np.ndarray:
    """The largest magnitude of each of a weight tensor's inputs, int64 (columns,), in 1/256."""
    columns = architecture.shapes()[name][1]
    reach = np.full(columns, ACTIVATION_MAX, dtype=np.int64)
    if architecture.type == "lstm":  # units of an LSTM stay within 1
        first = architecture.inputs if name in ("layer0.weight", "head.weight") else 0
        reach[first:] = 1 << ACTIVATION_BITS
    return reach


def load(source: bytes | str | Path) -> Model:
    """Read a model from its bytes or from a file; raises DataError for anything that is not one."""
    name, data = tensor_file.read(source, LARGEST_FILE, "model")
    try:
        tensors, metadata = tensor_file.parse(FORMAT, data)
        described = metadata.pop("architecture", None)
        if not isinstance(described, dict) or set(described) != set(Architecture.__dataclass_fields__):
            raise DataError("contains no architecture that this version supports")
        model = Model(Architecture(**described), tensors, metadata)
        if model.file != data:
            raise DataError("is not in the form in which spikey writes models")
    except DataError as error:
        raise DataError(f"{name}: {error}") from error
    return model


_in_use: dict[bytes, Model] = {}
_places: list[Path] = []  # folders and files that this process was asked to look in
_origin: dict[bytes, Path] = {}  # the file from which a model was taken


def use(model: Model) -> Model:
    """Have `find` know a model of this process, wherever its file lies."""
    return _in_use.setdefault(model.id, model)


def look_in(place: Path) -> None:
    """Have `find` search one more place, a folder or a file, which need not exist."""
    if place not in _places:
        _places.append(place)


def folders() -> list[Path]:
    """Where models are looked for: what `look_in` added, the shipped ones, SPIKEY_MODELS, and `./models`."""
    return list(dict.fromkeys([*tensor_file.folders(SHIPPED, FOLDERS), *_places, OWN.absolute()]))


def find(id4: bytes) -> Model:
    """The model of that id: one in use, or from the folders in which models are looked for."""
    if id4 not in _in_use:
        use(load(tensor_file.find(id4, folders(), FOLDERS, LARGEST_FILE, "model")))
    return _in_use[id4]


def listed() -> Iterator[tuple[Path, Model | DataError]]:
    """The files in these folders, with their models or what is wrong with them; later ones go before earlier ones."""
    for path in tensor_file.candidates(list(dict.fromkeys([OWN, *tensor_file.folders(SHIPPED, FOLDERS)]))):
        try:
            yield path, load(path)
        except DataError as error:
            yield path, error


def named(name: str) -> Model:
    """The model in the file of that path, or of that name among the listed ones; it is then in use."""
    path = Path(name)
    if path.suffix == ".safetensors" and path.is_file():
        model = load(path)
    elif name in (found := {model.name: (path, model) for path, model in listed() if isinstance(model, Model)}):
        path, model = found[name]
    elif path.is_file():
        model = load(path)
    else:
        known = ", ".join(found) or "none"
        raise UsageError(
            f"there is no model {name!r}, neither a file nor one of the known models ({known})", code="unknown-model"
        )
    _origin[model.id] = path
    return use(model)


def is_shipped(model: Model) -> bool:
    """Whether a model is shipped with the package, so that every reader of compressed files has it."""
    return any(tensor_file.id_of(path, LARGEST_FILE) == model.id for path in tensor_file.candidates([SHIPPED]))


def file_of(model: Model) -> Path | None:
    """The file that holds a model, the one kept under its id where there is one; None for one of memory alone."""
    path = _origin.get(model.id)
    if path is None:
        return None
    kept = tensor_file.kept_file(path.parent, model.id)
    return kept if kept.is_file() else path
