"""From records to tables, figures and a report: `from kvarena.analysis import load; load("runs").to_pandas()`."""

from .load import load

__all__ = ["load"]
