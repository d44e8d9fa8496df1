"""What dense has said, and a decoder for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.utils import instantiate
from kvarena.methods.policy import Policy
from kvarena.runners.fidelity.texts import Completions, TextFile, dense_run
from kvarena.runners.generate import Decoder, Request
from kvarena.runners.graphs import GraphDecoder
from kvarena.runners.job.prompts import Prompts
from kvarena.runners.model import Checkpoint, Model
from kvarena.runners.sampler import Greedy
from omegaconf import OmegaConf


class Work(NamedTuple):
    model: Model
    texts: Sequence[Request]  # one a sample, each with its completion

    @property
    def engine(self) -> type[Decoder]:
        return GraphDecoder if self.model.device.type == "cuda" else Decoder

    def decoder(self, policy: Policy, requests: Sequence[Request], max_tokens: int, **options: Any) -> Decoder:
        """All of them at once."""
        return self.engine(
            model=self.model,
            policy=policy,
            sampler=Greedy(),
            max_tokens=max_tokens,
            longest_prompt=max(len(request.prompt) for request in requests),
            batch_size=len(requests),
            **options,
        )


def read_texts(path: Path, checkpoint: Checkpoint, count: int) -> list[Request]:
    """The first so many of a file of chains, or of a run of method=full (the first draw of each sample)."""
    if path.is_file():
        return [Request(one.id, 0, one.prompt_ids, one.completions[0]) for one in TextFile(path=str(path))[:count]]
    header, said = dense_run(str(path))
    task = instantiate(OmegaConf.create(header["config"]["task"]))
    samples = Completions(run=str(path), task=task)[:count]
    prompts = Prompts(task=task, checkpoint=checkpoint, max_tokens=max(map(len, said.values())))
    requests = prompts.requests(samples, header["num_draws"], checkpoint.tokenizer())
    return [request for request in requests if request.draw == 0]
