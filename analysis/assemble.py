"""A page of one file that needs no network: a template of page/ with the styles and scripts beside it, and its data."""

import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

import pandas as pd

PLACE = re.compile(r"/\* (\S+) \*/")  # what stands here is named; a file of page/, if nothing else is


def assembled(template: str, given: Mapping[str, str]) -> str:
    """The template with every `/* name */` replaced, by what is given or by the file of that name; also in that."""
    text = (files("kvarena.analysis") / "page" / template).read_text(encoding="utf-8")

    def place(found: re.Match[str]) -> str:
        name = found.group(1)
        return given[name] if name in given else assembled(name, given)

    return PLACE.sub(place, text) if template.endswith(".html") else text


def json_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON values, null where a number is missing."""
    return json.loads(table.to_json(orient="records", double_precision=6))


def script_safe(value: Any) -> str:
    """JSON that neither ends the script element it stands in nor holds what JSON does not know."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
