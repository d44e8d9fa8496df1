"""The decode loop: one for every method, model and task.

A `Request` waits until a row of the `Decoder` is idle, is a `RunningSequence` through prefill, steps and rounds, and
ends as a `Generation`; `generate` is that for prompts of any kind.
"""

from .decoder import Decoder
from .from_python import generate
from .logprobs import Logprobs
from .narrowing import sizes
from .prefill import Prompt, prompt_mass
from .request import Generation, Request, RunningSequence
from .teacher import Sees

__all__ = [
    "Decoder",
    "Generation",
    "Logprobs",
    "Prompt",
    "Request",
    "RunningSequence",
    "Sees",
    "generate",
    "prompt_mass",
    "sizes",
]
