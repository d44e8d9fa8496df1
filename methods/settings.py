"""Settings are of the types that their annotations say: a config may hold anything."""

from dataclasses import fields
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

NUMBERS = {int: Integral, float: Real}
NAMES = {int: "a whole number", float: "a number", bool: "true or false", NoneType: "null"}


def check_types(prefix: str, settings: Any) -> None:
    """ValueError for the first field of a dataclass that is of another type; whole numbers are numbers, truths not."""
    hints = get_type_hints(type(settings))
    for field in fields(settings):
        key, value, hint = f"{prefix}.{field.name}", getattr(settings, field.name), hints[field.name]
        kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
        fits = isinstance(value, tuple(NUMBERS.get(kind, kind) for kind in kinds))
        if not fits or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{key}={value}: use {' or '.join(_name(key, kind) for kind in kinds)}")


def _name(key: str, kind: type) -> str:
    if kind in NAMES:
        return NAMES[kind]
    if kind.__module__ == "builtins":
        return f"a {kind.__name__}"
    return " or ".join(f"{key}._target_={c.__module__}.{c.__name__}" for c in kind.__subclasses__() or [kind])
