import pytest
from kvarena.tasks.procedural.coloring import Coloring, ColoringGrader
from kvarena.tasks.procedural.problems import EVALUATION_SEED, Problem

# a triangle a b c with a tail d at c
META = {"nodes": ["a", "b", "c", "d"], "edges": [["a", "b"], ["a", "c"], ["b", "c"], ["c", "d"]]}


def grade(answer, meta=META):
    return ColoringGrader()(f"<think> found </think> {answer}", "a 1 b 2 c 3 d 1", meta)


def test_a_tiny_problem():
    assert Coloring(num_nodes=7, num_edges=10).problem(EVALUATION_SEED + 170) == Problem(
        question="put 1 2 3 from a to g ; a ; b not a ; c not a b ; d not c ; e not b c d ; f not b ; g not a d",
        chain="state at a to g : go 1 state a 1 at b to g : a 1 go 2 state a 1 b 2 at c to g : a 1 b 2 go "
        "3 state a 1 b 2 c 3 at d to g : c 3 go 1 state a 1 b 2 c 3 d 1 at e to g : b 2 c 3 d 1 "
        "back state a 1 b 2 c 3 at d to g : c 3 seen 1 go 2 state a 1 b 2 c 3 d 2 at e to g : b 2 c "
        "3 d 2 go 1 state a 1 b 2 c 3 d 2 e 1 at f to g : b 2 go 1 state a 1 b 2 c 3 d 2 e 1 f 1 at "
        "g to g : a 1 d 2 go 3 state a 1 b 2 c 3 d 2 e 1 f 1 g 3 found",
        answer="a 1 b 2 c 3 d 2 e 1 f 1 g 3",
        meta={
            "nodes": ["a", "b", "c", "d", "e", "f", "g"],
            "edges": [
                ["a", "b"],
                ["a", "c"],
                ["b", "c"],
                ["c", "d"],
                ["b", "e"],
                ["c", "e"],
                ["d", "e"],
                ["b", "f"],
                ["a", "g"],
                ["d", "g"],
            ],
        },
    )


def test_the_chain_follows_from_the_question(load_task, level):
    """Read back, each step says the colours so far and the neighbours', and moves as they ask."""
    generator = load_task("coloring", level).samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 20):
        problem = generator.problem(seed)
        head, *lists = problem.question.split(" ; ")
        before = {text.split()[0]: text.split()[2:] for text in lists}
        nodes = list(before)
        assert head == f"put 1 2 3 from a to {nodes[-1]}"
        assert sorted([other, node] for node in before for other in before[node]) == sorted(problem.meta["edges"])
        *steps, last = problem.chain.removeprefix("state").split(" state")
        colors, tried, backs = {}, 0, 0
        for step in steps:
            node = nodes[len(colors)]
            taken = {other: colors[other] for other in before[node]}
            seen = ["seen", str(tried)] if tried else []
            fits = [color for color in range(tried + 1, 4) if color not in taken.values()]
            move = ["go", str(fits[0])] if fits else ["back"]
            assert step.split() == [*flat(colors), "at", node, "to", nodes[-1], ":", *flat(taken), *seen, *move]
            if fits:
                colors[node], tried = fits[0], 0
            else:
                tried, backs = colors.pop(nodes[len(colors) - 1]), backs + 1
        assert last.split() == [*flat(colors), "found"]
        assert problem.answer.split() == flat(colors)
        assert level == "easy" or backs


def flat(colors):
    return [word for node, color in colors.items() for word in (node, str(color))]


def test_chains_stay_in_their_range(load_task, level):
    generator = load_task("coloring", level).samples.generator
    for seed in range(EVALUATION_SEED, EVALUATION_SEED + 50):
        assert generator.min_chain <= len(generator.problem(seed).chain.split()) <= generator.max_chain


@pytest.mark.parametrize(
    "answer", ["a 1 b 2 c 3 d 1", "a 3 b 1 c 2 d 3", "d 2 c 3 b 2 a 1", "a 1 b 2\nc 3 d 2 <|im_end|>"]
)
def test_any_coloring_is_right(answer):
    assert grade(answer).score == 1


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        ("a 1 b 1 c 3 d 1", "neighbours a and b are both 1"),
        ("a 1 b 2 c 3 d 3", "neighbours c and d are both 3"),
        ("a 1 b 2 c 3", "says nothing of d"),
        ("a 1 b 2 c 3 d 1 a 1", "says a twice"),
        ("a 1 b 2 c 3 d 4", "malformed: '4' is no value"),
        ("a 1 b 2 c 3 e 1", "malformed: 'e' is no key"),
        ("a 1 b 2 c 3 d", "malformed: nothing follows d"),
    ],
)
def test_what_is_wrong_is_said(answer, note):
    verdict = grade(answer)
    assert (verdict.score, verdict.note) == (0, note)


def test_a_sample_without_graph_is_an_error():
    with pytest.raises(ValueError, match="meta is empty"):
        grade("a 1", {})


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"num_nodes": 2, "num_edges": 1}, "num_nodes=2: choose from 3 to 26"),
        ({"num_nodes": 27, "num_edges": 30}, "num_nodes=27"),
        ({"num_nodes": 4, "num_edges": 0}, "num_edges=0: 4 nodes take from 1 to 3 edges"),
        ({"num_nodes": 4, "num_edges": 4}, "num_edges=4"),
    ],
)
def test_impossible_graphs_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        Coloring(**size)


def test_a_range_that_no_search_meets_is_refused():
    with pytest.raises(ValueError, match=r"min_chain=900.*widen the range"):
        Coloring(num_nodes=3, num_edges=1, min_chain=900).problem(0)
