"""Write the list of model families in docs/models.md anew: each that transformers has, built tiny, decoded or refused.

    python scripts/families/table.py

A family is taken where its tokens are those of `model.generate`, dense and under an eviction whose budget covers the
sequence; one whose layers differ is tried again with full attention in each.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import transformers
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.streaming import StreamingLLM
from kvarena.runners.generate import generate
from kvarena.runners.job.errors import run_script
from kvarena.runners.record import LineParser, replace_file
from tiny import tiny
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

PAGE = Path(__file__).parents[2] / "docs/models.md"
BEGIN, END = "<!-- written by scripts/families/table.py -->\n", "<!-- end -->\n"
PROMPTS = [[(i * 37 + 5) % 60 + 2 for i in range(length)] for length in (20, 7)]
NEW = 12  # tokens
COVERS = Budget(tokens=64, recent=8, sinks=2, interval=8)
TAKEN = "taken"


def theirs(model: Any, prompt: Sequence[int]) -> list[int]:
    ids = torch.tensor([prompt])
    whole = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False)
    return whole[0, len(prompt) :].tolist()


def ours(model: Any) -> list[list[list[int]]]:
    """Tokens of each policy and prompt."""
    tokenizer: Any = lambda prompt, add_special_tokens: SimpleNamespace(input_ids=prompt)  # noqa: E731
    prompts: Any = PROMPTS
    return [
        [done.token_ids for done in generate(model, tokenizer, prompts, policy, max_tokens=NEW, batch_size=2)]
        for policy in (Full(), StreamingLLM(budget=COVERS))
    ]


def family_verdict(family: str, *, full: bool = False) -> str:
    """`TAKEN`, or why not; AssertionError where it is taken and says other tokens than transformers."""
    try:
        model = tiny(family, full=full)
    except Exception as error:  # code of any family
        return f"not built tiny: {' '.join(str(error).split()).split('. ')[0] or type(error).__name__}"
    try:
        said = ours(model)
    except ValueError as error:
        return f"refused: {error}"
    expected = [theirs(model, prompt) for prompt in PROMPTS]
    assert said == [expected, expected], f"{family}: {said}, not {expected}"
    return TAKEN


def in_backticks(families: Sequence[str]) -> str:
    return ", ".join(f"`{family}`" for family in families)


def family_rows() -> Iterator[str]:
    found = {family: family_verdict(family) for family in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES}
    taken = [family for family, said in found.items() if said == TAKEN]
    others = {family: said for family, said in found.items() if said != TAKEN}
    full = [family for family in others if family_verdict(family, full=True) == TAKEN]
    yield f"Of the {len(found)} families of transformers {transformers.__version__}\n"
    yield f"- {len(taken)} are taken: {in_backticks(taken)};"
    yield f"- {len(full)} more where their config has full attention in each layer: {in_backticks(full)}.\n"
    yield "| family | as its config comes |\n| --- | --- |"
    yield from (f"| `{family}` | {said.replace('|', '/')} |" for family, said in others.items())


def with_families(page: str) -> str:
    """The page, its list written anew; ValueError for one that has none."""
    if BEGIN not in page or END not in page:
        raise ValueError(f"the page has no {BEGIN} and {END}: give docs/models.md, or one that has")
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n" + "\n".join(family_rows()) + f"\n\n{END}{after}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = LineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--page", type=Path, default=PAGE, help="docs/models.md")
    page = parser.parse_args(arguments).page
    replace_file(page, with_families(page.read_text()))


if __name__ == "__main__":
    run_script(main)
