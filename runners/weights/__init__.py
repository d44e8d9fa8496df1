"""Weights that come as a GGUF: a folder in Hugging Face format is made of them, and says what it was made of.

`read_origin` needs nothing but the folder; the rest needs the extra `gguf`, and is imported from its own file.
"""

from .origin import Origin, read_origin

__all__ = ["Origin", "read_origin"]
