"""A colour from 1 to 3 for each node of a graph so that neighbours differ, found by trial and error with undo.

Each step says all colours given so far and the neighbours' again. An edge is written at its later node, where it is
checked.
"""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .answer import AnswerGrader, find_pair_fault, join_pairs
from .problems import Problem
from .redrawn import Redrawn
from .vocabulary import LETTERS

NUM_COLORS = 3

Graph = dict[str, list[str]]  # of each node the neighbours before it


@dataclass(frozen=True, kw_only=True)
class Coloring(Redrawn):
    num_nodes: int
    num_edges: int

    def __post_init__(self) -> None:
        if not 3 <= self.num_nodes <= len(LETTERS):
            raise ValueError(f"num_nodes={self.num_nodes}: choose from 3 to {len(LETTERS)}")
        most = self.num_nodes * (self.num_nodes - 1) // 4  # about two in three pairs of nodes differ in colour
        if not 1 <= self.num_edges <= most:
            raise ValueError(f"num_edges={self.num_edges}: {self.num_nodes} nodes take from 1 to {most} edges")

    @property
    def name(self) -> str:
        return f"coloring-{self.num_nodes}n"

    def draw(self, rng: random.Random) -> Problem:
        graph = self._graph(rng)
        chain, colors = _try_colors(graph, self.max_chain)
        edges = [[other, node] for node, before in graph.items() for other in before]
        meta = {"nodes": list(graph), "edges": edges}
        return Problem(question=_list_graph(graph), chain=chain, answer=join_pairs(colors), meta=meta)

    def _graph(self, rng: random.Random) -> Graph:
        """Random edges between nodes of unlike colours, so that there is an answer."""
        nodes = LETTERS[: self.num_nodes]
        colors = [place % NUM_COLORS for place in range(self.num_nodes)]
        rng.shuffle(colors)
        places = range(self.num_nodes)
        pairs = [(one, other) for other in places for one in range(other) if colors[one] != colors[other]]
        chosen = rng.sample(pairs, self.num_edges)
        return {nodes[place]: [nodes[one] for one, other in sorted(chosen) if other == place] for place in places}


def _list_graph(graph: Graph) -> str:
    lists = " ; ".join(f"{node} not {' '.join(before)}" if before else node for node, before in graph.items())
    return f"put 1 2 3 from a to {list(graph)[-1]} ; {lists}"


def _try_colors(graph: Graph, max_chain: int) -> tuple[str, dict[str, int]]:
    """The first colour that fits, node by node; where none does, the next one for the node before."""
    nodes, colors, steps, seen, num_words = list(graph), {}, [], 0, 0
    while len(colors) < len(nodes) and num_words <= max_chain:
        node = nodes[len(colors)]
        taken = {other: colors[other] for other in graph[node]}
        place = f"at {node} to {nodes[-1]} :"
        words = ["state", join_pairs(colors), place, join_pairs(taken), f"seen {seen}" if seen else ""]
        free = [color for color in range(seen + 1, NUM_COLORS + 1) if color not in taken.values()]
        if free:
            colors[node], seen = free[0], 0
            words.append(f"go {free[0]}")
        else:
            seen = colors.popitem()[1]
            words.append("back")
        steps.append(" ".join(filter(None, words)))
        num_words += len(steps[-1].split())
    return " ".join([*steps, f"state {join_pairs(colors)} found"]), colors


@dataclass(frozen=True, kw_only=True)
class ColoringGrader(AnswerGrader):
    """Any colouring in which neighbours differ is right, not only the target."""

    def find_fault(self, words: list[str], meta: Mapping[str, Any]) -> str:
        fault = find_pair_fault(words, meta["nodes"], [str(color) for color in range(1, NUM_COLORS + 1)])
        if fault:
            return fault
        colors = dict(zip(words[::2], words[1::2], strict=True))
        alike = [edge for edge in meta["edges"] if colors[edge[0]] == colors[edge[1]]]
        return f"neighbours {alike[0][0]} and {alike[0][1]} are both {colors[alike[0][0]]}" if alike else ""
