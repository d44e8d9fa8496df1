import re

import pytest
from kvarena.tasks.procedural.assignments import Assignments, StateGrader
from kvarena.tasks.procedural.problems import EVALUATION_SEED, Problem

META = {"start": {"v": "0", "a": "5"}, "lines": [["v", "a", "+", "v"], ["a", "v", "-", "9"]], "rounds": 2}


def grade(answer, meta=META):
    return StateGrader()(f"<think> count 0 end </think> {answer}", "v 1 a 2", meta)


def test_a_tiny_problem():
    assert Assignments(num_variables=2, num_lines=2, num_rounds=1).problem(EVALUATION_SEED + 2) == Problem(
        question="start x 0 j 6 do 1 of 2 step 1 : j = x - j ; step 2 : x = j + x",
        chain="state x 0 j 6 count 1 step 1 of 2 : j = x - j = 0 - 6 = 4 state x 0 j 4 count 1 step 2 of "
        "2 : x = j + x = 4 + 0 = 4 state x 4 j 4 count 0 end",
        answer="x 4 j 4",
        meta={"start": {"x": "0", "j": "6"}, "lines": [["j", "x", "-", "j"], ["x", "j", "+", "x"]], "rounds": 1},
    )


def test_the_chain_follows_from_the_question(load_task, level):
    """Read back, each line is the question's, each sum is right, and each state is the one before with one change."""
    generator = load_task("assignments", level).samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        problem = generator.problem(seed)
        head, *lines = re.split(r" (?:; )?step \d+ : ", problem.question)
        _, start, rounds, of = re.fullmatch(r"(start) (.*) do (\d+) of (\d+)", head).groups()
        assert int(of) == len(lines)
        first, *steps = problem.chain.removesuffix(" count 0 end").split(" count ")
        assert first == f"state {start}"
        state, left = dict(zip(start.split()[::2], start.split()[1::2], strict=True)), int(rounds)
        assert len(steps) == left * len(lines)
        for place, step in enumerate(steps):
            said, new = step.split(" state ")
            number = place % len(lines)
            target, _, one, sign, other = lines[number].split()
            sums = f"{state[one]} {sign} {state.get(other, other)}"
            state[target] = str(eval(sums) % 10)
            said_line = f"step {number + 1} of {of} : {lines[number]} = {sums} = {state[target]}"
            assert said == f"{left - place // len(lines)} {said_line}"
            assert new == " ".join(f"{name} {value}" for name, value in state.items())
        assert problem.answer == new


@pytest.mark.parametrize("answer", ["v 1 a 2", "a 2 v 1", " v 1\na 2 <|im_end|>"])
def test_any_order_is_right(answer):
    assert grade(answer).score == 1


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("v 1 a 3", "a is 2"),
        ("v 1", "says nothing of a"),
        ("v 1 a 2 v 1", "says v twice"),
        ("v 1 a", "malformed: nothing follows a"),
        ("v 1 b 2", "malformed: 'b' is no key"),
        ("v 1 a 12", "malformed: '12' is no value"),
        ("1 2", "malformed: '1' is no key"),
    ],
)
def test_what_is_wrong_is_said(answer, note):
    verdict = grade(answer)
    assert (verdict.score, verdict.note) == (0, note)


def test_a_sample_without_program_is_an_error():
    with pytest.raises(ValueError, match="meta is empty"):
        grade("v 1 a 2", {})


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"num_variables": 1}, "num_variables=1: choose from 2 to 26"),
        ({"num_variables": 27}, "num_variables=27"),
        ({"num_lines": 0}, "num_lines=0: choose from 1 to 99"),
        ({"num_rounds": 100}, "num_rounds=100"),
    ],
)
def test_impossible_programs_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        Assignments(**({"num_variables": 2, "num_lines": 2, "num_rounds": 2} | size))
