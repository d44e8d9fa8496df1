"""Settings are of the types that their annotations say: a config may hold anything."""

import json
from collections.abc import Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from functools import lru_cache, partial, reduce
from inspect import isabstract
from numbers import Integral, Real
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin, get_type_hints, is_typeddict

from annotated_types import Ge, Gt, Le, Lt, MinLen
from pydantic import ConfigDict, PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter
from typing_extensions import get_protocol_members, is_protocol

STRICT = ConfigDict(strict=True, allow_inf_nan=False, arbitrary_types_allowed=True)
NAMES = {int: "a whole number", float: "a number", bool: "true or false", NoneType: "null", str: "a text"}
CONTAINERS = (list, tuple, set, frozenset, dict, Sequence, Set, Mapping)
WORDS = {
    Ge: ("ge", "{} or more"),
    Gt: ("gt", "above {}"),
    Le: ("le", "at most {}"),
    Lt: ("lt", "below {}"),
    MinLen: ("min_length", "one that is not empty"),
}
LONGEST = 100  # characters of a value that a message shows
MANY = 4  # classes that a message names


def check_types(prefix: str, settings: Any) -> None:
    """ValueError for the first field of a dataclass that is of another type; whole numbers are numbers, truths not."""
    hints = get_type_hints(type(settings), include_extras=True)
    for field in fields(settings):
        key, value = f"{prefix}.{field.name}", getattr(settings, field.name)
        object.__setattr__(settings, field.name, fit(key, value, hints[field.name]))


def fit(key: str, value: Any, hint: Any) -> Any:
    """The value as its annotation has it, for 2.0 is a whole number too; ValueError for one of another type.

    Classes are asked of instances; what pydantic does not know of an annotation is not asked.
    """
    if hint is Any or any(offers(type(value), kind) for kind in kinds(hint) if is_class(kind)):
        return value
    try:
        return _same(value, _validated(value, hint))
    except (PydanticUserError, PydanticUndefinedAnnotation):
        return value
    except (ValueError, TypeError, RecursionError) as error:  # or no JSON at all
        raise refusal(key, value, hint) from error


def refusal(key: str, value: Any, hint: Any, place: str = "") -> ValueError:
    """`place`: the key of the class, where another key of it is refused."""
    names = [_name(place or key, kind) for kind in kinds(hint)]
    for kind in () if place else kinds(hint):
        if get_origin(kind) is Annotated and _fits(value, get_args(kind)[0]):
            names = [_bounds(kind)]
    return ValueError(f"{key}={shown(value)}: use {(', or ' if ',' in ''.join(names) else ' or ').join(names)}")


def shown(value: Any) -> str:
    """As it is typed, in a line."""
    words = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else str(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def kinds(hint: Any) -> tuple[Any, ...]:
    """The alternatives of an annotation."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def is_class(kind: Any) -> bool:
    """Whether it is one that instances are of, not a number, a text, a list or the like."""
    kind = get_origin(kind) or kind
    return isinstance(kind, type) and not is_typeddict(kind) and kind not in (Any, Annotated, *NAMES, *CONTAINERS)


def offers(built: type, kind: Any) -> bool:
    """Whether the instances of a class are of a kind: a class or a Protocol, whose members it must have."""
    if not is_protocol(kind):
        return issubclass(built, dict if is_typeddict(kind) else get_origin(kind) or kind)
    there = {name for base in built.__mro__ for name in (*vars(base), *vars(base).get("__annotations__", ()))}
    return get_protocol_members(kind) <= there


def _fits(value: Any, hint: Any) -> bool:
    try:
        _validated(value, hint)
    except (ValueError, TypeError, RecursionError):
        return False
    return True


def _validated(value: Any, hint: Any) -> Any:
    """As a value of JSON; a dataclass would be made of its fields there."""
    plain = tuple(kind for kind in kinds(hint) if not (is_protocol(kind) or is_dataclass(kind)))
    if not plain:
        raise TypeError
    return _adapter(plain).validate_json(json.dumps(_plain(value)))


@lru_cache
def _adapter(plain: tuple[Any, ...]) -> TypeAdapter[Any]:
    return TypeAdapter(reduce(or_, plain), config=STRICT)


def _plain(value: Any) -> Any:
    """Numbers of other libraries, and whole ones written otherwise, as JSON has them."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    if isinstance(value, Integral):
        return int(value)
    number = float(value)
    return int(number) if number.is_integer() else number


def _same(value: Any, fitted: Any) -> Any:
    """The value itself, but for the numbers that had to be made whole."""
    if isinstance(value, list) and isinstance(fitted, Sequence):
        return [_same(*pair) for pair in zip(value, fitted, strict=True)]
    return fitted if type(fitted) is int and type(value) is not int else value


def _name(key: str, kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return f"{_name(key, get_args(kind)[0])}, {_bounds(kind)}"
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(shown, get_args(kind)))}"
    if kind in NAMES:
        return NAMES[kind]
    origin = get_origin(kind) or kind
    if not isinstance(origin, type):
        return str(kind)
    if issubclass(origin, Mapping):
        return "keys with values"
    if issubclass(origin, Sequence):
        return f"a list, each {_name(key, get_args(kind)[0])}" if get_args(kind) else "a list"
    if is_protocol(origin):
        return f"a class with {', '.join(sorted(get_protocol_members(origin)))}, as {_place(origin)} has"
    if origin is partial:
        return f"{_name(key, get_args(kind)[0])}, with {key}._partial_=true"
    there = [each for each in origin.__subclasses__() if isabstract(origin) and not isabstract(each)]
    if not 0 < len(there) <= MANY:
        return f"a {_place(origin)}"
    return " or ".join(f"{key}._target_={_place(each)}" for each in there)


def _bounds(kind: Any) -> str:
    base, *bounds = get_args(kind)
    words = []
    for bound in bounds:
        known = Ge(cast(int, bound.gt) + 1) if base is int and isinstance(bound, Gt) else bound
        if type(known) in WORDS:
            attribute, text = WORDS[type(known)]
            words.append(text.format(getattr(known, attribute)))
    return ", ".join(words)


def _place(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"
