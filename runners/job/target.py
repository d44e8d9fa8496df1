"""What a `_target_` names: where it is, whether it gives what is wanted, and the arguments that it takes."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import is_dataclass
from functools import lru_cache, partial
from pkgutil import resolve_name
from types import NoneType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ...methods.settings import kinds, offers, refusal

TARGET, PARTIAL = "_target_", "_partial_"


def made_by(key: str, value: Mapping[str, Any], hint: Any) -> Any:
    """What `_target_` names, which has to give what is wanted."""
    made, is_partial = _located(f"{key}.{TARGET}", value[TARGET]), value.get(PARTIAL, False)
    if not any(_gives(made, is_partial, kind) for kind in kinds(hint)):
        raise refusal(f"{key}.{TARGET}", value[TARGET], hint, key)
    return made


def _located(key: str, path: str) -> Any:
    try:
        made = resolve_name(path)
    except ModuleNotFoundError as error:
        if not f"{path}.".startswith(f"{error.name}."):
            raise  # it is there, but a package that it needs is not
        if error.name == path.partition(".")[0]:
            raise ValueError(f"{key}={path}: no package {error.name} is installed here") from error
        made = None
    except Exception as error:  # whatever a module raises that is imported for it
        raise ValueError(f"{key}={path}: cannot be imported ({type(error).__name__}: {error})") from error
    if not callable(made):
        raise ValueError(f"{key}={path}: there is no such class or function")
    return made


def _gives(made: Any, is_partial: bool, kind: Any) -> bool:
    """Whether calling it, or leaving that to a later caller, gives what an annotation wants; a function has to say."""
    if kind is Any or kind is NoneType:
        return kind is Any
    origin = get_args(kind)[0] if get_origin(kind) is Annotated else get_origin(kind) or kind
    if is_partial and origin is partial:
        return _gives(made, False, get_args(kind)[0])
    if is_partial:
        return origin is Callable or offers(partial, origin)
    if not isinstance(made, type) and "return" not in arguments(made)[1]:
        return False
    given = made if isinstance(made, type) else arguments(made)[1]["return"]
    return not isinstance(given, type) or not isinstance(origin, type) or offers(given, origin)


@lru_cache
def arguments(made: Any) -> tuple[Mapping[str, inspect.Parameter] | None, Mapping[str, Any]]:
    """Parameters, and their annotations; None of what does not say."""
    try:
        parameters = inspect.signature(made).parameters
    except (ValueError, TypeError):
        return None, {}
    says = made.__init__ if isinstance(made, type) and not is_dataclass(made) else made
    try:
        return parameters, get_type_hints(says, include_extras=True)
    except (NameError, TypeError):  # of what is imported for a type checker alone
        known = {name: each.annotation for name, each in parameters.items() if not isinstance(each.annotation, str)}
        return parameters, {name: each for name, each in known.items() if each is not inspect.Parameter.empty}
