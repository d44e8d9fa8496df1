"""What is asked of a model: each sample of a task by the model's chat template, as token ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import cast

from ...tasks.task import Sample, Task
from ..generate import Request
from ..model import Checkpoint, Tokenizer, positions_of


@dataclass(frozen=True, kw_only=True)
class Prompts:
    task: Task
    checkpoint: Checkpoint
    max_tokens: int  # of a completion

    def requests(self, samples: Sequence[Sample], num_draws: int, tokenizer: Tokenizer) -> list[Request]:
        """Every sample and draw; what the model cannot read is refused."""
        config = self.checkpoint.config().get_text_config()
        limit = positions_of(config)
        requests = []
        for sample in samples:
            ids = sample.prompt_ids or self._templated(sample, tokenizer)
            said = sample.completions or [()] * num_draws
            self._refuse_foreign(sample, max(chain(ids, *said)), config.vocab_size)
            longest = max(map(len, said)) or self.max_tokens
            if limit is not None and len(ids) + longest > limit:
                remedy = "cut it" if sample.completions else "lower max_tokens"
                raise ValueError(
                    f"sample {sample.id}: prompt of {len(ids)} tokens and a completion of {longest} exceed the {limit} "
                    f"positions of model {self.checkpoint.name}: {remedy}"
                )
            requests += [Request(sample.id, draw, ids, tokens) for draw, tokens in enumerate(said)]
        return requests

    def _templated(self, sample: Sample, tokenizer: Tokenizer) -> Sequence[int]:
        """The prompt; a tokenizer that cannot write this task is refused."""
        content = self.task.prompt(sample)
        ids, unknown = templated(tokenizer, content), tokenizer.unk_token_id
        if unknown is not None and unknown in ids:
            word = next((word for word in content.split() if unknown in tokenizer(word).input_ids), "its chat template")
            raise ValueError(
                f"model {self.checkpoint.name} cannot read task {self.task.name}: its tokenizer has no token for "
                f"{word!r}; use another model or task"
            )
        return ids

    def _refuse_foreign(self, sample: Sample, highest: int, vocab_size: int) -> None:
        """A tokenizer, or texts, that are not this model's."""
        if highest >= vocab_size and sample.completions:
            raise ValueError(
                f"sample {sample.id} holds token {highest}, but model {self.checkpoint.name} has {vocab_size}: its "
                "texts are of another model"
            )
        if highest >= vocab_size:
            raise ValueError(
                f"model {self.checkpoint.name}: its tokenizer gives token {highest}, but the model has {vocab_size}; "
                f"put the tokenizer it was trained with in {self.checkpoint.source}"
            )


@lru_cache(maxsize=2**13)
def templated(tokenizer: Tokenizer, content: str) -> Sequence[int]:
    """What a user says as token ids, for all runs of a sweep."""
    message = [{"role": "user", "content": content}]
    text = cast(str, tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False))
    return tokenizer(text, add_special_tokens=False).input_ids
