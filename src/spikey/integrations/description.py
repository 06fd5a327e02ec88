"""What SpikeInterface has of a recording beside its samples, as metadata of a `.spky` file, and back."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
from probeinterface import ProbeGroup
from spikeinterface.core import BaseRecording

KINDS = "biufU"  # of NumPy types that JSON can hold exactly


def describe(recording: BaseRecording, segment: int, name: str, columns: list[int]) -> dict[str, Any]:
    """One stream of a file: `columns` of its channels are the recording's, whose segment it is.

    What JSON cannot hold is left out, with a warning.
    """
    properties = {key: _packed(recording.get_property(key), key) for key in recording.get_property_keys()}
    annotations = {key: _plain(recording.get_annotation(key), key) for key in recording.get_annotation_keys()}
    if recording.has_time_vector(segment):
        warnings.warn("the times of the single frames are not stored, only that of the first one", stacklevel=3)
    return {
        "name": name,
        "columns": columns,
        "channel_ids": _packed(recording.channel_ids, "channel_ids"),
        "properties": {key: value for key, value in properties.items() if value is not None},
        "annotations": {key: value for key, value in annotations.items() if value is not None},
        "probe": _plain(recording.get_probegroup().to_dict(array_as_list=True), "probe")
        if recording.has_probe()
        else None,
        "t_start": float(recording.get_start_time(segment)),
    }


def apply(stream: dict[str, Any], recording: BaseRecording) -> None:
    """Give a recording the probe, properties and annotations of a stream."""
    if stream["probe"] is not None:
        recording.set_probegroup(ProbeGroup.from_dict(stream["probe"]), check_overlap=False)
    for key, value in stream["properties"].items():
        recording.set_property(key, unpacked(value))
    recording.annotate(**stream["annotations"])


def unpacked(array: dict[str, Any]) -> np.ndarray:
    """The array that `describe` made JSON of."""
    return np.array(array["values"], dtype=array["dtype"])


def _packed(array: np.ndarray, name: str) -> dict[str, Any] | None:
    """An array as JSON: its NumPy type and its values; text in arrays of objects becomes an array of text."""
    if array.dtype.kind == "O" and all(isinstance(value, str) for value in array):
        array = array.astype("U")
    if array.dtype.kind not in KINDS:
        warnings.warn(
            f"the property {name!r} is not stored: {array.dtype} is not a type that JSON can hold", stacklevel=4
        )
        return None
    return {"dtype": array.dtype.str, "values": array.tolist()}


def _plain(value: Any, name: str) -> Any:
    """A value as JSON gives it back, NumPy's numbers and arrays as plain ones; None, and a warning, where it cannot."""
    try:
        return json.loads(json.dumps(value, default=lambda item: item.tolist()))
    except (TypeError, ValueError, AttributeError):
        warnings.warn(f"{name!r} is not stored: {type(value).__name__} is not a type that JSON can hold", stacklevel=4)
        return None
