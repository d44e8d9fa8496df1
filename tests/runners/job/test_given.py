from dataclasses import fields

import pytest
from kvarena.runners.graphs import GraphDecoder
from kvarena.runners.job.given import GIVEN, refuse_given

KEYS = {"batch_size", "look", "trace", "narrow", "capture_prompts", "prompts_at_once"}


def test_an_argument_of_an_engine_is_a_key_or_of_the_run():
    assert {field.name for field in fields(GraphDecoder) if field.init} == KEYS | set(GIVEN)


def test_what_the_run_gives_is_refused_by_its_name():
    refuse_given(dict.fromkeys(KEYS, 1))
    with pytest.raises(ValueError, match=r"engine\.longest_prompt=3: the run itself decides it, leave it out"):
        refuse_given({"batch_size": 2, "longest_prompt": 3})
