from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le
from kvarena.methods.budget import Budget
from kvarena.methods.neighbours import ByRank
from kvarena.methods.rkv import RKV
from kvarena.methods.settings import check_types
from kvarena.methods.vase_attnv import VaSEAttnV

PLACE = r"method.neighbours._target_=kvarena.methods.neighbours"


class Called(Protocol):
    sure: ClassVar[bool]

    def __call__(self, text: str) -> int: ...


class Sure:
    sure = True

    def __call__(self, text: str) -> int:
        return len(text)


@dataclass(frozen=True)
class Settings:
    whole: int = 1
    number: float = 0.5
    flag: bool = False
    maybe: int | None = None
    word: str = ""
    counts: Sequence[Annotated[int, Ge(1)]] = ()
    share: Annotated[float, Gt(0), Le(1)] = 1.0
    many: Annotated[int, Gt(0)] | None = None
    mode: Literal["online", "offline"] = "online"
    call: Called = field(default_factory=Sure)
    folder: Path | None = None
    anything: Any = None
    maker: "partial[Any] | None" = None


FINE = [
    {},
    {"number": 1},
    {"maybe": 3},
    {"flag": True},
    {"counts": (2, 3)},
    {"counts": [2, 3]},
    {"folder": Path("a")},
    {"folder": "a"},
    {"anything": object},
    {"maker": partial(int)},
    {"mode": "offline", "many": 1, "share": 1},
]


@pytest.mark.parametrize("fine", FINE, ids=str)
def test_what_fits_passes_as_it_is(fine):
    settings = Settings(**fine)
    check_types("method", settings)
    assert {name: getattr(settings, name) for name in fine} == fine
    assert [type(getattr(settings, name)) for name in fine] == [type(value) for value in fine.values()]


@pytest.mark.parametrize("three", [3.0, np.int64(3), np.float32(3)], ids=repr)
def test_a_whole_number_may_be_written_otherwise(three):
    settings = Settings(whole=three, maybe=three, counts=[three])
    check_types("method", settings)
    assert (settings.whole, settings.maybe, settings.counts) == (3, 3, [3])
    assert {type(settings.whole), type(settings.maybe), type(settings.counts[0])} == {int}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"whole": 2.5}, "method.whole=2.5: use a whole number"),
        ({"whole": True}, "method.whole=true: use a whole number"),
        ({"whole": "3"}, "method.whole=3: use a whole number"),
        ({"whole": float("inf")}, "method.whole=inf: use a whole number"),
        ({"number": "abc"}, "method.number=abc: use a number"),
        ({"number": float("nan")}, "method.number=nan: use a number"),
        ({"number": False}, "method.number=false: use a number"),
        ({"flag": 1}, "method.flag=1: use true or false"),
        ({"maybe": 0.5}, "method.maybe=0.5: use a whole number or null"),
        ({"word": 3}, "method.word=3: use a text"),
        ({"word": "\ud800" * 2}, "method.word=\ud800\ud800: use a text"),
        ({"whole": None}, "method.whole=null: use a whole number"),
        ({"counts": [1, 0]}, "method.counts=[1, 0]: use a list, each a whole number, 1 or more"),
        ({"counts": 3}, "method.counts=3: use a list, each a whole number, 1 or more"),
        ({"share": 0}, "method.share=0: use above 0, at most 1"),
        ({"share": "x"}, "method.share=x: use a number, above 0, at most 1"),
        ({"many": 0}, "method.many=0: use 1 or more"),
        ({"many": 0.5}, "method.many=0.5: use a whole number, 1 or more, or null"),
        ({"mode": "on"}, "method.mode=on: use one of online, offline"),
        ({"whole": "x" * 200}, f"method.whole={'x' * 100}...: use a whole number"),
        ({"call": {}}, f"method.call={{}}: use a class with __call__, sure, as {__name__}.Called has"),
        ({"call": len}, f"method.call={len}: use a class with __call__, sure, as {__name__}.Called has"),
    ],
    ids=repr,
)
def test_another_type_is_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=r"^method") as error:
        check_types("method", Settings(**wrong))
    assert str(error.value) == message


def test_methods_and_budgets_check_themselves(budget):
    with pytest.raises(ValueError, match=r"method.lam=abc: use a number$"):
        RKV(budget=budget(20, recent=8), lam="abc")
    with pytest.raises(ValueError, match=f"method.neighbours=rank: use {PLACE}.ByPosition or {PLACE}.ByRank$"):
        RKV(budget=budget(20, recent=8), neighbours="rank")
    with pytest.raises(ValueError, match=r"method.sample=0: use true or false$"):
        VaSEAttnV(budget=budget(20), sample=0)
    with pytest.raises(ValueError, match=r"budget.tokens=50.5: use a whole number$"):
        Budget(tokens=50.5)
    assert RKV(budget=budget(20, recent=8), neighbours=ByRank(), lam=1).lam == 1
    assert type(Budget(tokens=100.0).tokens) is int
