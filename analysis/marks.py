"""What does not stand beside the other runs of its setting: tables mark it and leave it out of ranks and means.

So do charts: it is faint there, on no line and no front.
"""

import pandas as pd

from ..runners.record import DENSE
from .setting import SETTING

UNLIKE, PART = "‡", "§"
SAYS = {
    UNLIKE: "more than the method is unlike dense, or the dense that it is like is another than the others'",
    PART: "unfinished, or not of as many problems as the others",
}


def marks(rows: pd.DataFrame) -> pd.Series:
    """Of rows of results: empty, or one sign or both. The others are the rows of the same setting among them."""
    paired = rows["dense"].notna()
    company = rows.groupby([*SETTING, "dense"], dropna=False)["run"].transform("size").where(paired, 0)
    order = rows.assign(company=company).sort_values("company", ascending=False, kind="stable")
    dense = order.groupby(SETTING, dropna=False)["dense"].transform("first").reindex(rows.index)
    unlike = (rows["unlike"] != "") | (paired & (rows["dense"] != dense))
    complete = rows["complete"].astype(bool)  # what is not may have more problems than what is
    counted = rows["samples"].where(complete & ~unlike & (rows["method"] != DENSE)).astype(float)
    most = counted.groupby([rows[name] for name in SETTING], dropna=False).transform("max")
    part = ~complete | (most.notna() & (rows["samples"].astype(float) != most))
    return unlike.map({True: UNLIKE, False: ""}) + part.map({True: PART, False: ""})


def texts_marks(rows: pd.DataFrame) -> pd.Series:
    """The same of rows of drifts, which count the texts that were forced."""
    whole = rows["texts"].where(rows["texts"] == rows["planned"])
    most = whole.groupby([rows[name] for name in SETTING], dropna=False).transform("max")
    return (whole == most).map({True: "", False: PART})
