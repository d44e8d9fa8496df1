import json

import pytest
from kvarena.tasks.chains import ChainGrader, Chains, answers, value
from kvarena.tasks.rows import Columns
from kvarena.tasks.sample import Sample

FIVE = [Sample(id=str(i), question=f"{i} + 1?", target=str(i + 1)) for i in range(5)]


def test_problems_in_a_row_are_one_sample_and_the_rest_is_left_out():
    chains = Chains(length=2, problems=FIVE)
    assert [chain.id for chain in chains] == ["0-1", "2-3"]
    assert chains[1].question == "Problem 1: 2 + 1?\n\nProblem 2: 3 + 1?"
    assert chains[1].target == "3 | 4"
    assert (chains.remote, dict(chains.commits)) == (False, {})


def test_a_file_takes_the_place_of_the_problems(tmp_path):
    file = tmp_path / "gsm8k.jsonl"
    rows = [{"question": f"{i}?", "answer": f"because\n#### 1,00{i}"} for i in range(3)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    chains = Chains(length=3, problems=FIVE, path=str(file), reader=Columns(target="answer", after="####"))
    assert [(chain.id, chain.target) for chain in chains] == [("0-2", "1,000 | 1,001 | 1,002")]


@pytest.mark.parametrize(("length", "why"), [(0, "use 1 or more"), (6, "there are 5 problems, fewer")])
def test_a_length_that_cannot_be(length, why):
    with pytest.raises(ValueError, match=f"task.samples.length={length}: {why}"):
        len(Chains(length=length, problems=FIVE))


def test_an_answer_is_the_last_box_below_its_heading():
    text = r"""Let's go. \boxed{9}
Problem 1: 1 + 1 = 2, so \boxed{1}, no: \boxed{2}
### Problem 3: **Problem 5:** is not a heading \boxed{4 | 5}
**Problem 2:** no box
problem #4
\boxed{6 is not closed"""
    assert answers(text) == {1: "2", 3: "4 / 5"}


@pytest.mark.parametrize(
    ("answer", "number"),
    [("18", 18), ("18.0", 18), (r"\$1,800", 1800), (r"12\text{ eggs}", 12), ("16 - 7 = 9", 9), ("-3", -3), (".5", 0.5),
     ("eggs", None), ("", None), ("70 000", 70000), ("=", None)],
)  # fmt: skip
def test_the_number_of_an_answer(answer, number):
    assert value(answer) == number


def test_the_score_is_the_share_and_a_right_answer_is_spelt_as_its_target():
    said = "Problem 1: \\boxed{2.0}\n\nProblem 2: \\boxed{5}\n\nProblem 4: \\boxed{\\$1000}"
    grade = ChainGrader()(said, "2 | 3 | 4 | 1,000")
    assert (grade.score, grade.answer, grade.note) == (0.5, "2 | 5 |  | 1,000", "")


def test_nothing_said_is_wrong_in_all_places():
    grade = ChainGrader()("", "2 | 3")
    assert (grade.score, grade.answer) == (0.0, " | ")


def test_twenty_problems_of_a_file_are_asked(compose_task, data):
    config, task = compose_task("gsm8k_chains", f"task.samples.path={data('gsm8k')}")
    assert (len(task.samples), config.num_problems, config.num_samples) == (65, 65, 64)
    prompt = task.prompt(task.samples[0])
    assert prompt.count("\n\nProblem ") == 20
    assert task.samples[0].target.startswith("18 | 3 | ")
    told = "\n".join(f"Problem {i}: \\boxed{{{t}}}" for i, t in enumerate(task.samples[0].target.split(" | "), 1))
    assert task.grade(told, task.samples[0]).score == 1
