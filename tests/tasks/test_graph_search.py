import pytest
from kvarena.tasks.procedural.graph_search import GraphSearch, PathGrader
from kvarena.tasks.procedural.problems import EVALUATION_SEED

# a square 1 2 3 4 with the diagonal 2 4 and a tail 5 at 4
META = {"start": 1, "goal": 3, "edges": [[1, 2], [2, 3], [3, 4], [1, 4], [2, 4], [4, 5]]}


def grade(answer, meta=META):
    return PathGrader()(f"<think> path 1 found </think> {answer}", "1 2 3", meta)


@pytest.fixture
def task(load_task, level):
    return load_task("graph_search", level)


def test_the_graph_in_the_question_is_the_one_that_is_graded(task):
    for sample in task.samples[:50]:
        head, lists = sample.question.split(" in ")
        assert head == f"path from {sample.meta['start']} to {sample.meta['goal']}"
        rows = [row.split(" : ") for row in lists.split(" ; ")]
        said = sorted(sorted((int(node), int(other))) for node, others in rows for other in others.split())
        assert said == sorted(sorted(edge) for edge in sample.meta["edges"] * 2)
        assert len(rows) == task.samples.generator.num_nodes
        assert len(sample.meta["edges"]) == task.samples.generator.num_edges


def test_the_chain_follows_from_the_question(task):
    """Each step restates the path, lists the neighbours in the question's order, and moves as the marks say."""
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 20):
        problem = task.samples.generator.problem(seed)
        lists = dict(row.split(" : ") for row in problem.question.split(" in ")[1].split(" ; "))
        *steps, last = [step.strip() for step in problem.chain.split("path ")[1:]]
        path, seen = [str(problem.meta["start"])], {str(problem.meta["start"])}
        for step in steps:
            said, rest = step.split(" at ")
            node, marks = rest.split(" : ")
            assert said.split() == path
            assert node == path[-1]
            words = marks.split()
            others = lists[node].split()
            fresh = [other for other in others if other not in seen]
            move = ["go", fresh[0]] if fresh else ["back"]
            listed = [word for other in others for word in (other, "seen" if other in seen else "new")]
            assert words == [*listed, *move]
            path = [*path, fresh[0]] if fresh else path[:-1]
            seen.update(path)
        assert last == f"{problem.answer} found"
        assert path == problem.answer.split()


def test_chains_stay_in_their_range(task):
    generator = task.samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        words = generator.problem(seed).chain.split()
        assert generator.min_chain <= len(words) <= generator.max_chain


@pytest.mark.parametrize("answer", ["1 2 3", "1 4 3", "1 4 2 3", "  1\n2 3 <|im_end|>"])
def test_any_path_is_right(answer):
    assert grade(answer).score == 1


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("1 3", "no edge between 1 and 3"),
        ("2 3", "starts at 2, not at 1"),
        ("1 4 5", "ends at 5, not at 3"),
        ("1 2 4 2 3", "visits 2 twice"),
        ("1 2 6 3", "malformed: '6' is no node of the graph"),
        ("path 1 2 3", "malformed: 'path' is no node of the graph"),
        ("9" * 5000, f"malformed: '{'9' * 20}' is no node of the graph"),
        ("", "no answer"),
        ("<|im_end|>", "no answer"),
    ],
)
def test_what_is_wrong_is_said(answer, note):
    verdict = grade(answer)
    assert (verdict.score, verdict.note) == (0, note)


def test_the_chain_is_not_an_answer():
    for completion, note in {
        "": "no answer",
        "1 2 3": "no answer",
        "<think> path 1 2 3 found 1 2 3": "thought not ended",
    }.items():
        verdict = PathGrader()(completion, "1 2 3", META)
        assert (verdict.score, verdict.answer, verdict.note) == (0, "", note)


def test_the_answer_is_what_follows_the_last_thought():
    assert grade("1 3 </think> 1 2 3").answer == "1 2 3"


def test_a_sample_without_graph_is_an_error_and_not_a_wrong_answer():
    with pytest.raises(ValueError, match="meta is empty"):
        grade("1 2 3", {})


def test_every_graph_is_connected(task):
    for sample in task.samples[:20]:
        reached, edges = {sample.meta["start"]}, sample.meta["edges"]
        for _ in edges:
            reached.update(node for edge in edges if reached.intersection(edge) for node in edge)
        assert len(reached) == task.samples.generator.num_nodes


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"num_nodes": 1, "num_edges": 0}, "num_nodes=1"),
        ({"num_nodes": 65, "num_edges": 80}, "num_nodes=65"),
        ({"num_nodes": 5, "num_edges": 3}, "num_edges=3: 5 nodes take from 4 to 10 edges"),
        ({"num_nodes": 5, "num_edges": 11}, "num_edges=11"),
    ],
)
def test_impossible_graphs_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        GraphSearch(**size)


def test_a_range_that_no_search_meets_is_refused():
    with pytest.raises(ValueError, match=r"min_chain=900.*widen the range"):
        GraphSearch(num_nodes=3, num_edges=2, min_chain=900).problem(0)
