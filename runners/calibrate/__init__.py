"""What learned columns are made of, by what dense has said: the spectrum of keys and values, bases and codebooks."""

from .columns import SIDES, Columns, columns_of
from .learned import learned_of, written
from .spectrum import Shares, basis_of, shares

__all__ = ["SIDES", "Columns", "Shares", "basis_of", "columns_of", "learned_of", "shares", "written"]
