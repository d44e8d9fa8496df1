"""What a run was made of: weights, tokenizer and code, each a hash a file or module, so that a change can be named.

No torch: a run is checked before a weight is read.
"""

from .changes import changes, listed
from .code import code
from .files import TOKENIZER, background, fingerprint, weight_files

__all__ = ["TOKENIZER", "background", "changes", "code", "fingerprint", "listed", "weight_files"]
