"""The descriptions of all commands, from the definitions of their options.

`python -m tools.reference_pages` writes the page, `python -m tools.man_pages` the manual pages.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import typer

from spikey.cli import app
from spikey.cli.options import Command

OPTIONS = "Options"  # the group of options without one
DEFAULT = " Default: "  # in a help text, before what is not in the definition


@dataclass(frozen=True)
class Option:
    """An option or argument: names, kind of value, help, default; empty where there is none."""

    names: tuple[str, ...]
    value: str
    help: str
    default: str
    required: bool


@dataclass(frozen=True)
class Page:
    """A command: its words, such as ("stream", "send"), paragraphs, options by group, and examples."""

    words: tuple[str, ...]
    panel: str
    paragraphs: tuple[str, ...]
    arguments: tuple[Option, ...]
    options: dict[str, list[Option]]
    examples: tuple[str, ...] = field(default=())

    @property
    def name(self) -> str:
        """The command as it is typed."""
        return " ".join(("spikey", *self.words))

    @property
    def synopsis(self) -> str:
        """The command with its arguments."""
        every = [option for group in self.options.values() for option in group]
        required = [f"{option.names[0]} {option.value}" for option in every if option.required]
        return " ".join((self.name, *required, "[OPTIONS]", *(option.names[0] for option in self.arguments)))


def pages() -> list[Page]:
    """All commands in the order of the help text."""
    return list(_walk(typer.main.get_command(app), (), ""))


def _walk(group: Any, words: tuple[str, ...], panel: str) -> Iterator[Page]:
    for name, command in group.commands.items():
        where = panel or str(command.rich_help_panel)
        if hasattr(command, "commands"):
            yield from _walk(command, (*words, name), where)
        else:
            yield page_of(command, (*words, name), where)


def page_of(command: Command, words: tuple[str, ...], panel: str) -> Page:
    """The description of one command."""
    command.fill_in()
    assert command.callback is not None
    kinds = get_type_hints(inspect.unwrap(command.callback), include_extras=True)
    arguments: list[Option] = []
    options: dict[str, list[Option]] = {}
    for parameter in command.params:
        kind = kinds[str(parameter.name)]
        if parameter.param_type_name == "argument":
            arguments.append(_argument(parameter))
        else:
            group = getattr(parameter, "rich_help_panel", None) or OPTIONS
            options.setdefault(group, []).append(_option(parameter, kind))
    paragraphs = tuple((command.help or "").split("\n\n"))
    return Page(words, panel, paragraphs, tuple(arguments), options, tuple(command.examples))


def _argument(parameter: Any) -> Option:
    return Option((parameter.metavar,), "", _text(parameter), "", parameter.required)


def _option(parameter: Any, kind: Any) -> Option:
    names = (*parameter.opts, *parameter.secondary_opts)
    value = "" if parameter.is_flag else parameter.metavar or _value(kind)
    return Option(names, value, _text(parameter), _default(parameter), parameter.required)


def _text(parameter: Any) -> str:
    """The help without the sentence on the default."""
    return str(parameter.help or "").partition(DEFAULT)[0]


def _default(parameter: Any) -> str:
    """The default, from the help or from the definition."""
    _, found, text = str(parameter.help or "").partition(DEFAULT)
    if found:
        return text.removesuffix(".")
    default = parameter.default
    if parameter.is_flag:
        chosen = parameter.opts if default else parameter.secondary_opts
        return chosen[0] if chosen else ""
    if default is None or default == "" or default == ():
        return ""
    return f"{default:g}" if isinstance(default, float) else str(default)


def _value(kind: Any) -> str:
    """The kind of value, with its bounds."""
    annotation, info = get_args(kind)[:2]
    words = " ".join(_word(each) for each in _types(annotation))
    low, high = info.min, info.max
    if low is not None and high is not None:
        return f"{words}, {low:g} to {high:,}"
    return words if low is None else f"{words} ≥ {low:g}"


def _types(annotation: Any) -> list[Any]:
    """The types of a value; of several, as a tuple has them, each."""
    if get_origin(annotation) is None:
        return [] if annotation is type(None) else [annotation]
    return [kind for each in get_args(annotation) for kind in _types(each)]


def _word(kind: Any) -> str:
    return {int: "INTEGER", float: "NUMBER", Path: "PATH", datetime: "TIME"}.get(kind, "TEXT")
