"""Configuration files: YAML documents that inherit from each other, and one sentence for every mistake.

A file contains one document or several (separated by `---`), each a set of keys under its own `name`:

    name: DEFAULT                      # supplies defaults to every other document
    ---
    name: Test                         # the first document that is not DEFAULT: what `load(path)` returns
    training: {epochs: 50}
    ---
    name: Long
    import: Test                       # starts from another document
"""

from __future__ import annotations

import difflib
import os
import re
import reprlib
from typing import Any

import yaml
from pydantic import ValidationError

from spikey.base.errors import UsageError
from spikey.config.schema import CHOICE, SECTIONS, Config

# A configuration has some fifty keys: what is far larger is the wrong file, or aliases nested to fill the memory.
_MAX_BYTES = 1 << 20
_MAX_NODES = 10_000
_MAX_DEPTH = 20


def _wrong(text: str) -> UsageError:
    return UsageError(text, code="configuration")


def load(path: str | os.PathLike[str], name: str | None = None) -> Config:
    """Read the document called `name`, or the first one, from the configuration file at `path`.

    Keys that the document leaves out come from the one it imports, then from DEFAULT, then from the schema.
    Raises UsageError, naming file and key, for anything that is not understood.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "config.yaml")
    ...     _ = path.write_text("name: A\\n---\\nname: B\\nimport: A\\ntraining: {epochs: 7}\\n")
    ...     load(path).name, load(path, "B").training.epochs
    ('A', 7)
    """
    file = os.fspath(path)
    documents = _read_documents(file)
    named = [document for document in documents if isinstance(document.get("name"), str)]
    by_name = {document["name"]: document for document in named}
    for document in named:
        if by_name[document["name"]] is not document:
            raise _wrong(f"{file}: two documents are named {_shown(document['name'])}")

    first = next((document for document in documents if document.get("name") != "DEFAULT"), documents[0])
    chosen = first if name is None else _named(file, by_name, name)
    label = f"{file}, document {_shown(chosen['name'])}" if len(documents) > 1 and "name" in chosen else file

    merged: dict[str, Any] = {section: {} for section in SECTIONS}
    for document in reversed(_ancestry(file, by_name, chosen)):
        _merge(merged, document)
    if "name" in chosen:
        merged["name"] = chosen["name"]
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise _wrong(f"{label}: {_explain(error)}") from None


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with bounds on nodes and depth."""

    nodes = depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.nodes += 1
        self.depth += 1
        if self.nodes > _MAX_NODES or self.depth > _MAX_DEPTH:
            raise yaml.YAMLError("it is too large or too deeply nested for a configuration")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


# PyYAML follows YAML 1.1, in which 1e-3 (no dot) is text. YAML 1.2 and everybody who writes a learning rate disagree.
_EXPONENT = re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$")
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+0123456789"))


def _read_documents(file: str) -> list[dict[str, Any]]:
    """The non-empty documents of a file as plain dictionaries, not yet checked against the schema."""
    try:
        with open(file, "rb") as stream:
            content = stream.read(_MAX_BYTES + 1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        cause = getattr(error, "strerror", None) or error
        raise _wrong(f"{file}: the configuration cannot be read ({cause})".replace("\0", "\\0")) from None
    if len(content) > _MAX_BYTES:
        raise _wrong(f"{file}: is larger than 1 MiB, too large for a configuration")

    documents = []
    try:
        loader, budget = _Loader(content), _MAX_NODES
        while loader.check_node() and (node := loader.get_node()):
            budget = _check_node(node, budget, 0)
            documents.append(loader.construct_document(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f" in line {mark.line + 1}" if mark else ""
        problem = " ".join(str(error.problem or error.context).split())
        raise _wrong(f"{file}: is not valid YAML{place}: {problem[:300]}") from None
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError) as error:
        # Beside bytes that are not text: what PyYAML's constructors raise for `2024-99-99` or `!!bool maybe`.
        raise _wrong(f"{file}: is not usable as YAML: {' '.join(str(error).split())[:300]}") from None

    for number, document in enumerate(documents, 1):
        if document is not None and not isinstance(document, dict):
            raise _wrong(f"{file}: document {number} is {_shown(document)}, not a set of `key: value` lines")
    if not any(documents):
        raise _wrong(f"{file}: holds no configuration, it is empty")
    return [document for document in documents if document]


def _check_node(node: yaml.Node, budget: int, depth: int) -> int:
    """Refuse duplicate and odd keys and what expands without bound; returns how many more nodes are allowed."""
    if budget <= 0 or depth > _MAX_DEPTH:
        raise yaml.YAMLError("its aliases expand to more than any configuration needs")
    budget -= 1
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            budget = _check_node(item, budget, depth + 1)
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.tag.rpartition(":")[2] not in ("str", "merge") or not isinstance(key.value, str):
                shown = _shown(key.value) if isinstance(key, yaml.ScalarNode) else "that is a list or mapping"
                raise yaml.MarkedYAMLError(None, None, f"the key {shown} is not a name", key.start_mark)
            if key.value in seen:
                raise yaml.MarkedYAMLError(None, None, f"the key {_shown(key.value)} occurs twice", key.start_mark)
            seen.add(key.value)
            budget = _check_node(value, budget - 1, depth + 1)
    return budget


def _named(file: str, by_name: dict[str, dict[str, Any]], name: object) -> dict[str, Any]:
    if not isinstance(name, str) or name not in by_name:
        known = f"; there is {', '.join(map(_shown, list(by_name)[:20]))}" if by_name else ""
        raise _wrong(f"{file}: no document is named {_shown(name)}{_nearest(name, list(by_name), known)}")
    return by_name[name]


def _ancestry(file: str, by_name: dict[str, dict[str, Any]], document: dict[str, Any]) -> list[dict[str, Any]]:
    """The document, what it imports, what that imports, ..., and DEFAULT at the end."""
    default = by_name.get("DEFAULT")
    if default and "import" in default:
        raise _wrong(f"{file}: the document DEFAULT cannot import another one")
    chain = [document]
    while "import" in chain[-1]:
        parent = _named(file, by_name, chain[-1]["import"])
        if any(parent is earlier for earlier in chain):
            circle = " > ".join(_shown(step.get("name")) for step in [*chain, parent])
            raise _wrong(f"{file}: the imports go in a circle: {circle}")
        chain.append(parent)
    if default and not any(default is earlier for earlier in chain):
        chain.append(default)
    return chain


def _merge(base: dict[str, Any], update: dict[str, Any]) -> None:
    """Lay `update` over `base`, section by section; an empty section changes nothing, and names are not inherited."""
    for key, value in update.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            base[key] = {**base[key], **value}
        elif key not in ("name", "import") and not (key in SECTIONS and value is None):
            base[key] = value


def _explain(error: ValidationError) -> str:
    """The first mistake as the rest of a sentence: dotted key, bad value, what would be right."""
    first = error.errors()[0]
    path = [str(part) for part in first["loc"]]
    key = ".".join(_shown(part)[1:-1] for part in path)
    value, context = _shown(first["input"]), first.get("ctx", {})
    if first["type"] == "extra_forbidden":
        fields = SECTIONS[path[0]].model_fields if len(path) > 1 else {**Config.model_fields, "import": None}
        elsewhere = [f"{name}.{path[-1]}" for name, model in SECTIONS.items() if path[-1] in model.model_fields]
        known = f"; did you mean {elsewhere[0]}?" if elsewhere else f"; there is {', '.join(fields)}"
        return f"{key} is not a known key{_nearest(path[-1], list(fields), known)}"
    if first["type"] in (CHOICE, "literal_error"):
        choices = context.get("choices") or re.findall(r"'([^']*)'", context["expected"])
        return f"{key} must be one of {', '.join(choices)}, not {value}{_nearest(first['input'], list(choices))}"
    return f"{key} must be {_WANTED.get(first['type'], 'of another form').format(**context)}, not {value}"


_WANTED = {
    "bool_type": "true or false",
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "greater_than": "greater than {gt:g}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt:g}",
    "less_than_equal": "at most {le}",
    "string_type": "text",
    "string_too_short": "a text that is not empty",
    "string_too_long": "a shorter text",
    "model_type": "a section of keys",
}


def _nearest(wrong: object, names: list[str], otherwise: str = "") -> str:
    """`; did you mean X?` with the name that `wrong` resembles, or else the text `otherwise`."""
    by_lower_case = {name.lower(): name for name in names}
    close = difflib.get_close_matches(wrong[:100].lower(), by_lower_case, n=1) if isinstance(wrong, str) else []
    return f"; did you mean {by_lower_case[close[0]]}?" if close else otherwise


def _shown(value: object) -> str:
    """A value in at most a line of printable characters, however long or odd it is."""
    if value is None or isinstance(value, bool):
        return {None: "empty", True: "true", False: "false"}[value]
    short = reprlib.Repr()
    short.maxstring = short.maxother = 60
    try:
        return short.repr(value)
    except ValueError:  # Python prints no integer of more than 4,300 digits
        return "a number of thousands of digits"
