from importlib.resources import files

import pytest
from kvarena.analysis.load import load
from kvarena.analysis.published import agreement_text, beside_published, published
from kvarena.analysis.tables import results


def test_every_number_has_a_source_and_a_caveat():
    table = published()
    assert len(table) == 141
    assert table[["source", "file", "caveat", "value", "metric", "unit"]].notna().all().all()
    cells = table.query("model == 'Qwen3-4B' and task == 'aime25' and metric == 'accuracy'")
    assert dict(zip(cells.published_as, cells.value, strict=True)) == {
        "Attn": 47.92,
        "RKV": 49.58,
        "CUR Fixed": 48.75,
        "CUR Resample": 57.29,
        "Sample Attn + V": 59.17,
        "SeerR": 58.59,
        "Full": 66.41,
    }
    assert cells.caveat.str.startswith("copied from SeerAttention-R").tolist() == [False] * 5 + [True] * 2


def test_no_cell_is_there_twice():
    table = published()
    assert not table.duplicated(["task", "model", "published_as", "tokens", "metric"]).any()
    assert (table.query("method == 'full'").tokens.isna()).all()


def test_every_accuracy_says_how_many_completions_it_is_of():
    table = published().query("metric == 'accuracy'")
    assert table[["problems", "draws"]].notna().all().all()
    assert table.groupby("task")["problems"].unique().map(list).to_dict() == {
        "aime25": [30],
        "aime26": [30],
        "hmmt25": [60],
        "math500": [500],
        "gpqa_diamond": [198],
        "livecodebench": [383],
        "gsm8k": [500],
    }


def test_what_has_no_method_here_is_the_selection_of_another_paper():
    nameless = published().query("method.isna()")
    assert set(nameless["published_as"]) == {"SeerR"}


@pytest.mark.parametrize("method", sorted(published()["method"].dropna().unique()))
def test_published_methods_exist(method):
    assert files("kvarena.conf").joinpath("method", f"{method}.yaml").is_file()


def published_beside(folder):
    runs = load(folder)
    return beside_published(results(runs), runs)


@pytest.mark.parametrize(
    ("samples", "records", "header", "max_tokens", "reason"),
    [
        (2, 2, {}, 64, "2 of 30 problems; max_tokens 64, not 32768"),
        (30, 29, {}, 32768, "incomplete 29/30"),
        (30, 30, {"random_weights": True}, 32768, "random weights"),
        (30, 30, {"shape": {"layers": 3, "heads": 2}}, 32768, "a stand-in of 3 layers, not 40"),
        (30, 30, {"shape": {"layers": 40}, "random_weights": False}, 32768, ""),
    ],
)
def test_only_a_run_of_the_same_protocol_stands_beside(
    write, tmp_path, record, dense, samples, records, header, max_tokens, reason
):
    labels = {"task": "aime26", "difficulty": None, "model": "qwen3_14b"}
    rows = [record(sample=f"s{i}") for i in range(records)]
    write("full", rows, samples=samples, config={"max_tokens": max_tokens}, **(labels | dense)).note(**header)
    table = published_beside(tmp_path)
    assert table["not_comparable"].tolist() == [reason]
    assert table["difference"].isna().tolist() == [bool(reason)]
    said = f"  not comparable: full on aime26, qwen3_14b: {reason}"
    assert (said in agreement_text(table).splitlines()) == bool(reason)


SAMPLING = {"_target_": "kvarena.runners.sampler.Sampling", "temperature": 0.6, "top_k": 20, "top_p": 0.95}
BUDGET = {"tokens": 4096, "recent": 64, "sinks": 0, "interval": 64, "protect_prompt": False}
NEIGHBOURS = "kvarena.methods.neighbours."


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, ""),
        ({"sampler": {"_target_": "kvarena.runners.sampler.Greedy"}}, "sampler Greedy, not Sampling"),
        (
            {"sampler": SAMPLING | {"temperature": 1.0, "top_k": 0}},
            "sampler.temperature 1.0, not 0.6; sampler.top_k 0, not 20",
        ),
        ({"model": {"dtype": "float32"}}, "model.dtype float32, not bfloat16"),
        ({"method": {"budget": BUDGET | {"recent": 16}}}, "method.budget.recent 16, not 64"),
        ({"method": {"budget": BUDGET | {"protect_prompt": True}}}, "method.budget.protect_prompt True, not False"),
        ({"method": {"neighbours": {"_target_": f"{NEIGHBOURS}ByRank"}}}, "method.neighbours ByRank, not ByPosition"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_run_of_other_settings_does_not_stand_beside(write, tmp_path, record, config, reason):
    method = {"budget": BUDGET, "smooth": 5, "neighbours": {"_target_": f"{NEIGHBOURS}ByPosition"}}
    same = {"max_tokens": 32768, "sampler": SAMPLING, "model": {"dtype": "bfloat16"}, "method": method}
    labels = {"task": "aime25", "difficulty": None, "model": "qwen3_4b", "method": "snapkv", "tokens": 4096}
    write("a", [record(sample=f"s{i}") for i in range(30)], samples=30, config=same | config, **labels)
    assert set(published_beside(tmp_path)["not_comparable"]) == {reason}


@pytest.mark.parametrize(("max_tokens", "reason"), [(4096, ""), (32768, "max_tokens 32768, not 4096")])
def test_the_pilot_study_has_a_protocol_of_its_own(write, tmp_path, record, max_tokens, reason):
    """And a setting that is made of the budget is its method's."""
    method = {"budget": {"tokens": 512, "recent": 64}, "n_large": 32}
    config = {"max_tokens": max_tokens, "sampler": SAMPLING | {"top_k": 0}, "method": method}
    labels = {"task": "gsm8k", "difficulty": None, "model": "qwen3_4b", "method": "snapkv_values_16th", "tokens": 512}
    write("a", [record(sample=f"s{i}") for i in range(500)], samples=500, config=config, **labels)
    assert set(published_beside(tmp_path)["not_comparable"]) == {reason}


def test_what_an_unfinished_thought_would_score_stands_beside_where_it_is_recorded(write, tmp_path, record, dense):
    labels = {"task": "aime26", "difficulty": None, "model": "qwen3_14b"}
    rows = [record(sample=f"s{i}", score=0.0, score_unfinished=float(i < 15)) for i in range(30)]
    write("full", rows, samples=30, **(labels | dense))
    assert results(load(tmp_path))["accuracy"].tolist() == [0.0]
    assert published_beside(tmp_path)["accuracy"].tolist() == [0.5]


def test_the_difference_and_its_interval(write, tmp_path, record):
    """15 of 30 right where 68.75 % of 30 x 16 were published: 50 +- 16.9 and 68.75 +- 4.15 percent."""
    labels = {"task": "aime26", "difficulty": None, "model": "qwen3_14b", "method": "vase_dkv", "tokens": 4096}
    write("a", [record(sample=f"s{i}", score=float(i % 2)) for i in range(30)], samples=30, **labels)
    table = published_beside(tmp_path).set_index("published_tokens")
    row = table.loc[4096]
    assert (row.accuracy, row.published, row.difference, row.agrees) == (0.5, 68.75, -18.75, False)
    ours = 100 * (row.accuracy - row.accuracy_low), 100 * (row.accuracy_high - row.accuracy)
    assert ours == pytest.approx((16.94, 16.94), abs=0.01)
    assert -18.75 - row.difference_low == pytest.approx((ours[0] ** 2 + 4.147**2) ** 0.5, abs=1e-3)
    assert row.difference_high + 18.75 == pytest.approx((ours[1] ** 2 + 4.147**2) ** 0.5, abs=1e-3)
    assert table.loc[[2048, 6144], ["difference", "difference_low", "agrees"]].isna().all().all()


@pytest.mark.parametrize(("right", "agrees"), [(0, False), (30, False), (22, True)])
def test_what_agrees(write, tmp_path, record, dense, right, agrees):
    """Dense, 76.04 % published."""
    labels = {"task": "aime26", "difficulty": None, "model": "qwen3_14b"}
    records = [record(sample=f"s{i}", score=float(i < right)) for i in range(30)]
    write("full", records, samples=30, **(labels | dense))
    table = published_beside(tmp_path)
    assert table["agrees"].tolist() == [agrees]
    text = agreement_text(table)
    assert text.splitlines()[-1] == f"  {int(agrees)} of 1 agree"
    assert ("agrees " if agrees else "differs") + " " in text
    assert "full on aime26, qwen3_14b: " in text


def test_nothing_ungraded_or_of_another_budget_is_compared(write, tmp_path, record):
    labels = {"task": "aime26", "difficulty": None, "model": "qwen3_14b", "method": "vase_dkv"}
    ungraded, right = ([record(sample=f"s{i}", score=score) for i in range(30)] for score in (None, 1.0))
    write("a", ungraded, samples=30, **labels, tokens=4096)
    write("b", right, samples=30, **labels, tokens=1000)
    table = published_beside(tmp_path)
    assert table["agrees"].isna().all()
    assert agreement_text(table) == ""


def test_measured_beside_published(write, tmp_path, record, dense):
    labels = {"task": "aime26", "difficulty": None, "model": "qwen3_14b"}
    write("full", [record()], samples=1, **(labels | dense))
    write("a", [record(score=0.0)], samples=1, **labels, method="vase_dkv", tokens=4096)
    write("b", [record()], samples=1, **labels, method="knorm")
    write("c", [record()], samples=1, method="vase_dkv")
    table = published_beside(tmp_path)
    assert table[["method", "accuracy", "published"]].values.tolist() == [
        ["full", 1.0, 76.04],
        ["vase_dkv", 0.0, 68.75],
        ["vase_dkv", 0.0, 57.92],
        ["vase_dkv", 0.0, 75.42],
    ]
    assert table.published_tokens.fillna(0).tolist() == [0, 4096, 2048, 6144]
