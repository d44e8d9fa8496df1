import hashlib
import subprocess
import time

import pytest
from kvarena.runners.cache import Usage
from kvarena.runners.generate import Generation, Request
from kvarena.runners.model import Checkpoint
from kvarena.runners.workers import deadline, judge, opens_thought
from kvarena.tasks.task import Grade, Sample, Task


class Tokenizer:
    def decode(self, token_ids, skip_special_tokens):
        return " ".join(map(str, token_ids))


class Hangs:
    """A grader that waits for a process that does not end."""

    def __call__(self, completion, target, meta):
        with subprocess.Popen(["sleep", "1000"]) as self.process:
            try:
                self.process.wait()
            finally:
                self.process.kill()


def equal(completion, target, meta) -> Grade:
    return Grade(score=float(completion == target), answer=completion)


def judged(grader, stop="eos", seconds=60):
    task = Task(name="t", samples=[], grader=grader, dense_length=10, max_tokens=10)
    request = Request("a", 1, [3, 1, 4, 1])
    generation = Generation("a", 1, [5, 6], stop, 4, Usage(*[1] * len(Usage._fields)), 0.1, 0.2)
    return judge(task, Sample(id="a", question="q", target="5 6"), request, generation, Tokenizer(), seconds)


def test_the_completion_is_graded_in_time():
    record = judged(equal)
    assert (record.sample, record.draw, record.completion, record.score, record.note) == ("a", 1, "5 6", 1.0, "")


@pytest.mark.parametrize(("end", "opens"), [("<think>\n", True), ("<think>\n\n</think>\n\n", False), ("", False)])
def test_a_template_may_end_its_prompts_inside_a_thought(end, opens):
    tokenizer = Checkpoint(name="reasoner").tokenizer()
    tokenizer.chat_template += f"{{% if add_generation_prompt %}}{end}{{% endif %}}"
    assert opens_thought(tokenizer) is opens


def test_a_tokenizer_that_hides_the_end_of_a_thought_is_refused():
    tokenizer = Checkpoint(name="reasoner").tokenizer()
    tokenizer.add_tokens("</think>", special_tokens=True)
    with pytest.raises(ValueError, match=r"its tokenizer leaves </think> out of texts: set its special to false"):
        opens_thought(tokenizer)


def test_a_thought_that_the_prompt_opened_and_nothing_ended_is_not_graded():
    task = Task(name="t", samples=[], grader=equal, dense_length=10, max_tokens=10)
    generation = Generation("a", 1, [5, 6], "length", 4, Usage(*[1] * len(Usage._fields)), 0.1, 0.2)
    sample, request = Sample(id="a", question="q", target="5 6"), Request("a", 1, [3])
    record = judge(task, sample, request, generation, Tokenizer(), 60, opened=True)
    assert (record.score, record.note, record.score_unfinished) == (0.0, "thought not ended", 1.0)
    assert record.completion == "5 6"


def test_a_record_knows_what_was_asked():
    """12 hex digits of sha256 over [prompt ids, target] as JSON."""
    expected = hashlib.sha256(b'[[3, 1, 4, 1], "5 6"]').hexdigest()[:12]
    assert judged(equal).prompt_sha == expected


def test_a_grader_process_that_hangs_leaves_the_record_ungraded():
    grader, start = Hangs(), time.monotonic()
    record = judged(grader, seconds=0.2)
    assert time.monotonic() - start < 10
    assert (record.score, record.note, record.completion) == (None, "timeout", "5 6")
    assert grader.process.poll() is not None  # and it is gone


def test_what_was_not_finite_is_not_graded():
    record = judged(Hangs(), stop="error")
    assert (record.score, record.note) == (None, "logits were not finite")


def test_a_deadline_that_is_kept_rings_no_more():
    with deadline(0.05):
        pass
    time.sleep(0.1)
    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"), deadline(0.05):
        time.sleep(5)
