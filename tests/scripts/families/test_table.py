"""Every causal LM of transformers that can be built tiny is decoded as transformers does, or refused in one line."""

from pathlib import Path

import pytest
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

ROOT = Path(__file__).parents[3]
TAKEN = (
    *("apertus", "biogpt", "codegen", "cohere", "dbrx", "exaone", "gemma", "glm4", "gpt2", "gpt_bigcode", "gpt_neox"),
    *("gptj", "granite", "granitemoe", "llama", "ministral3", "mixtral", "nanochat", "olmo2", "opt", "phi", "phi3"),
    *("phimoe", "qwen2", "qwen3", "qwen3_moe", "seed_oss", "smollm3", "starcoder2", "whisper"),
)
WITHOUT_WINDOWS = ("gemma3_text", "gemma3n_text", "mistral")
REFUSED = {
    "bart": "does not place a token by its position_ids",
    "bloom": "do not attend by AttentionInterface",
    "deepseek_v3": "keys have 16 channels, values 8",
    "diffllama": "not each of its 2 layers attends once",
    "falcon": "do not attend by AttentionInterface",
    "flint": "asks for s_aux=a tensor",
    "gemma2": "layers of ['full_attention', 'sliding_attention']",
    "git": "what a token sees depends on more than positions",
    "jetmoe": "its config says 4 and 2 of 8",
    "llama4_text": "layers of ['chunked_attention']",
    "mamba": "layers of ['linear_attention']",
    "mistral": "layers of ['sliding_attention']",
    "musicgen": "its tokens come from no table of one vocabulary",
    "roberta": "its positions do not count from 0",
    "rwkv": "has no attention heads alike in each layer",
    "stablelm": "do not hand on to their attention",
}
OTHERWISE = {
    "gemma2": "asks for softcap=50.0",
    "gemma4_text": "'head_dim' is a per-layer attribute",
    "gpt_oss": "asks for s_aux=a tensor",
    "inkling_text": "a token at position 1000 does not see the one at 0",
}


@pytest.fixture(scope="module")
def table():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "scripts/families"))
        import table

        return table


@pytest.fixture(scope="module")
def page():
    return (ROOT / "docs/models.md").read_text()


@pytest.mark.parametrize("family", TAKEN)
def test_a_family_is_decoded_as_transformers_does(table, family):
    assert table.family_verdict(family) == "taken"


@pytest.mark.parametrize("family", WITHOUT_WINDOWS)
def test_a_family_is_taken_where_each_layer_sees_the_whole_sequence(table, family):
    assert table.family_verdict(family, full=True) == "taken"


@pytest.mark.parametrize("family", REFUSED)
def test_a_family_that_does_otherwise_is_refused(table, family):
    said = table.family_verdict(family)
    assert said.startswith("refused: model ")
    assert "\n" not in said
    assert REFUSED[family] in said


@pytest.mark.parametrize("family", OTHERWISE)
def test_full_attention_is_not_all_that_counts(table, family):
    assert OTHERWISE[family] in table.family_verdict(family, full=True)


@pytest.mark.parametrize("family", ["codegen", "dbrx", "gemma", "granite", "opt", "whisper"])
def test_tokens_vary(table, family):
    """So that equal ones say something."""
    model = table.tiny(family)
    assert len({token for prompt in table.PROMPTS for token in table.theirs(model, prompt)}) > 5


def test_the_page_lists_what_is_tested_here(page):
    taken, full, others = parts(page)
    assert set(TAKEN) <= taken
    assert set(WITHOUT_WINDOWS) <= full
    assert set(REFUSED) <= others.keys()
    assert all(REFUSED[family] in others[family] for family in REFUSED)
    assert taken | others.keys() == set(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    assert [family for family, why in others.items() if not why.startswith("refused: model ")] == ["gemma3n"]


@pytest.mark.families
@pytest.mark.parametrize("family", MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
def test_every_family_stands_in_the_page_with_its_verdict(table, page, family):
    taken, full, others = parts(page)
    if (said := table.family_verdict(family)) == "taken":
        assert family in taken
    else:
        assert "\n" not in said
        assert others[family].split(":")[0] == said.split(":")[0]
        assert (family in full) == (table.family_verdict(family, full=True) == "taken")


def parts(page: str) -> tuple[set[str], set[str], dict[str, str]]:
    """Families that are taken, those that are where each layer attends to all, and the others with the reason."""
    lines = page.splitlines()
    taken, full = (set(line.split("`")[1::2]) for line in lines if line.startswith("- "))
    rows = [line.removeprefix("| `").removesuffix(" |").split("` | ", 1) for line in lines if line.startswith("| `")]
    return taken, full, dict(rows)
