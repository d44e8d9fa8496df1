"""The Hydra configs, and their resolvers.

`${or:A,B}` is A, or B where A is null; `${part:A,N}` an Nth of A tokens, null where A is.
"""

from omegaconf import OmegaConf

OmegaConf.register_new_resolver("or", lambda value, default: default if value is None else value, replace=True)
OmegaConf.register_new_resolver("part", lambda tokens, n: None if tokens is None else tokens // n, replace=True)
