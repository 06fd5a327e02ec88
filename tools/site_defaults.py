"""An extension of Griffe for `make docs`: defaults that are names of constants are shown as their values."""

from __future__ import annotations

import ast
from contextlib import suppress
from typing import Any

import griffe


class Defaults(griffe.Extension):
    """Replaces `MEGABIT` by its number, and `DEFAULTS.preset` by the default of that field of `Options`."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Replace the defaults of all parameters, and of the fields of dataclasses."""
        for module in [pkg, *_modules(pkg)]:
            for member in list(module.members.values()):
                if isinstance(member, griffe.Class):
                    self._class(member)
                elif isinstance(member, griffe.Function):
                    self._function(member)

    def _class(self, owner: griffe.Class) -> None:
        for member in owner.members.values():
            if isinstance(member, griffe.Function):
                self._function(member)
            elif isinstance(member, griffe.Attribute) and member.value is not None:
                member.value = _literal(member.value, owner.module) or member.value

    def _function(self, function: griffe.Function) -> None:
        for parameter in function.parameters:
            if parameter.default is not None:
                parameter.default = _literal(parameter.default, function.module) or parameter.default


def _modules(module: griffe.Module) -> list[griffe.Module]:
    inner = [each for each in module.members.values() if isinstance(each, griffe.Module)]
    return inner + [each for one in inner for each in _modules(one)]


def _literal(value: Any, module: griffe.Module) -> str | None:
    """The literal that an expression stands for, as Python writes it; None where it stands for none."""
    text = str(value)
    with suppress(ValueError, SyntaxError):
        return repr(ast.literal_eval(text))
    first, *rest = text.split(".")
    try:
        found = _attribute(module[first])
        if rest:  # DEFAULTS = Options()
            options = found.module[str(found.value).removesuffix("()")]
            found = _attribute((options.final_target if options.is_alias else options)[rest[0]])
        return _literal(found.value, found.module)
    except (KeyError, TypeError, griffe.GriffeError):
        return None


def _attribute(found: Any) -> griffe.Attribute:
    """What a name refers to; TypeError where that is not a constant."""
    found = found.final_target if found.is_alias else found
    if not isinstance(found, griffe.Attribute) or found.value is None:
        raise TypeError
    return found
