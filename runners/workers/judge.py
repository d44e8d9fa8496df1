"""From a generation to its record: the text, the verdict, the loop it ended in."""

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, cast

from ...tasks.task import Grade, Sample, Task
from ...tasks.thought import CLOSE, unfinished
from ..fidelity import Drift
from ..generate import Generation, Request
from ..job.provenance import prompt_sha
from ..loops import repetition, terminal_loop
from ..model import Tokenizer
from ..record import Record


def judge(
    task: Task,
    sample: Sample,
    request: Request,
    generation: Generation,
    tokenizer: Tokenizer,
    seconds: float,
    opened: bool = False,
) -> Record:
    """Decode and grade a completion, never the prompt, which may have `opened` a thought; what takes longer stays
    ungraded."""
    assert generation.stop != "string"  # runs stop at none
    completion = text(generation.token_ids, tokenizer)
    drift: Drift | None = generation.seen
    grade = verdict(task, sample, generation, completion, seconds, opened)
    loop = terminal_loop(generation.token_ids)
    return Record(
        sample=generation.sample,
        draw=generation.draw,
        token_ids=generation.token_ids,
        completion=completion,
        answer=grade.answer,
        target=sample.target,
        score=grade.score,
        note=grade.note,
        stop=generation.stop,
        prompt_tokens=generation.prompt_tokens,
        num_tokens=len(generation.token_ids),
        loop_onset=loop.onset if loop else None,
        loop_period=loop.period if loop else None,
        loop_character=len(text(generation.token_ids[: loop.onset], tokenizer)) if loop else None,
        prefill_s=round(generation.prefill_s, 6),
        decode_s=round(generation.decode_s, 6),
        second_opinion=grade.second_opinion,
        score_unfinished=grade.score_unfinished,
        prompt_sha=prompt_sha(request.prompt, sample.target),
        **generation.usage._asdict(),
        **repetition(generation.token_ids, completion)._asdict(),
        **(forced(drift, generation, tokenizer) if drift else {}),
    )


def opens_thought(tokenizer: Tokenizer) -> bool:
    """Whether the chat template ends its prompts inside a thought. ValueError where a completion would not show the end
    of one."""
    ids = tokenizer(CLOSE, add_special_tokens=False).input_ids
    shown, hidden = tokenizer.decode(ids), text(ids, tokenizer)
    if CLOSE in shown and CLOSE not in hidden:
        raise ValueError(f"its tokenizer leaves {CLOSE} out of texts: set its special to false in tokenizer.json")
    message = [{"role": "user", "content": ""}]
    return unfinished(cast(str, tokenizer.apply_chat_template(message, add_generation_prompt=True, tokenize=False)))


def forced(drift: Drift, generation: Generation, tokenizer: Tokenizer) -> dict[str, Any]:
    """What a record of a forced text says more."""
    return drift._asdict() | {"pieces": tokenizer.batch_decode([[token] for token in generation.token_ids])}


def verdict(task: Task, sample: Sample, generation: Generation, completion: str, seconds: float, opened: bool) -> Grade:
    if generation.stop == "error":
        return Grade(score=None, answer="", note="logits were not finite")
    if generation.seen:
        return Grade(score=None, answer="", note="forced")
    try:
        with deadline(seconds):
            return task.grade(completion, sample, opened)
    except TimeoutError:
        return Grade(score=None, answer="", note="timeout")


def text(token_ids: Sequence[int], tokenizer: Tokenizer) -> str:
    return cast(str, tokenizer.decode(list(token_ids), skip_special_tokens=True))


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """TimeoutError in what runs longer, a process that it waits for included. Main thread only."""

    def ring(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
