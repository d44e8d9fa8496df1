import re

import pytest
from kvarena.tasks.procedural.problems import EVALUATION_SEED, Problem
from kvarena.tasks.procedural.sorting import OrderGrader, Sorting

META = {"numbers": [5, 31, 8, 5]}


def grade(answer, meta=META):
    return OrderGrader()(f"<think> list next </think> {answer}", "5 5 8 31", meta)


def test_a_tiny_problem():
    assert Sorting(num_numbers=4).problem(EVALUATION_SEED) == Problem(
        question="sort 96 31 88 1",
        chain="list next 96 31 88 1 take 96 : list 96 next 31 88 1 take 31 : 96 > "
        "list 31 96 next 88 1 take 88 : 31 < 96 > list 31 88 96 next 1 take 1 : 31 > list 1 31 88 96 next",
        answer="1 31 88 96",
        meta={"numbers": [96, 31, 88, 1]},
    )


def test_the_chain_follows_from_the_question(load_task, level):
    """Read back, each step takes the next number, walks to its place, and the next list has it there."""
    generator = load_task("sorting", level).samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        problem = generator.problem(seed)
        left, ordered = problem.question.removeprefix("sort ").split(), []
        *steps, last = problem.chain.removeprefix("list").split(" list")
        for step in steps:
            known, rest = step.split(" next ")
            waiting, taken, walk = re.fullmatch(r"(.*) take (\d+) :(.*)", rest).groups()
            assert known.split() == ordered
            assert waiting.split() == left
            assert taken == left.pop(0)
            words = walk.split()
            assert words[::2] == ordered[: len(words) // 2]
            assert words[1::2] == ["<" if int(word) < int(taken) else ">" for word in words[::2]]
            assert ">" not in words[:-1]
            place = len(words) // 2 - (words[-1:] == [">"])
            assert words[-1:] == [">"] or place == len(ordered)
            ordered.insert(place, taken)
        assert not left
        assert last == f" {' '.join(ordered)} next"
        assert problem.answer == " ".join(ordered)


@pytest.mark.parametrize("answer", ["5 5 8 31", "5 5\n8 31 <|im_end|>"])
def test_the_order_is_right(answer):
    assert grade(answer).score == 1


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("5 5 31 8", "31 stands before 8"),
        ("5 8 31", "5 is missing"),
        ("5 5 8", "31 is missing"),
        ("5 5 8 31 31", "'31' is no number that was left to be sorted"),
        ("5 5 8 32", "'32' is no number that was left to be sorted"),
        ("list 5 5 8 31", "'list' is no number that was left to be sorted"),
        ("9" * 5000, f"'{'9' * 20}' is no number that was left to be sorted"),
    ],
)
def test_what_is_wrong_is_said(answer, note):
    verdict = grade(answer)
    assert (verdict.score, verdict.note) == (0, note)


def test_a_sample_without_numbers_is_an_error():
    with pytest.raises(ValueError, match="meta is empty"):
        grade("5 5 8 31", {})


@pytest.mark.parametrize("num_numbers", [1, 101])
def test_impossible_lists_are_refused(num_numbers):
    with pytest.raises(ValueError, match=f"num_numbers={num_numbers}: choose from 2 to 100"):
        Sorting(num_numbers=num_numbers)
