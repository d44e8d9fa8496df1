import json
from collections import Counter

import pytest
from kvarena.tasks.gpqa import GPQA
from kvarena.tasks.sources import read_jsonl

RELEASED = {
    "Record ID": "rec1",
    "Question": "Which is\nlargest?\n",
    "Correct Answer": "four\n",
    "Incorrect Answer 1": "one",
    "Incorrect Answer 2": "two",
    "Incorrect Answer 3": "three",
}
PRINTED = {
    "id": 7,
    "question": "Which is\nlargest?\n\nA. four\n\nB. one\nand a half\nC. two\nD. three\n\nPut it in \\boxed{}.",
    "answer": "A",
}


def options(question: str) -> dict[str, str]:
    lines = question.split("\n\n")[1].split("\n")
    return {line[0]: line[3:] for line in lines if line[1:3] == ". "}


def test_a_row_of_the_release():
    sample = GPQA()(RELEASED, 0)
    assert sample.id == "rec1"
    assert sample.question.startswith("Which is\nlargest?\n\nA. ")
    assert sample.question.endswith("without any other text with \\boxed{} in the end.")
    assert options(sample.question)[sample.target] == "four"
    assert sample.meta["order"]["ABCD".index(sample.target)] == "A"


def test_options_in_the_text_are_found():
    sample = GPQA()(PRINTED, 0)
    assert (sample.id, sample.question.endswith("\n\nPut it in \\boxed{}.")) == ("7", True)
    assert options(sample.question)[sample.target] == "four"
    assert "one\nand a half" in sample.question
    assert sorted(sample.meta["order"]) == list("ABCD")


def test_the_order_depends_on_seed_and_id_alone():
    orders = {(seed, id): GPQA(seed=seed)(PRINTED | {"id": id}, 0).meta["order"] for seed in (0, 1) for id in range(20)}
    assert GPQA()(PRINTED | {"id": 3}, 9).meta["order"] == orders[0, 3]
    assert len({orders[0, id] for id in range(20)}) > 5
    assert [orders[0, id] for id in range(20)] != [orders[1, id] for id in range(20)]
    assert orders[0, 7] == "DACB"


def test_a_question_without_options_is_refused():
    with pytest.raises(ValueError, match=r"no lines A\. to D\."):
        GPQA()(PRINTED | {"question": "Which?\n\nA. one\nB. two\n\n\\boxed{}"}, 0)


def test_every_letter_is_right_about_as_often(data):
    samples = read_jsonl(data("gpqa_diamond"), GPQA())
    assert len(samples) == 198
    counts = Counter(sample.target for sample in samples)
    assert all(0.15 * 198 <= counts[letter] <= 0.35 * 198 for letter in "ABCD")


def test_the_right_option_keeps_its_text(data):
    with open(data("gpqa_diamond"), encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    for row in rows:
        sample = GPQA()(row, 0)
        right = row["question"].split("\nA. ", 1)[1].split("\nB. ", 1)[0].strip()
        assert f"\n{sample.target}. {right}\n" in sample.question
        assert len(sample.question.split()) == len(row["question"].split())
