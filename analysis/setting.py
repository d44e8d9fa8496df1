"""A setting is a task, its difficulty and a model: what two runs must share to be compared."""

from typing import Any

import pandas as pd

SETTING = ["task", "difficulty", "model"]


def task_name(task: str, difficulty: Any) -> str:
    """`difficulty` is None, NaN or empty where the task has none."""
    return task if pd.isna(difficulty) or not difficulty else f"{task} ({difficulty})"


def title(task: str, difficulty: Any, model: str) -> str:
    return f"{task_name(task, difficulty)}, {model}"


def settings(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The title and the rows of each setting, in their order."""
    groups = table.groupby(SETTING, dropna=False, sort=False)
    return [(title(*rows.iloc[0][SETTING]), rows) for _, rows in groups]
