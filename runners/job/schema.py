"""Every key of a config has a type, that of the annotation it is meant for, and is checked before anything is built.

Keys that name no class are the fields of a `Section`; below a `_target_` they are the arguments of what it names, and
what that does not annotate is not asked.
"""

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import lru_cache
from typing import Annotated, Any, Literal, cast, get_args, get_origin, get_type_hints

from omegaconf import Container, DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ...methods.settings import fit, is_class, kinds, offers, refusal, shown
from .target import PARTIAL, TARGET, arguments, made_by

ARGUMENTS = "_args_"
# what hydra takes beside the arguments
HYDRA = {
    TARGET: str,
    PARTIAL: bool,
    ARGUMENTS: list,
    "_recursive_": bool,
    "_convert_": Literal["none", "partial", "object", "all"],
}
NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
UNSET = "???"  # of a key that a config leaves to its user


@dataclass(frozen=True, kw_only=True)
class Section:
    """Keys of a config, as a dataclass; one with a default may be absent, as from a config that is older than it."""


def checked(section: type[Section], config: DictConfig) -> dict[str, Any]:
    """The config resolved, its whole numbers whole. ValueError, which names it, for the first key of another type."""
    return _keys("", cast(dict, OmegaConf.to_container(config, resolve=True)), section)


def check_plain(section: type[Section], config: DictConfig) -> None:
    """Before others are derived from them keys that name no class, as far as they can be resolved.

    Of the others the classes alone, since values that one has of another are none where that is of another kind.
    """
    hints = _hints(section)
    _refuse_others("", cast(dict, OmegaConf.to_container(config)), hints, _required(section))
    for name, hint in hints.items():
        try:
            value, is_built = config.get(name), _is_built(hint)
            value = OmegaConf.to_container(value, resolve=not is_built) if isinstance(value, Container) else value
        except OmegaConfBaseException:
            continue
        if not is_built:
            _key(name, value, hint)
        elif not (isinstance(value, dict) and TARGET in value):
            raise refusal(name, value, hint)
        else:
            _classes(name, cast(dict, value), hint)


def _classes(key: str, value: dict[str, Any], hint: Any) -> None:
    """Of what is to be built, and of its arguments, where they are known as they stand."""
    target, is_partial = value[TARGET], value.get(PARTIAL, False)
    if not isinstance(target, str) or not isinstance(is_partial, bool) or target == UNSET or "${" in target:
        return
    hints = arguments(made_by(key, value, hint))[1]
    for name, each in value.items():
        if isinstance(each, dict) and TARGET in each:
            _classes(f"{key}.{name}", each, hints.get(name, Any))


def _keys(prefix: str, value: Mapping[str, Any], section: type[Section]) -> dict[str, Any]:
    hints = _hints(section)
    _refuse_others(prefix, value, hints, _required(section))
    return {name: _key(f"{prefix}{name}", each, hints[name]) for name, each in value.items()}


def _key(key: str, value: Any, hint: Any) -> Any:
    sections = [kind for kind in kinds(hint) if isinstance(kind, type) and issubclass(kind, Section)]
    if sections and isinstance(value, dict):
        return _keys(f"{key}.", value, sections[0])
    if sections:
        names = ", ".join(f"{key}.{name}" for name in _hints(sections[0]))
        raise ValueError(f"{key}={shown(value)}: use its keys, {names}")
    parts = [kind for kind in kinds(hint) if get_origin(kind) is dict]
    if parts and isinstance(value, dict):
        return {name: _key(f"{key}.{name}", each, get_args(parts[0])[1]) for name, each in value.items()}
    return _walk(key, value, hint) if _is_built(hint) else fit(key, value, hint)


def _walk(key: str, value: Any, hint: Any) -> Any:
    if isinstance(value, dict) and TARGET in value:
        return _node(key, value, hint)
    if _holds_target(value):
        inner = _inner(key, value, hint)
        if isinstance(value, dict):
            return {name: _walk(f"{key}.{name}", each, inner) for name, each in value.items()}
        return [_walk(f"{key}[{place}]", each, inner) for place, each in enumerate(value)]
    return fit(key, value, hint)


def _inner(key: str, value: dict | list, hint: Any) -> Any:
    """The annotation of what a list or mapping holds, where one is wanted."""
    for kind in kinds(hint):
        plain = get_args(kind)[0] if get_origin(kind) is Annotated else kind
        if plain is Any or (isinstance(get_origin(plain) or plain, type) and offers(type(value), plain)):
            return (get_args(plain) or (Any,))[-1]
    raise refusal(key, value, hint)


def _node(key: str, value: dict[str, Any], hint: Any) -> dict[str, Any]:
    """The arguments of what `_target_` names."""
    for name, kind in HYDRA.items():
        if name in value:
            fit(f"{key}.{name}", value[name], kind)
    _refuse_others(f"{key}.", {TARGET: value[TARGET]}, HYDRA, ())
    made = made_by(key, value, hint)
    parameters, hints = arguments(made)
    given = {name: each for name, each in value.items() if name not in HYDRA}
    if parameters is not None:
        others = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        needed = [name for name, each in parameters.items() if each.default is each.empty and each.kind in NAMED]
        bound = value.get(PARTIAL, False) or ARGUMENTS in value
        _refuse_others(f"{key}.", given, given if others else parameters, () if bound else needed)
    return value | {name: _walk(f"{key}.{name}", each, hints.get(name, Any)) for name, each in given.items()}


def _refuse_others(prefix: str, value: Mapping[str, Any], known: Iterable[str], needed: Iterable[str]) -> None:
    for name, each in value.items():
        if name not in known:
            raise ValueError(f"{prefix}{name}={shown(each)}: no such key; there are {', '.join(known)}")
        if each == UNSET:
            raise ValueError(f"{prefix}{name} is missing: give {prefix}{name}=...")
    for name in needed:
        if name not in value:
            raise ValueError(f"{prefix}{name} is missing: give {prefix}{name}=...")


@lru_cache
def _hints(section: type[Section]) -> dict[str, Any]:
    return get_type_hints(section, include_extras=True)


def _required(section: type[Section]) -> list[str]:
    return [each.name for each in fields(section) if each.default is MISSING and each.default_factory is MISSING]


def _is_built(hint: Any) -> bool:
    return any(is_class(kind) and not issubclass(get_origin(kind) or kind, Section) for kind in kinds(hint))


def _holds_target(value: Any) -> bool:
    if isinstance(value, dict):
        return TARGET in value or any(map(_holds_target, value.values()))
    return isinstance(value, list) and any(map(_holds_target, value))
