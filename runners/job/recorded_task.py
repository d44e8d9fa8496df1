"""The task of a run that is there, built anew from its run.json: no model is asked."""

from collections.abc import Mapping
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from ...tasks.task import Task
from ..record import RunFolder
from .errors import USER_ERRORS, one_line


def task_of(folder: RunFolder, run: Mapping[str, Any], grader: DictConfig | None = None) -> tuple[Task, Any]:
    """The task of a run, with another grader where one is given; and the config of its grader."""
    try:
        config = OmegaConf.create(run["config"]["task"])
        if grader is not None:
            config.grader = grader if "_target_" in grader else OmegaConf.merge(config.grader, grader)
        task = instantiate(config)
        if not (isinstance(task, Task) and callable(task.grader) and type(run["num_samples"]) is int):
            raise TypeError("task and num_samples are not those of a run")
    except (*USER_ERRORS, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder.run_file}: its task cannot be built anew: {one_line(error)}") from error
    return task, config.grader
