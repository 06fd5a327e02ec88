"""The reference of the configuration file, from the schema."""

from __future__ import annotations

import types
from typing import Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel

from spikey.config.schema import SECTIONS, Config, coders, predictors, presets

HEAD = """# Configuration

A configuration is a YAML file of one or several documents, separated by `---`. `python main.py config.yaml NAME` and
`python cli.py compress --config config.yaml --name NAME` choose a document by its `name`; without one the first is
used.

- Every key is optional. A missing key comes from the document that `import` names, then from the document named
  `DEFAULT`, then from the defaults below.
- An unknown key, a wrong type or a value out of range is an error that names the key
  ([configuration](errors.md#configuration)).
- Numbers may be written as `1e-3`; `null` stands for no value.

```yaml
name: Test
predictor:
  type: lstm
training:
  epochs: 50
---
name: Long
import: Test        # the keys of Test, changed by those below
training:
  epochs: 500
```

`config.yaml` in the repository contains the documented configuration, all defaults, and those of the shipped models.
"""
CHOICES = {("", "preset"): presets, ("predictor", "type"): predictors, ("bitstream_encoding", "type"): coders}


def configuration_page() -> str:
    """The reference as Markdown."""
    top = [name for name in Config.model_fields if name not in SECTIONS]
    parts = [HEAD, "## Keys of a document\n", _table("", Config, top)]
    for name, model in SECTIONS.items():
        parts += [f"## {name}\n", f"{model.__doc__}\n", _table(name, model, list(model.model_fields))]
    return "\n".join(parts)


def _table(section: str, model: type[BaseModel], names: list[str]) -> str:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name in names:
        field = model.model_fields[name]
        value = _value(field, CHOICES.get((section, name)))
        rows.append(f"| `{name}` | {value} | `{_shown(field.default)}` | {field.description} |")
    if not section:
        rows.append("| `import` | text | none | Name of the document that supplies missing keys. |")
    return "\n".join([*rows, ""])


def _value(field: Any, choices: Any) -> str:
    """The type and bounds of a key."""
    if choices is not None:
        return ", ".join(f"`{each}`" for each in choices())
    kinds = [kind for kind in _kinds(field.annotation) if kind is not type(None)]
    words = []
    for kind in kinds:
        if get_origin(kind) is Literal:
            words += [f"`{each}`" for each in get_args(kind)]
        else:
            words.append({bool: "`true` or `false`", int: "whole number", float: "number", str: "text"}[kind])
    return ", ".join(words) + _bounds(field.metadata)


def _kinds(annotation: Any) -> list[Any]:
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for each in get_args(annotation) for kind in _kinds(each)]
    if get_origin(annotation) is not None and get_origin(annotation) is not Literal:  # Annotated
        return _kinds(get_args(annotation)[0])
    return [annotation]


def _bounds(metadata: list[Any]) -> str:
    """The bounds among the constraints of a key."""
    signs: list[tuple[type, str, str]] = [(annotated_types.Ge, "ge", "≥"), (annotated_types.Gt, "gt", ">")]
    signs += [(annotated_types.Le, "le", "≤"), (annotated_types.Lt, "lt", "<")]
    bounds = [
        f"{sign} {getattr(each, name):,}" for kind, name, sign in signs for each in metadata if isinstance(each, kind)
    ]
    return f" {', '.join(bounds)}" if bounds else ""


def _shown(value: object) -> str:
    """A value as YAML has it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
