import json
from itertools import pairwise

import pytest
from kvarena.tasks.procedural.graph_search import GraphSearch
from kvarena.tasks.procedural.problems import EVALUATION_SEED, Problem, Problems
from kvarena.tasks.procedural.vocabulary import WORDS
from kvarena.tasks.task import Sample

TINY = GraphSearch(num_nodes=5, num_edges=5, min_chain=30)


def test_a_seed_gives_this_problem_on_every_platform():
    assert TINY.problem(EVALUATION_SEED) == Problem(
        question="path from 53 to 15 in 53 : 62 41 15 ; 5 : 62 ; 41 : 53 ; 62 : 15 53 5 ; 15 : 62 53",
        chain="path 53 at 53 : 62 new 41 new 15 new go 62 "
        "path 53 62 at 62 : 15 new 53 seen 5 new go 15 "
        "path 53 62 15 found",
        answer="53 62 15",
        meta={"start": 53, "goal": 15, "edges": [[53, 62], [5, 62], [41, 53], [15, 62], [15, 53]]},
    )


def test_sizes_do_not_share_their_numbers():
    small, large = (GraphSearch(num_nodes=num_nodes, num_edges=6).problem(7) for num_nodes in (5, 6))
    assert not large.question.startswith(small.question[: len("path from 53 to")])


def test_samples_are_numbered_by_seed():
    problems = Problems(generator=TINY, size=3, first_seed=EVALUATION_SEED + 10)
    problem = TINY.problem(EVALUATION_SEED + 11)
    assert problems[1] == Sample(
        id="graph_search-5n-1073741835", question=problem.question, target=problem.answer, meta=problem.meta
    )


def test_problems_are_a_sequence():
    problems = Problems(generator=TINY, size=5)
    samples = list(problems)
    assert len(problems) == len(samples) == len({sample.id for sample in samples}) == 5
    assert problems[-1] == samples[4]
    assert problems[1:3] == tuple(samples[1:3])
    assert samples[2] in problems
    with pytest.raises(IndexError):
        problems[5]


def test_training_seeds_are_refused():
    with pytest.raises(ValueError, match=r"first_seed=1073741823 .* allow_training_seeds=true"):
        Problems(generator=TINY, first_seed=EVALUATION_SEED - 1)
    assert Problems(generator=TINY, first_seed=0, allow_training_seeds=True)[0].id == "graph_search-5n-0"


def test_no_problems_are_refused():
    with pytest.raises(ValueError, match="size=0"):
        Problems(generator=TINY, size=0)


def test_every_generated_answer_is_right(task):
    generator = task.samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 200):
        problem = generator.problem(seed)
        verdict = task.grader(problem.completion, problem.answer, problem.meta)
        assert (verdict.score, verdict.answer, verdict.note) == (1.0, problem.answer, "")


def test_answers_to_another_problem_are_wrong(task):
    samples = task.samples[:20]
    for sample, other in pairwise(samples):
        verdict = task.grader(f"<think> </think> {other.target}", sample.target, sample.meta)
        assert (verdict.score, bool(verdict.note)) == (other.target == sample.target, other.target != sample.target)


def test_no_answer_is_wrong_and_said(task):
    sample = task.samples[0]
    for completion, note in {
        "": "no answer",
        sample.target: "no answer",
        f"<think> {sample.target}": "thought not ended",
        "<think> </think>": "no answer",
        "<think> </think> <|im_end|>": "no answer",
    }.items():
        verdict = task.grader(completion, sample.target, sample.meta)
        assert (verdict.score, verdict.answer, verdict.note) == (0.0, "", note)


def test_neighbouring_seeds_differ(task):
    questions = [sample.question for sample in task.samples[:20]]
    assert len(set(questions)) == 20


def test_the_whole_fits_the_model(task):
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        problem = task.samples.generator.problem(seed)
        assert len(f"{problem.question} {problem.completion}".split()) + 7 <= 2048


def test_a_sample_goes_through_json(task):
    meta = task.samples[0].meta
    assert json.loads(json.dumps(meta)) == meta


def test_the_vocabulary_is_closed(task):
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        problem = task.samples.generator.problem(seed)
        assert set(f"{problem.question} {problem.completion}".split()) <= set(WORDS)


def test_a_word_is_a_token_and_a_token_a_byte():
    assert len(WORDS) == len(set(WORDS)) <= 256
    assert not any(word.split() != [word] for word in WORDS)
