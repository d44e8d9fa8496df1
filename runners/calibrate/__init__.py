"""What learned columns are made of, by what dense has said: the spectrum of keys and values, bases and codebooks."""

from .columns import SIDES, DenseColumns, dense_columns
from .learned import as_safetensors, learned_of
from .spectrum import Shares, basis_of, energy_shares

__all__ = [
    "SIDES",
    "DenseColumns",
    "Shares",
    "as_safetensors",
    "basis_of",
    "dense_columns",
    "energy_shares",
    "learned_of",
]
