"""A config as kvarena-fidelity takes it, completed by the task whose texts are forced."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Optional, cast

from annotated_types import MinLen
from omegaconf import DictConfig, OmegaConf, open_dict

from ...methods.settings import fit
from .texts import Completions, TextFile, dense_run

HERE = "kvarena.runners.fidelity.texts"
# what texts that are there leave no choice of
OF_THE_RUN = ("levels", "difficulty", "sampler", "num_draws", "max_tokens", "data_dir")
OF_THE_FILE = ("task", "levels", "difficulty", "sampler", "num_draws", "max_tokens", "data_dir")


def with_texts(config: DictConfig, overrides: Sequence[str] = ()) -> DictConfig:
    """The config with the task whose texts are forced; ValueError where there are none.

    `overrides` as they were typed, key=value: what the texts decide is refused among them where it says otherwise.
    """
    for key in ("reference", "texts"):
        fit(key, config[key], Optional[Annotated[str, MinLen(1)]])  # noqa: UP045
    if (config.reference is None) == (config.texts is None):
        raise ValueError("give reference=RUN, the folder of a run of method=full, or texts=FILE.jsonl")
    if config.reference:
        then = dense_run(config.reference)[0]["config"]
        refuse_choices(overrides, config, f"reference={config.reference}", {key: then.get(key) for key in OF_THE_RUN})
    else:
        refuse_choices(overrides, config, f"texts={config.texts}", dict.fromkeys(OF_THE_FILE))
    config = config.copy()
    with open_dict(config):
        config.update(of_run(config, overrides) if config.reference else of_file(config))
    return config


def refuse_choices(overrides: Sequence[str], config: DictConfig, texts: str, decided: dict[str, Any]) -> None:
    """ValueError for an override of what the texts have decided, unless it says the same."""
    now = cast(dict[str, Any], OmegaConf.to_container(config))
    for override in overrides:
        name = override.partition("=")[0].lstrip("+~")
        key = name.partition(".")[0]
        if key in decided and now.get(key) != decided[key]:
            raise ValueError(f"{override} beside {texts}: its texts are forced as they are, leave {name} out")


def refuse_dtype(overrides: Sequence[str], config: DictConfig, then: Mapping[str, Any]) -> None:
    """ValueError where the texts would be forced in another than they were said in, and nobody has typed that."""
    there, now = then.get("model", {}).get("dtype"), config.model.dtype
    if there not in (None, now) and not any(word.lstrip("+").startswith("model.dtype=") for word in overrides):
        raise ValueError(
            f"reference={config.reference} was said in {there}, and model.dtype is {now}: give model.dtype={there}, or "
            f"model.dtype={now} to force it in that all the same"
        )


def of_run(config: DictConfig, overrides: Sequence[str]) -> dict[str, Any]:
    header, said = dense_run(config.reference)
    then, asked = header["config"], {"task": config.task.name, "model": config.model.name}
    for key, name in asked.items():
        if name != (there := header["labels"][key]):
            raise ValueError(f"reference={config.reference} is of {key} {there}, not {name}: give {key}={there}")
    refuse_dtype(overrides, config, then)
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
