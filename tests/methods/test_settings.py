from dataclasses import dataclass

import numpy as np
import pytest
from kvarena.methods.budget import Budget
from kvarena.methods.neighbours import ByRank
from kvarena.methods.rkv import RKV
from kvarena.methods.settings import check_types
from kvarena.methods.vase_attnv import VaSEAttnV

PLACE = r"method.neighbours._target_=kvarena.methods.neighbours"


@dataclass(frozen=True)
class Settings:
    whole: int = 1
    number: float = 0.5
    flag: bool = False
    maybe: int | None = None
    word: str = ""


@pytest.mark.parametrize("fine", [{}, {"number": 1}, {"whole": np.int64(3)}, {"maybe": 3}, {"flag": True}], ids=str)
def test_what_fits_passes(fine):
    check_types("method", Settings(**fine))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"whole": 2.5}, "method.whole=2.5: use a whole number$"),
        ({"whole": True}, "method.whole=True: use a whole number$"),
        ({"number": "abc"}, "method.number=abc: use a number$"),
        ({"flag": 1}, "method.flag=1: use true or false$"),
        ({"maybe": 0.5}, "method.maybe=0.5: use a whole number or null$"),
        ({"word": 3}, "method.word=3: use a str$"),
        ({"whole": None}, "method.whole=None: use a whole number$"),
    ],
    ids=str,
)
def test_another_type_is_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        check_types("method", Settings(**wrong))


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
