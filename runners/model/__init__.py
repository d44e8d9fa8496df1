"""The seam to transformers: the only place that touches it.

`Checkpoint` reads a model, `own_attention` lets it attend through our cache inside, `forward` is one call of it for
logits, `last_states` for what they are made of; `transformers_logits` are those of the model as it came. `shape_of`,
`positions_of` and `eos_ids` say what its configs say.
"""

from .asked import left_out
from .checkpoint import DTYPES, Checkpoint, Tokenizer
from .configs import Config, eos_ids, positions_of, shape_of
from .masks import MASKED
from .modules import attention_modules
from .output import output_weights
from .rotation import inverse_frequencies
from .seam import (
    ATTENTION,
    PLAIN_LAYERS,
    Attends,
    Model,
    decoder_layers,
    forward,
    last_states,
    misplaced,
    output_projection,
    output_states,
    own_attention,
    plain_tokens,
    random_model,
    transformers_logits,
    transformers_steps,
)

__all__ = [
    "ATTENTION",
    "DTYPES",
    "MASKED",
    "PLAIN_LAYERS",
    "Attends",
    "Checkpoint",
    "Config",
    "Model",
    "Tokenizer",
    "attention_modules",
    "decoder_layers",
    "eos_ids",
    "forward",
    "inverse_frequencies",
    "last_states",
    "left_out",
    "misplaced",
    "output_projection",
    "output_states",
    "output_weights",
    "own_attention",
    "plain_tokens",
    "positions_of",
    "random_model",
    "shape_of",
    "transformers_logits",
    "transformers_steps",
]
