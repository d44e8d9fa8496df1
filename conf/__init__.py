"""The Hydra configs, and their one resolver: `${or:A,B}` is A, or B where A is null."""

from omegaconf import OmegaConf

OmegaConf.register_new_resolver("or", lambda value, default: default if value is None else value, replace=True)
