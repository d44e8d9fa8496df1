"""A run that has traced its caches, read back with what was said in them.

H KV heads, L layers, N slots, S tokens of a text, D head dim.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cache import Shape
from ..cache.replay import State, states
from ..job.fingerprint import changes, listed
from ..job.made_of import weights
from ..job.prompts import Prompts
from ..job.provenance import prompt_sha
from ..job.recorded_task import task_of
from ..model import Checkpoint, shape_of
from ..record import Labels, RunFolder, file_name


@dataclass(frozen=True, kw_only=True)
class TracedText:
    sample: str
    tokens: list[int]  # [S]
    prompt: int  # of them
    layers: list[State]  # [L], before the last round that the trace has whole


def traced_texts(path: str, checkpoint: Checkpoint) -> list[TracedText]:
    """In the order of their samples; ValueError for a folder without traces, or with those of another model."""
    folder = RunFolder(path=Path(path))
    if not folder.run_file.is_file():
        raise ValueError(f"runs: {path} has no run.json, give the folder of a run")
    header = folder.run()
    check_model(path, header, checkpoint)
    said = {record.key: record for record in folder.records()}
    task, _ = task_of(folder, header)
    prompts = Prompts(task=task, checkpoint=checkpoint, max_tokens=header["config"]["max_tokens"])
    samples = task.samples[: header["num_samples"]]
    found = []
    for request in prompts.requests(samples, header["num_draws"], checkpoint.tokenizer()):
        file = folder.path / "trace" / f"{file_name(f'{request.sample}-{request.draw}')}.safetensors"
        if file.is_file() and (record := said.get(request.key)):
            if record.prompt_sha not in (None, prompt_sha(request.prompt, record.target)):
                raise ValueError(f"runs: {path} answers another prompt of {request.sample} than its task has now")
            tokens, layers = [*request.prompt, *record.token_ids], last_states(file)
            if layers:
                found.append(
                    TracedText(sample=request.sample, tokens=tokens, prompt=len(request.prompt), layers=layers)
                )
    if not found:
        raise ValueError(f"runs: {path} has no trace of a round: run a method that evicts with engine.trace=32")
    check_shape(path, found[0], shape_of(checkpoint.config()))
    return found


def last_states(file: Path) -> list[State]:
    """Of all layers, before the last round of which the cache was written; none where there was no round."""
    seen = list(states(file))
    return [state for state in seen if state.round == seen[-1].round]


def check_model(path: str, header: Mapping[str, Any], checkpoint: Checkpoint) -> None:
    """ValueError unless this is the model whose caches these are: by its name, its dtype, the hashes of its weights."""
    if (name := Labels.read(header, Path(path)).model) != checkpoint.name:
        raise ValueError(f"runs: {path} has traces of model {name}, not {checkpoint.name}: give model={name}")
    if (then := header["config"]["model"].get("dtype")) not in (None, checkpoint.dtype):
        now = f"model.dtype is {checkpoint.dtype}"
        raise ValueError(
            f"runs: {path} was decoded in {then}, and {now}: give model.dtype={then}, and runs of that alone"
        )
    there = {"weights": header.get("fingerprints", {}).get("weights", {})}
    for names in changes(there, {"weights": weights(checkpoint)}).values():
        raise ValueError(f"runs: {path} has traces of other weights ({listed(names)}): give the model.path of then")


def check_shape(path: str, text: TracedText, shape: Shape) -> None:
    heads, _, dim = text.layers[0].keys.shape
    if (there := (len(text.layers), heads, dim)) != (shape.layers, shape.heads, shape.dim):
        raise ValueError(f"runs: {path} has traces of {there} layers, heads and channels, the model is of {shape}")


def titles(path: str) -> Iterator[tuple[str, object]]:
    """What a table calls a run."""
    labels = Labels.read(RunFolder(path=Path(path)).run(), Path(path))
    task = "-".join(filter(None, (labels.task, labels.difficulty)))
    ratio = None if labels.ratio is None else round(labels.ratio, 4)
    yield from {"task": task, "method": labels.named, "ratio": ratio, "tokens": labels.tokens}.items()
