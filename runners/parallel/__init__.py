"""One model over several devices of a host: `Ranks` hold as many KV heads each, `split` leaves each its columns."""

from .ranks import ALONE, PATIENCE, TOGETHER, Ranks, is_loss, meet, refusing_loss
from .split import RowLinear, check_split, split_over

__all__ = [
    "ALONE",
    "PATIENCE",
    "TOGETHER",
    "Ranks",
    "RowLinear",
    "check_split",
    "is_loss",
    "meet",
    "refusing_loss",
    "split_over",
]
