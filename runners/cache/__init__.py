"""The KV cache: the only memory of a run, and its only writer.

`KVCache` holds a `Layer` of columns for each layer of a model and a `Clock` for each row: the host counts, the device
computes. A policy sees a layer through a view. `memory` says what fits, `Trace` writes what was kept, `replay` plays it
again. Nothing here knows of prompts, tokens or requests.
"""

from . import memory
from .bytes import bytes_share, tokens_within
from .cache import KVCache
from .calibration import FACTS, Calibration, file_of, read_calibration
from .clock import Clock, Usage
from .from_model import FromModel
from .layer import Layer
from .room import Room
from .round_facts import RoundFacts
from .shape import Shape
from .storage import PLAIN, Storage
from .trace import Trace
from .views import view_of

__all__ = [
    "FACTS",
    "PLAIN",
    "Calibration",
    "Clock",
    "FromModel",
    "KVCache",
    "Layer",
    "Room",
    "RoundFacts",
    "Shape",
    "Storage",
    "Trace",
    "Usage",
    "bytes_share",
    "file_of",
    "memory",
    "read_calibration",
    "tokens_within",
    "view_of",
]
