"""A package of somebody else: a method, a task with its questions, a grader, and the entry point that says so."""

from pathlib import Path
from textwrap import dedent

FILES = {
    "{name}/__init__.py": "",
    "{name}/parity.py": '''
        """Parity: tokens at even positions go first. An example."""

        from dataclasses import dataclass

        import torch
        from kvarena.methods.policy import Eviction, LayerView
        from torch import Tensor

        from .settings import SIGN


        @dataclass(frozen=True, kw_only=True)
        class Parity(Eviction):
            strength: float = 1.0

            def score(self, view: LayerView) -> Tensor:  # [B, H, N]
                return SIGN * self.strength * (view.positions % 2).float()
    ''',
    "{name}/settings.py": "SIGN = 1\n",
    "{name}/short.py": """
        from collections.abc import Mapping
        from dataclasses import dataclass
        from typing import Any

        from kvarena.tasks.task import Grade


        @dataclass(frozen=True, kw_only=True)
        class ShortGrader:
            longest: int

            def __call__(self, completion: str, target: str, meta: Mapping[str, Any] = {}) -> Grade:
                return Grade(score=float(len(completion) <= self.longest), answer=completion[:3])
    """,
    "{name}/conf/__init__.py": "",
    "{name}/conf/method/{name}.yaml": """
        _target_: {name}.parity.Parity
        budget:
          _target_: kvarena.methods.budget.Budget
          tokens: ${{compression.tokens}}
          recent: 8
          interval: 4
        strength: 1.0
    """,
    "{name}/conf/task/{name}.yaml": """
        # @package _global_
        # two questions of mine
        num_samples: null
        task:
          _target_: kvarena.tasks.task.Task
          name: {name}
          path: pkg://{name}.conf/questions.jsonl
          samples: []
          grader:
            _target_: {name}.short.ShortGrader
            longest: 100000
          dense_length: 100
          max_tokens: 24
    """,
    "{name}/conf/grader/{name}_strict.yaml": """
        _target_: {name}.short.ShortGrader
        longest: 0
    """,
    "{name}/conf/questions.jsonl": """
        {{"id": "one", "question": "What is 1 + 1?", "target": 2}}
        {{"id": "two", "question": "And 1 + 2?", "target": 3}}
    """,
    "{name}-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n",
    "{name}-1.0.dist-info/entry_points.txt": "[kvarena.plugins]\n{name} = {name}.conf\n",
}


def write_package(folder: Path, name: str) -> None:
    """As pip would have installed it."""
    for path, text in FILES.items():
        file = folder / path.format(name=name)
        file.parent.mkdir(parents=True, exist_ok=True)
        plain = path.endswith(".py")  # braces stand for themselves
        file.write_text(dedent(text if plain else text.format(name=name)).lstrip())
