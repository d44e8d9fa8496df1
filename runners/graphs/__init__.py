"""The decode loop on a GPU without the host: `GraphDecoder` replays captured steps and rounds, through fused layers."""

from .decoder import GraphDecoder

__all__ = ["GraphDecoder"]
