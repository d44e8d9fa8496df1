"""Triton's interpreter in two thirds of its time, with nothing of what it computes changed.

A launch patches `triton.language`, and every function that its kernel calls does so again; that is left out. And the
number that stands for a type is looked up, not found in a table of all of them that is made each time.
"""

from functools import cache

import pytest


def quicken(patch: pytest.MonkeyPatch) -> None:
    """From here on, as long as the patch holds."""
    from triton import language
    from triton.runtime import interpreter

    begin, number = interpreter._patch_lang, interpreter._get_np_dtype

    @cache
    def seen_by(fn):
        return [language, *(value for value in fn.__globals__.values() if value is language.core)]

    def begin_once(fn):
        return begin(fn) if any(language.core.is_builtin(each.load) for each in seen_by(fn)) else None

    @cache
    def number_named(name):
        return number(language.dtype(name))

    def number_of(kind):
        kind = kind.scalar
        return number(kind) if isinstance(kind, language.pointer_type) else number_named(kind.name)

    patch.setattr(interpreter, "_patch_lang", begin_once)
    patch.setattr(interpreter, "_get_np_dtype", number_of)
