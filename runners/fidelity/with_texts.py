"""A config as kvarena-fidelity takes it, completed by the task whose texts are forced."""

import statistics
from typing import Annotated, Any, Optional

from annotated_types import MinLen
from omegaconf import DictConfig, open_dict

from ...methods.settings import fit
from .texts import Completions, TextFile, dense_run

HERE = "kvarena.runners.fidelity.texts"


def with_texts(config: DictConfig) -> DictConfig:
    """The config with the task whose texts are forced; ValueError where there are none."""
    for key in ("reference", "texts"):
        fit(key, config[key], Optional[Annotated[str, MinLen(1)]])  # noqa: UP045
    if (config.reference is None) == (config.texts is None):
        raise ValueError("give reference=RUN, the folder of a run of method=full, or texts=FILE.jsonl")
    config = config.copy()
    with open_dict(config):
        config.update(of_run(config) if config.reference else of_file(config))
    return config


def of_run(config: DictConfig) -> dict[str, Any]:
    header, said = dense_run(config.reference)
    then, asked = header["config"], {"task": config.task.name, "model": config.model.name}
    for key, name in asked.items():
        if name != (there := header["labels"][key]):
            raise ValueError(f"reference={config.reference} is of {key} {there}, not {name}: give {key}={there}")
    samples = {"_target_": f"{HERE}.{Completions.__name__}", "run": config.reference, "task": then["task"]}
    same = {key: then[key] for key in ("levels", "difficulty", "sampler", "num_draws", "data_dir") if key in then}
    return same | {
        "task": then["task"] | {"path": None, "samples": samples},
        "num_samples": config.num_samples or header["num_samples"],
        "max_tokens": max(map(len, said.values())),
    }


def of_file(config: DictConfig) -> dict[str, Any]:
    file = TextFile(path=config.texts)
    lengths = [len(text.prompt_ids) + len(text.completions[0]) for text in file]
    longest = max(len(text.completions[0]) for text in file)
    task = {
        "_target_": "kvarena.tasks.task.Task",
        "name": file.name,
        "samples": {"_target_": f"{HERE}.{TextFile.__name__}", "path": config.texts},
        "grader": {"_target_": "kvarena.tasks.graders.exact.ExactGrader"},
        "path": None,
        "template": "{question}",
        "dense_length": round(statistics.fmean(lengths)),
        "max_tokens": longest,
    }
    return {"task": task, "levels": None, "num_draws": 1, "max_tokens": longest}
