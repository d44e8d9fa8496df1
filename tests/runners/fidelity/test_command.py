"""kvarena-fidelity, on the reasoner."""

import json

import pytest
from kvarena.runners import evaluate
from kvarena.runners.record import RunFolder

SMALL = ["device=cpu", "engine.batch_size=2", "compression.recent=16", "compression.interval=16"]
DENSE = ["method=full", "difficulty=easy", "num_samples=3", "max_tokens=48", "output_dir=dense", *SMALL]


def records(folder):
    return sorted(RunFolder(path=folder).records(), key=lambda record: record.key)


def test_a_run_and_its_completions_forced(call, tmp_path):
    call(evaluate.main, *DENSE)
    there = ["reference=dense", "task=graph_search", "output_dir=drift", *SMALL]
    assert call(evaluate.main_fidelity, "method=snapkv", "compression.tokens=48", *there)[0] == 0
    dense, forced = records(tmp_path / "dense"), records(tmp_path / "drift")
    assert [(r.key, r.token_ids, r.prompt_tokens, r.stop) for r in forced] == [
        (r.key, r.token_ids, r.prompt_tokens, r.stop) for r in dense
    ]
    assert all(r.num_evictions > 0 and len(r.kl) == len(r.nll) == len(r.mass) == r.num_tokens for r in forced)
    assert all(max(r.kl) > 1e-3 for r in forced)
    assert [r.kl[0] for r in forced] == [0, 0, 0]  # the prompt is whole yet
    assert [(r.score, r.note) for r in forced] == [(None, "forced")] * 3
    run = json.loads((tmp_path / "drift/run.json").read_text())
    assert (run["labels"]["task"], run["config"]["max_tokens"], run["num_samples"]) == ("graph_search", 48, 3)
    # it goes on, and a row does not depend on the batch
    lines = (tmp_path / "drift/records.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "drift/records.jsonl").write_text(lines[1])
    assert call(evaluate.main_fidelity, "method=snapkv", "compression.tokens=48", *there)[0] == 0
    assert [r.kl for r in records(tmp_path / "drift")] == [r.kl for r in forced]


def test_texts_of_a_file(call, tmp_path):
    # in JSON a line may hold what elsewhere begins another
    text = {"id": "a/b\u2028c", "prompt_ids": list(range(3, 90)), "completion_ids": [5, 6, 7, 8] * 10}
    (tmp_path / "mine.jsonl").write_text(json.dumps(text, ensure_ascii=False) + "\r\n")
    code, _ = call(
        evaluate.main_fidelity, "texts=mine.jsonl", "method=vase_dkv", "compression.ratio=1.5", "output_dir=run", *SMALL
    )
    (record,) = records(tmp_path / "run")
    assert (code, record.sample, record.token_ids, record.num_evictions) == (0, text["id"], text["completion_ids"], 2)
    assert json.loads((tmp_path / "run/run.json").read_text())["labels"]["tokens"] == 85  # of 127


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("[]", "texts=mine.jsonl, line 1 is not"),
        ('{"id": "a", "prompt_ids": [1], "completion_ids": []}', "with one token at least in each list"),
        ('{"id": "a", "prompt_ids": [1.5], "completion_ids": [1]}', "with one token at least in each list"),
        ('{"id": "a", "prompt_ids": [1], "completion_ids": [5000]}', "holds token 5000, but model reasoner has"),
        ('{"id": "a", "prompt_ids": [1], "completion_ids": [2' + ", 2" * 4100 + "]}", "of model reasoner: cut it"),
        ("", "texts=mine.jsonl is empty"),
    ],
)
def test_bad_texts(call, tmp_path, line, message):
    (tmp_path / "mine.jsonl").write_text(line + "\n" * bool(line))
    code, error = call(evaluate.main_fidelity, "texts=mine.jsonl", "method=full", *SMALL)
    assert (code, error.count("\n"), message in error, [p.name for p in tmp_path.iterdir()]) == (
        2,
        1,
        True,
        ["mine.jsonl"],
    )


def test_references_that_are_none(call, tmp_path):
    call(evaluate.main, *DENSE, "max_tokens=4")
    call(evaluate.main, *DENSE, "max_tokens=4", "method=knorm", "output_dir=other", "compression.tokens=90")
    for overrides, message in (
        ([], "give reference=RUN"),
        (["reference=dense", "texts=mine.jsonl"], "give reference=RUN"),
        (["reference=nowhere"], "reference=nowhere: no run.json there"),
        (["reference=dense"], "reference=dense is of task graph_search, not local: give task=graph_search"),
        (["reference=other"], "reference=other is a run of method=knorm: fidelity is measured against full"),
        (
            ["reference=dense", "task=graph_search", "model=qwen3_4b"],
            "reference=dense is of model reasoner, not qwen3_4b: give model=reasoner",
        ),
        *(
            (
                ["reference=dense", "task=graph_search", choice],
                f"{choice} beside reference=dense: its texts are forced as they are, leave {choice.split('=')[0]} out",
            )
            for choice in ("difficulty=medium", "num_draws=2", "max_tokens=3", "sampler=sampling")
        ),
        *(
            (["texts=mine.jsonl", choice], f"{choice} beside texts=mine.jsonl: its texts are forced as they are")
            for choice in ("num_draws=2", "sampler=sampling", "sampler.temperature=1", "task=graph_search")
        ),
    ):
        code, error = call(evaluate.main_fidelity, *overrides, *SMALL)
        assert (code, error.count("\n"), message in error) == (2, 1, True), error
    lines = (tmp_path / "dense/records.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "dense/records.jsonl").write_text(lines[0])
    assert "reference=dense is not finished (1 of 3)" in call(evaluate.main_fidelity, "reference=dense", *SMALL)[1]


@pytest.mark.parametrize(
    ("asked", "given", "found"),
    [("method=full", 4, 2), ("method=full", 1, 2), ("cache=int8", 4, 4)],
    ids=["floor", "one row", "packed"],
)
def test_dense_alone_is_run_at_another_batch_size_than_what_it_is_held_against(call, tmp_path, asked, given, found):
    text = {"id": "a", "prompt_ids": list(range(3, 40)), "completion_ids": [5, 6, 7, 8]}
    (tmp_path / "mine.jsonl").write_text(json.dumps(text) + "\n")
    words = ["texts=mine.jsonl", "method=full", asked, f"engine.batch_size={given}", "device=cpu", "output_dir=run"]
    assert call(evaluate.main_fidelity, *words)[0] == 0
    (session,) = RunFolder(path=tmp_path / "run").sessions()
    assert session["batch_sizes"] == [found]
