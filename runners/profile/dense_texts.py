"""What a recorded run of dense has said, as texts to be forced through the very model that said them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import instantiate
from omegaconf import OmegaConf

from ..fidelity.texts import Completions, dense_run
from ..generate import Request
from ..job.fingerprint import TOKENIZER, fingerprint
from ..job.made_of import place, weights
from ..job.prompts import Prompts
from ..job.reference import check_reference
from ..model import Checkpoint


class DenseTexts(NamedTuple):
    checkpoint: Checkpoint
    requests: list[Request]  # each with its completion
    origin: dict[str, Any]  # task, run and fingerprints, as a file that is made of them says it
    length: int  # of the task's sequences, on average


def dense_texts(model: str, run: str, count: int, skip: int = 0) -> DenseTexts:
    """The first `count` completions of a run behind `skip` problems; ValueError where `model` is not who said them."""
    header, _ = dense_run(run)
    checkpoint = checkpoint_of(header, model, run)
    task = instantiate(OmegaConf.create(header["config"]["task"]))
    samples = Completions(run=run, task=task)[skip : skip + count]
    if not samples:
        raise ValueError(f"{run} has {header['num_samples']} problems, none behind the first {skip}")
    longest = max(len(said) for sample in samples for said in sample.completions)
    prompts = Prompts(task=task, checkpoint=checkpoint, max_tokens=longest)
    requests = prompts.requests(samples, header["num_draws"], checkpoint.tokenizer())
    folder = place(checkpoint)
    prints = {"weights": weights(checkpoint), "tokenizer": fingerprint(folder, TOKENIZER) if folder else {}}
    check_reference(run, samples, requests, prints)
    source = {"task": header["labels"]["task"], "difficulty": header["labels"]["difficulty"]}
    origin = source | {"run": header["identity"], "fingerprints": prints}
    return DenseTexts(checkpoint, requests[:count], origin, header["config"]["task"]["dense_length"])


def refuse_unlike(said: Sequence[DenseTexts], runs: Sequence[str]) -> None:
    """ValueError for runs that are not of one model in one dtype, as one reads the texts of all; for one given twice,
    or two of the same command: their texts are the same."""
    seen: dict[str, str] = {}
    for one, run in zip(said, runs, strict=True):
        for name, of in {"dtype": lambda each: each.checkpoint.dtype, "weights": weights_of}.items():
            if of(one) != of(said[0]):
                raise ValueError(f"{runs[0]} and {run} differ in {name}: give runs of one model in one dtype")
        if (other := seen.get(one.origin["run"])) is not None:
            raise ValueError(f"{other} and {run} are the same run: give each once, and hold out others")
        seen[one.origin["run"]] = run


def weights_of(said: DenseTexts) -> Any:
    return said.origin["fingerprints"]["weights"]


def checkpoint_of(header: Mapping[str, Any], model: str, run: str) -> Checkpoint:
    """The model of a run, from where it was or from another folder."""
    name = header["labels"]["model"]
    checkpoint: Checkpoint = instantiate(OmegaConf.create(header["config"]["model"]))
    if model == name:
        return checkpoint
    if Path(model).is_dir():
        return replace(checkpoint, path=model, revision=None)
    raise ValueError(f"{model}: the run {run} is of model {name}, give {name}, or the folder of its weights")
