"""The Hydra configs, and their resolvers.

`${or:A,B}` is A, or B where A is null; `${part:A,N}` an Nth of A tokens, null where A is. `${under:A,NAME}` is file
NAME of folder A, null where A is. `${profile:A}` is what layers demand, of a file A.yaml of kvarena-profile or of the
one that ships with model A, null where A is. `${digest:A}` is the beginning of the sha256 of a scorer, of a file
A.safetensors of kvarena-foresight or of the one that ships with model A.
"""

import hashlib
from importlib.resources import files
from pathlib import Path

import yaml
from omegaconf import OmegaConf


def demand_of(name: str | None) -> list[float] | None:
    """By layer; ValueError where there is none."""
    if name is None:
        return None
    given = name.endswith(".yaml")
    file = Path(name) if given else files("kvarena.models") / name / "profile.yaml"
    if not file.is_file():
        makes = f"kvarena-profile {Path(name).stem} RUN, RUN a run of method=full, makes one"
        what = name if given else f"model {name}"
        raise ValueError(f"{what} has no profile here: {makes}; with method.profile=null layers are alike")
    try:
        return list(yaml.safe_load(file.read_text())["demand"])
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise ValueError(f"{name} is no profile of kvarena-profile: it has no list `demand`") from error


def digest_of(name: str | None) -> str | None:
    """ValueError where there is no scorer."""
    if name is None:
        return None
    given = name.endswith(".safetensors")
    file = Path(name) if given else files("kvarena.models") / name / "foresight" / "scorer.safetensors"
    if not file.is_file():
        makes = f"kvarena-foresight {Path(name).stem} RUN, RUN a run of method=full, makes one"
        what = name if given else f"model {name}"
        raise ValueError(f"{what} has no scorer here: {makes}; with method.scorer=null it is untrained")
    return hashlib.sha256(file.read_bytes()).hexdigest()[:12]


RESOLVERS = {
    "digest": digest_of,
    "or": lambda value, default: default if value is None else value,
    "part": lambda tokens, n: None if tokens is None else tokens // n,
    "profile": demand_of,
    "under": lambda folder, name: None if folder is None else f"{folder}/{name}",
}
for name, resolver in RESOLVERS.items():
    OmegaConf.register_new_resolver(name, resolver, replace=True)
