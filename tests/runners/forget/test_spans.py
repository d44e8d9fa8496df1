"""Which tokens are marked, by the reasoner's own tokenizer."""

from pathlib import Path

import pytest
from kvarena.runners.forget.spans import Clause, Distractor, OfPrompt, WrongStep
from kvarena.runners.generate import Request
from transformers import AutoTokenizer

TOKENIZER = AutoTokenizer.from_pretrained(Path(__file__).parents[3] / "models/reasoner")


def request(prompt, completion, name="a"):
    return Request(name, 0, *(TOKENIZER(text).input_ids for text in (prompt, completion)))


ONE = request("sum of 3 ; 1 : a 4 ; 2 : a 5 <|im_end|>", "add 1 : a 4 and 2 : a 5 ; a 4 + 5 = 9 ;")
OTHER = request("sum of 3 ; 7 : b 6 ; 8 : b 1 <|im_end|>", "add", "b")


def words(tokens):
    return TOKENIZER.decode(tokens)


def test_a_clause_is_from_a_separator_to_the_next():
    text = Clause(separator=";").mark(ONE, OTHER, TOKENIZER)
    assert text.span == (3, 8)
    assert words(text.tokens[slice(*text.span)]) == "; 1 : a 4"
    assert text.tokens == [*ONE.prompt, *ONE.completion]
    assert text.prompt == len(ONE.prompt)


def test_a_distractor_is_a_clause_of_another_problem_between_the_own():
    text = Distractor(separator=";").mark(ONE, OTHER, TOKENIZER)
    assert words(text.tokens[: text.prompt]) == "sum of 3 ; 7 : b 6 ; 1 : a 4 ; 2 : a 5 <|im_end|>"
    assert text.span == (3, 8)
    assert [*text.tokens[:3], *text.tokens[8:]] == [*ONE.prompt, *ONE.completion]


def test_a_wrong_step_says_the_newest_tokens_with_other_numbers():
    text = WrongStep(tokens=4, place=5).mark(ONE, OTHER, TOKENIZER)
    start, end = text.span
    assert (start - text.prompt, end - start) == (5, 4)
    said, wrong = words(text.tokens[start - 4 : start]).split(), words(text.tokens[start:end]).split()
    assert said == ["1", ":", "a", "4"]
    assert (wrong[1], wrong[2]) == (":", "a")
    assert wrong[0] != "1"
    assert wrong[3] != "4"
    assert {wrong[0], wrong[3]} <= {"1", "2", "3", "4", "5", "9"}


def test_where_there_is_no_number_letters_are_changed():
    facts = request("fact u k rule", "fact u k rule")
    text = WrongStep(tokens=3, place=3).mark(facts, OTHER, TOKENIZER)
    assert words(text.tokens[slice(*text.span)]) == "fact k u"


@pytest.mark.parametrize(
    ("span", "said"),
    [
        (OfPrompt(start=3, end=99), "the prompt of sample a has 14 tokens, give a span inside it"),
        (OfPrompt(start=5, end=5), "span.start=5 span.end=5"),
        (Clause(separator="?"), "stands 0 times in the prompt"),
        (WrongStep(tokens=4, place=40), "the chain of sample a has 18 tokens"),
        (WrongStep(tokens=4, place=3), "the span is of 4 before that place"),
    ],
)
def test_a_span_that_is_not_there_is_refused(span, said):
    with pytest.raises(ValueError, match=said):
        span.mark(ONE, OTHER, TOKENIZER)


def test_a_span_in_the_recent_window_is_refused():
    text = OfPrompt(start=2, end=len(ONE.prompt)).mark(ONE, OTHER, TOKENIZER)
    assert text.cut(4, recent=4) == len(ONE.prompt) + 4
    with pytest.raises(ValueError, match="after=3: tokens 2 to 14 of sample a overlap the recent window of 4"):
        text.cut(3, recent=4)
