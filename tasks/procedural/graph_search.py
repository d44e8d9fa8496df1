"""A path between two nodes of a random graph, found by depth-first search with backtracking.

The chain names the whole current path before each node, and the graph names each edge at both of its ends: a model
that has lost old tokens can still find most of what it needs elsewhere.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from .answer import AnswerGrader, join_words
from .problems import Problem
from .redrawn import Redrawn

NUM_LABELS = 64  # nodes are numbers below this, the same in graphs of any size

Graph = dict[int, list[int]]  # the neighbours of a node, in the order in which they are tried


@dataclass(frozen=True, kw_only=True)
class GraphSearch(Redrawn):
    num_nodes: int
    num_edges: int

    def __post_init__(self) -> None:
        if not 2 <= self.num_nodes <= NUM_LABELS:
            raise ValueError(f"num_nodes={self.num_nodes}: choose from 2 to {NUM_LABELS}")
        most = self.num_nodes * (self.num_nodes - 1) // 2
        if not self.num_nodes - 1 <= self.num_edges <= most:
            raise ValueError(
                f"num_edges={self.num_edges}: {self.num_nodes} nodes take from {self.num_nodes - 1} to {most} edges"
            )

    @property
    def name(self) -> str:
        return f"graph_search-{self.num_nodes}n"

    def draw(self, rng: random.Random) -> Problem:
        graph = self._graph(rng)
        start, goal = rng.sample(list(graph), 2)
        chain, path = _search_path(graph, start, goal)
        edges = [[node, other] for node in graph for other in graph[node] if node < other]
        meta = {"start": start, "goal": goal, "edges": edges}
        return Problem(question=_ask_path(graph, start, goal), chain=chain, answer=path, meta=meta)

    def _graph(self, rng: random.Random) -> Graph:
        """A random tree, which connects all nodes, and edges between random ones."""
        nodes = rng.sample(range(NUM_LABELS), self.num_nodes)
        edges = [(node, rng.choice(nodes[:place])) for place, node in enumerate(nodes) if place]
        graph: Graph = {node: [] for node in rng.sample(nodes, self.num_nodes)}
        for node, other in edges:
            graph[node].append(other)
            graph[other].append(node)
        for _ in range(self.num_edges - len(edges)):
            node, other = rng.sample(nodes, 2)
            while other in graph[node]:
                node, other = rng.sample(nodes, 2)
            graph[node].append(other)
            graph[other].append(node)
        for neighbours in graph.values():
            rng.shuffle(neighbours)
        return graph


def _ask_path(graph: Graph, start: int, goal: int) -> str:
    lists = " ; ".join(f"{node} : {join_words(neighbours)}" for node, neighbours in graph.items())
    return f"path from {start} to {goal} in {lists}"


def _search_path(graph: Graph, start: int, goal: int) -> tuple[str, str]:
    """Depth-first search in the order of the lists: what it says on the way, and the path."""
    path, seen, steps = [start], {start}, []
    while path[-1] != goal:
        neighbours = graph[path[-1]]
        marks = " ".join(f"{node} {'seen' if node in seen else 'new'}" for node in neighbours)
        step = f"path {join_words(path)} at {path[-1]} : {marks}"
        new = [node for node in neighbours if node not in seen]
        if new:
            steps.append(f"{step} go {new[0]}")
            path.append(new[0])
            seen.add(new[0])
        else:
            steps.append(f"{step} back")
            path.pop()
    return " ".join([*steps, f"path {join_words(path)} found"]), join_words(path)


@dataclass(frozen=True, kw_only=True)
class PathGrader(AnswerGrader):
    """Any path along edges from start to goal that repeats no node is right, not only the target."""

    def find_fault(self, words: list[str], meta: Mapping[str, Any]) -> str:
        """What is wrong with the path; nothing if it is right."""
        # compared as words: a model may write any number of digits
        start, goal = str(meta["start"]), str(meta["goal"])
        edges = {frozenset(map(str, edge)) for edge in meta["edges"]}
        nodes = frozenset().union(*edges)
        for word in words:
            if word not in nodes:
                return f"malformed: {word[:20]!r} is no node of the graph"
        if words[0] != start:
            return f"starts at {words[0]}, not at {start}"
        if words[-1] != goal:
            return f"ends at {words[-1]}, not at {goal}"
        for node, other in pairwise(words):
            if frozenset((node, other)) not in edges:
                return f"no edge between {node} and {other}"
        repeated = [node for node, count in Counter(words).items() if count > 1]
        return f"visits {repeated[0]} twice" if repeated else ""
