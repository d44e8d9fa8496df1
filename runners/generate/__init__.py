"""The decode loop: one for every method, model and task.

`Decoder` takes each `Request` through prefill, steps and rounds to a `Generation`; `generate` is that for strings.
"""

from .decoder import Decoder, generate
from .prefill import prefill
from .request import Generation, Request, Row

__all__ = ["Decoder", "Generation", "Request", "Row", "generate", "prefill"]
