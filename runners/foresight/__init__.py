"""Scorers of slots, trained on what dense attends to later: `kvarena-foresight`."""

from .rounds import Example, examples
from .train import agreement, train_scorer

__all__ = ["Example", "agreement", "examples", "train_scorer"]
