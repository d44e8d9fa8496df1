import pytest
from kvarena.tasks.procedural.addition import Addition, SumGrader
from kvarena.tasks.procedural.problems import EVALUATION_SEED, Problem

META = {"numbers": [1, 28, 14], "places": 2}


def grade(answer, meta=META):
    return SumGrader()(f"<think> is 5 : a 3 b 4 </think> {answer}", "a 3 b 4", meta)


def test_a_tiny_problem():
    assert Addition(num_numbers=3, num_places=2).problem(EVALUATION_SEED) == Problem(
        question="sum of 3 ; 1 : a 1 b 0 ; 2 : a 8 b 2 ; 3 : a 4 b 1",
        chain="add 1 : a 1 b 0 and 2 : a 8 b 2 ; a 1 + 8 = 9 ; b 0 + 2 = 2 ; is 4 : a 9 b 2 "
        "add 3 : a 4 b 1 and 4 : a 9 b 2 ; a 4 + 9 = 3 up b 1 + 2 = 4 ; is 5 : a 3 b 4",
        answer="a 3 b 4",
        meta=META,
    )


def value(text):
    """The number that `a 3 b 4` stands for."""
    words = text.split()
    assert "".join(words[::2]) == "abcdefghijklmnopqrstuvwxyz"[: len(words) // 2]
    return int("".join(reversed(words[1::2])))


def test_the_chain_follows_from_the_question(load_task, level):
    """Read back, each step adds the next two of the numbers and of the sums so far, and each column is right."""
    generator = load_task("addition", level).samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        problem = generator.problem(seed)
        head, *listed = problem.question.split(" ; ")
        queue = [value(text.split(" : ")[1]) for text in listed]
        assert head == f"sum of {len(queue)}"
        assert queue == problem.meta["numbers"]
        for step in problem.chain.removeprefix("add ").split(" add "):
            operands, rest = step.split(" ; ", 1)
            columns, total = rest.split(" is ")
            numbers, values = zip(*[text.split(" : ") for text in (*operands.split(" and "), total)], strict=True)
            one, other, result = map(value, values)
            assert [queue[int(number) - 1] for number in numbers[:2]] == [one, other]
            queue.append(result)
            assert int(numbers[2]) == len(queue)
            assert one + other == result
            words, carry = columns.split(), 0
            for place in range(generator.num_places):
                letter, left, _, right, _, digit, sign = words[7 * place : 7 * place + 7]
                assert (letter, left, right, digit) == (
                    *values[0].split()[2 * place : 2 * place + 2],
                    values[1].split()[2 * place + 1],
                    values[2].split()[2 * place + 1],
                )
                carry = (int(left) + int(right) + carry) // 10
                assert sign == ("up" if carry else ";")
        assert [int(number) for number in numbers] == [len(queue) - 2, len(queue) - 1, len(queue)]
        assert value(problem.answer) == result == sum(problem.meta["numbers"])


@pytest.mark.parametrize("answer", ["a 3 b 4", "b 4 a 3", "a 3\nb 4 <|im_end|>"])
def test_any_order_is_right(answer):
    assert grade(answer).score == 1


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("a 4 b 3", "says 34, but the sum is 43"),
        ("a 3", "says nothing of b"),
        ("a 3 b 4 a 3", "says a twice"),
        ("a 3 b 4 c 0", "malformed: 'c' is no key"),
        ("a 43", "malformed: '43' is no value"),
        ("4 3", "malformed: '4' is no key"),
    ],
)
def test_what_is_wrong_is_said(answer, note):
    verdict = grade(answer)
    assert (verdict.score, verdict.note) == (0, note)


def test_a_sample_without_numbers_is_an_error():
    with pytest.raises(ValueError, match="meta is empty"):
        grade("a 3 b 4", {})


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"num_numbers": 1}, "num_numbers=1: choose from 2 to 50"),
        ({"num_numbers": 51}, "num_numbers=51"),
        ({"num_places": 1}, "num_places=1: choose from 2 to 26"),
    ],
)
def test_impossible_sums_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        Addition(**({"num_numbers": 2, "num_places": 2} | size))
