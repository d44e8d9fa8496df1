"""The Hydra configs, and their resolvers.

`${or:A,B}` is A, or B where A is null; `${part:A,N}` an Nth of A tokens, null where A is. `${under:A,NAME}` is file
NAME of folder A, null where A is.
"""

from omegaconf import OmegaConf

RESOLVERS = {
    "or": lambda value, default: default if value is None else value,
    "part": lambda tokens, n: None if tokens is None else tokens // n,
    "under": lambda folder, name: None if folder is None else f"{folder}/{name}",
}
for name, resolver in RESOLVERS.items():
    OmegaConf.register_new_resolver(name, resolver, replace=True)
