import re

import pytest
from kvarena.tasks.procedural.deduction import ClosureGrader, Deduction
from kvarena.tasks.procedural.problems import EVALUATION_SEED, Problem

META = {"facts": ["m", "u"], "rules": [[["m", "u"], "x"], [["x"], "k"], [["d"], "q"]]}


def grade(answer, meta=META):
    return ClosureGrader()(f"<think> end </think> {answer}", "m u x k", meta)


def test_a_tiny_problem():
    assert Deduction(num_facts=2, num_rules=3, num_letters=5).problem(EVALUATION_SEED) == Problem(
        question="fact m u of 3 rule 1 : m u then x ; rule 2 : m u then k ; rule 3 : u then d",
        chain="fact m u last 0 rule 1 of 3 : m yes u yes then x new "
        "fact m u x last 1 rule 2 of 3 : m yes u yes then k new "
        "fact m u x k last 2 rule 3 of 3 : u yes then d new "
        "fact m u x k d last 3 rule 1 of 3 : m yes u yes then x seen "
        "fact m u x k d last 3 rule 2 of 3 : m yes u yes then k seen "
        "fact m u x k d last 3 rule 3 end",
        answer="m u x k d",
        meta={"facts": ["m", "u"], "rules": [[["m", "u"], "x"], [["m", "u"], "k"], [["u"], "d"]]},
    )


def test_the_chain_follows_from_the_question(load_task, level):
    """Read back, each step looks up the premises of the next rule, and the end is a round without a new fact."""
    generator = load_task("deduction", level).samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        problem = generator.problem(seed)
        head, *rules = re.split(r" (?:; )?rule \d+ : ", problem.question)
        known, of = re.fullmatch(r"fact (.*) of (\d+)", head).groups()
        known, last = known.split(), 0
        assert int(of) == len(rules)
        *steps, end = problem.chain.removeprefix("fact ").split(" fact ")
        for place, step in enumerate(steps):
            number = place % len(rules) + 1
            premises, conclusion = rules[number - 1].split(" then ")
            marks = [word for one in premises.split() for word in (one, "yes" if one in known else "no")]
            verdict = "no" if "no" in marks else "seen" if conclusion in known else "new"
            said = (
                f"{' '.join(known)} last {last} rule {number} of {of} : {' '.join(marks)} then {conclusion} {verdict}"
            )
            assert step == said
            if verdict == "new":
                known.append(conclusion)
                last = number
        assert end == f"{' '.join(known)} last {last} rule {len(steps) % len(rules) + 1} end"
        assert last == len(steps) % len(rules) + 1
        assert problem.answer == " ".join(known)


def test_chains_stay_in_their_range(load_task, level):
    generator = load_task("deduction", level).samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        assert generator.min_chain <= len(generator.problem(seed).chain.split()) <= generator.max_chain


@pytest.mark.parametrize("answer", ["m u x k", "k x u m", "m u\nk x <|im_end|>"])
def test_any_order_is_right(answer):
    assert grade(answer).score == 1


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("m u x", "k is missing"),
        ("m u x k d", "'d' does not follow"),
        ("m u x k q", "'q' does not follow"),
        ("m u x k x", "says a fact twice"),
        ("fact m u x k", "'fact' does not follow"),
        ("z" * 5000, f"'{'z' * 20}' does not follow"),
    ],
)
def test_what_is_wrong_is_said(answer, note):
    verdict = grade(answer)
    assert (verdict.score, verdict.note) == (0, note)


def test_a_sample_without_rules_is_an_error():
    with pytest.raises(ValueError, match="meta is empty"):
        grade("m u x k", {})


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"num_facts": 0}, "num_facts=0: choose from 1 to 4"),
        ({"num_facts": 5}, "num_facts=5"),
        ({"num_rules": 1}, "num_rules=1: choose from 2 to 99"),
        ({"num_letters": 2}, "num_letters=2: choose from 3 to 26"),
    ],
)
def test_impossible_tables_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        Deduction(**({"num_facts": 2, "num_rules": 3, "num_letters": 5} | size))


def test_a_range_that_no_table_meets_is_refused():
    with pytest.raises(ValueError, match=r"min_chain=900.*widen the range"):
        Deduction(num_facts=2, num_rules=2, num_letters=5, min_chain=900).problem(0)
