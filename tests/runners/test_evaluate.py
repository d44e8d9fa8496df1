"""The command line, on the real reasoner: what it writes, how it goes on, and what it refuses."""

import json
import shutil
import sys
from dataclasses import fields
from importlib.resources import files
from pathlib import Path

import pytest
from kvarena.analysis import load
from kvarena.analysis.tables import results
from kvarena.runners.cache import Usage
from kvarena.runners.evaluate import main
from kvarena.runners.generate import Generation, Request
from kvarena.runners.model import Checkpoint
from kvarena.runners.record import Record, RunFolder
from kvarena.runners.workers import judge
from kvarena.tasks.task import Grade, Sample, Task

REASONER = str(files("kvarena.models") / "reasoner")
SMALL = ["difficulty=easy", "num_samples=3", "max_tokens=48", "engine.batch_size=2", "device=cpu"]


@pytest.fixture
def kvarena(monkeypatch, tmp_path, capsys):
    """kvarena(*overrides): run the command in an empty folder; returns what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str, flags: tuple[str, ...] = ()) -> str:
        monkeypatch.setattr(sys, "argv", ["kvarena", *flags, *SMALL, *overrides])
        main()
        return capsys.readouterr().out

    return run


@pytest.fixture
def refused(kvarena, capsys, tmp_path):
    """refused(*overrides): the one line on stderr of a command that ends with exit code 2 and writes nothing."""

    def run(*overrides: str) -> str:
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(SystemExit) as stop:
            kvarena(*overrides)
        captured = capsys.readouterr()
        assert stop.value.code == 2
        assert sorted(tmp_path.rglob("*")) == before
        assert captured.err.count("\n") == 1
        return captured.err

    return run


def test_a_run_leaves_its_config_and_a_record_a_sample(kvarena, tmp_path):
    kvarena("output_dir=run", "compression.ratio=4")
    run, records = json.loads((tmp_path / "run/run.json").read_text()), RunFolder(path=tmp_path / "run").records()
    assert run["labels"] == {
        "task": "graph_search",
        "difficulty": "easy",
        "model": "reasoner",
        "method": "vase_dkv",
        "ratio": 4,
        "tokens": 58,
        "evicts": True,
        "selects": False,
        "protects_prompt": False,
    }
    assert run["config"]["method"]["budget"]["recent"] == 16
    assert run["device"].startswith("cpu")
    assert run["versions"]["torch"]
    assert len({record.sample for record in records}) == 3
    assert all(record.num_tokens == 48 and record.stop == "length" for record in records)
    assert all(record.completion.startswith("<think> path") and record.score == 0 for record in records)
    assert all(record.num_evictions > 0 and record.peak_slots > 58 for record in records)
    assert len({record.prompt_sha for record in records}) == 3
    assert all(len(record.prompt_sha) == 12 for record in records)
    assert run["shape"] == {"layers": 8, "heads": 4, "groups": 2, "dim": 64, "width": 256}
    assert run["random_weights"] is False
    lines = [json.loads(line) for line in (tmp_path / "run/records.jsonl").read_text().splitlines()]
    assert set(lines[0]) == {field.name for field in fields(Record)}


def test_dense_solves_the_problems(kvarena, tmp_path):
    kvarena("output_dir=run", "method=full", "max_tokens=326")
    records = RunFolder(path=tmp_path / "run").records()
    assert [(record.score, record.stop, record.num_evictions) for record in records] == [(1.0, "eos", 0)] * 3
    assert all(record.completion.count("</think>") == 1 and record.loop_onset is None for record in records)


def test_a_row_that_breaks_is_counted_and_not_graded(kvarena, tmp_path, monkeypatch):
    """Every other row stops at its third token; the others are right, and so is the accuracy."""
    monkeypatch.syspath_prepend(Path(__file__).parents[1])
    kvarena("output_dir=run", "method=full", "max_tokens=326", "num_samples=6", "sampler._target_=fragile.Poisoned")
    records = RunFolder(path=tmp_path / "run").records()
    broken = [record for record in records if record.stop == "error"]
    assert 0 < len(broken) < 6
    assert all((record.score, record.num_tokens) == (None, 2) for record in broken)
    (row,) = results(load(tmp_path)).to_dict("records")
    assert (row["accuracy"], row["ungraded"]) == (1.0, len(broken))
    assert row["error_rate"] == pytest.approx(len(broken) / 6)


def test_a_loop_is_counted_live_and_found_in_the_text():
    tokenizer = Checkpoint(path=REASONER, name="reasoner").tokenizer()
    start, block = (tokenizer(text, add_special_tokens=False).input_ids for text in ("<think> path 3", "go 41 seen 5"))
    token_ids = start + block * 80
    usage = Usage(num_evictions=0, peak_slots=1, mean_slots=1, tokens_read=1, resident_bytes=1)
    generation = Generation("s", 0, token_ids, "length", 9, usage, 0.1, 0.2)
    task = Task(
        name="t",
        samples=[],
        grader=lambda *_: Grade(score=0.0, answer="", note=""),
        template="{question}",
        dense_length=1,
        max_tokens=1,
    )
    record = judge(task, Sample(id="s", question="", target=""), Request("s", 0, start), generation, tokenizer, 60)
    assert (record.loop_onset, record.loop_period, record.loop_strict) == (len(start), len(block), True)
    assert record.completion[record.loop_character :].split()[:4] == ["go", "41", "seen", "5"]
    assert record.seq_rep_4 > 0.9
    assert record.vase_class == "phrase_loop"


def test_a_second_call_goes_on_where_the_first_stopped(kvarena, tmp_path):
    kvarena("output_dir=run")
    file = tmp_path / "run/records.jsonl"
    whole = file.read_text()
    lines = whole.splitlines(keepends=True)
    file.write_text(lines[0] + lines[1][:50])  # killed in the middle of the second line
    assert "1 of 3 done" in kvarena("output_dir=run")

    def outcome(text: str) -> dict:
        rows = [json.loads(line) for line in text.splitlines()]
        return {row["sample"]: (row["token_ids"], row["score"], row["num_evictions"]) for row in rows}

    assert outcome(file.read_text()) == outcome(whole)
    assert "3 of 3 done" in kvarena("output_dir=run")
    assert len(file.read_text().splitlines()) == 3


def test_a_sweep_runs_dense_once(kvarena, tmp_path):
    kvarena("method=full,snapkv", "compression.ratio=2,4", "num_samples=1", flags=("-m",))
    runs = sorted(path.parent.name.rsplit("-", 1)[0] for path in tmp_path.rglob("run.json"))
    assert runs == ["full", "snapkv-116", "snapkv-58"]


def test_a_dry_run_writes_nothing(kvarena, tmp_path):
    assert "vase_dkv on graph_search, ratio 4, 58 tokens: 0 of 6 done" in kvarena("dry_run=true", "num_draws=2")
    assert not list(tmp_path.iterdir())


def test_a_budget_that_grows_is_a_share(kvarena, tmp_path):
    """A quarter of the dense length, 232, is the number of tokens that it goes by; three rounds in 48 steps."""
    assert "snapkv on graph_search, a share of 0.25: 0 of 1 done" in kvarena(
        "method=snapkv", "compression.share=0.25", "num_samples=1", "output_dir=run"
    )
    run = RunFolder(path=tmp_path / "run").run()
    assert (run["labels"]["ratio"], run["labels"]["tokens"]) == (4, 58)
    assert run["config"]["method"]["budget"]["share"] == 0.25
    (record,) = RunFolder(path=tmp_path / "run").records()
    assert record.num_evictions == 3


def test_a_budget_is_asked_for_in_one_way(refused):
    both = refused("method=snapkv", "compression.share=0.25", "compression.tokens=40")
    assert "compression.tokens=40 and compression.share=0.25: use one of them" in both
    both = refused("method=snapkv", "compression.ratio=2", "compression.bytes=0.25")
    assert both == "kvarena: compression.ratio=2 and compression.bytes=0.25: use one of them, the other is null\n"
    quest = refused("method=quest", "compression.share=0.25")
    assert "budget.share=0.25: a selection reads a number of tokens; use null" in quest


def test_what_draws_nothing_has_one_draw(kvarena):
    plans = {
        "method=snapkv": "snapkv on graph_search, ratio 4, 58 tokens: 0 of 3 done",
        "method=full": "full on graph_search: 0 of 3 done",
        "method=snapkv_values": "snapkv_values on graph_search, ratio 4, 58 tokens: 0 of 3 done",
        "method=snapkv_sample": "snapkv_sample on graph_search, ratio 4, 58 tokens: 0 of 6 done",
    }
    for method, plan in plans.items():
        assert plan in kvarena("dry_run=true", "num_draws=2", method)
    assert "full on graph_search: 0 of 6 done" in kvarena(
        "dry_run=true", "num_draws=2", "method=full", "sampler=sampling"
    )


def test_what_becomes_of_a_number_of_draws_that_was_typed_is_said(kvarena):
    said = "full on graph_search: num_draws=2 becomes 1, for neither method nor sampler draws\n"
    assert kvarena("dry_run=true", "method=full", "num_draws=2").startswith(said)
    assert "num_draws" not in kvarena("dry_run=true", "method=full", "num_draws=1")
    assert "num_draws" not in kvarena("dry_run=true", "method=full")
    assert "num_draws" not in kvarena("dry_run=true", "method=full", "num_draws=2", "sampler=sampling")


def test_draws_of_a_stochastic_method_differ_and_seeds_too(kvarena, tmp_path):
    def tokens(folder: str, *overrides: str) -> dict:
        few = ["num_samples=2", "max_tokens=24", "compression.tokens=40", "compression.interval=4"]
        kvarena(f"output_dir={folder}", *few, *overrides)
        return {record.key: record.token_ids for record in RunFolder(path=tmp_path / folder).records()}

    first, again = tokens("a", "num_draws=2"), tokens("b", "num_draws=2")
    other = tokens("c", "num_draws=2", "seed=1")
    samples = {sample for sample, _ in first}
    assert first == again
    assert first != other
    assert any(first[sample, 0] != first[sample, 1] for sample in samples)


def test_samples_of_a_local_file(kvarena, tmp_path):
    meta = {"start": 1, "goal": 2, "edges": [[1, 2]]}
    sample = {"id": "mine", "question": "path from 1 to 2 in 2 : 1 : 2 ; 2 : 1", "target": "1 2", "meta": meta}
    (tmp_path / "mine.jsonl").write_text(json.dumps(sample))
    kvarena("output_dir=b", "num_samples=null", "task.path=mine.jsonl", "max_tokens=4")
    (record,) = RunFolder(path=tmp_path / "b").records()
    assert (record.sample, record.target) == ("mine", "1 2")


def test_the_budget_of_a_method_can_be_set(kvarena, tmp_path):
    kvarena("output_dir=run", "method.budget.recent=20", "method.budget.protect_prompt=true", "compression.tokens=100")
    run = json.loads((tmp_path / "run/run.json").read_text())
    assert run["config"]["method"]["budget"]["recent"] == 20
    assert run["labels"]["protects_prompt"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("colour=red", "Could not override 'colour'"),
        ("method=vase_dvk", "Could not find 'method/vase_dvk'"),
        ("engine=graph", "Could not find 'engine/graph'"),
        ("compression.ratio=0.5", "compression.ratio=0.5: use 1 or more"),
        ("compression.tokens=20", "budget of 20 tokens is not above recent + sinks = 16 + 4"),
        ("max_tokens=4090", "exceed the 4096 positions of model reasoner"),
        ("model.path=./nowhere", "model.path=./nowhere: no such folder"),
        ("difficulty=harder", "difficulty=harder: task graph_search has easy, medium, hard"),
        (("difficulty=hard", "task=math500", "dry_run=true"), "difficulty=hard: task math500 has no difficulties"),
        (("engine=graphs", "engine.prompts_at_once=4"), "engine.prompts_at_once=4 is for captured prompts: give"),
        ("device=cuda:9", "device=cuda:9: torch sees"),
        ("device=gpu", "device=gpu: use auto, cpu, cuda"),
        ("device=mps", "device=mps: use auto, cpu, cuda"),
        ("device=meta", "device=meta: use auto, cpu, cuda"),
        ("+engine.seed=7", "engine.seed=7: the run itself decides it, leave it out"),
        ("+engine.max_tokens=2", "engine.max_tokens=2: the run itself decides it, leave it out"),
        ("num_samples=0", "num_samples=0: use 1 or more"),
        ("num_samples=9999", "num_samples=9999: task graph_search has 512"),
        ("workers=slurm", "Could not find 'workers/slurm'"),
        ("num_workers=2", "num_workers=2: workers=local is one process, use workers=ray"),
        ("logger=paper", "Could not find 'logger/paper'"),
        ("model.dtype=int4", "model.dtype=int4: use one of float32"),
        ("method.rank=0", "method.rank=0: use 1 or more"),
        (("method=rkv", "compression.recent=4"), "method.window=8: use 1 to budget.recent=4"),
        (("method=rkv", "method.lam=2"), "method.lam=2: lambda lies in 0..1"),
        (("method=vase_attnv", "method.n_large=99"), "method.n_large=99: use 0 to 42, the budget without the recent"),
        (("method=snapkv", "method.neighbours=rank"), "method.neighbours=rank: use method.neighbours._target_=kvarena"),
        ("compression.tokens=50.5", "compression.tokens=50.5: use a whole number"),
        ("compression.interval=0", "budget.interval=0 with prefill=false never evicts"),
        ("engine=graphs", "engine=graphs needs a CUDA device, and the model is on cpu"),
        (("engine=graphs", "dry_run=true"), "engine=graphs needs a CUDA device, and the model is on cpu"),
        (("attention=flash_attn", "method=h2o"), "attention=flash_attn gives no probabilities, and H2O needs them"),
        (("attention=flash_attn", "method=lazy_eviction"), "gives no probabilities, and LazyEviction needs them"),
        (("attention=flash_attn", "model.dtype=float32"), "attention=flash_attn"),
        ("attention=flash", "Could not find 'attention/flash'"),
        ("engine.batch_size=0", "engine.batch_size=0: use 1 or more"),
        ("task.samples.first_seed=7", "first_seed=7"),
        ("task.path=nowhere.jsonl", "task.path=nowhere.jsonl: no such file"),
        ("task.name=", "task.name=: use one that is not empty"),
        (("method=reasonalloc", "method.demand=[1,2,3]"), "method.profile is of 3 layers, the model has 8"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(refused, override, message):
    overrides = (override,) if isinstance(override, str) else override
    assert message in refused("runs_dir=runs", *overrides)


def test_a_task_that_the_tokenizer_cannot_write_is_refused(refused, tmp_path):
    samples = tmp_path / "samples.jsonl"
    samples.write_text('{"id": "1", "question": "start 1 : xyzzy", "target": "1"}\n')
    assert "its tokenizer has no token for 'xyzzy'" in refused(
        f"task.path={samples}", "task.grader._target_=kvarena.tasks.graders.exact.ExactGrader", "num_samples=1"
    )


def test_the_tokenizer_of_another_model_is_refused(refused, tmp_path):
    """A folder whose model has fewer embeddings than its tokenizer has words."""
    folder = tmp_path / "model"
    shutil.copytree(REASONER, folder, ignore=shutil.ignore_patterns("*.safetensors*"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"vocab_size": 8}))
    assert "but the model has 8" in refused(f"model.path={folder}")


def test_a_folder_of_another_config_is_refused(kvarena, refused, tmp_path):
    kvarena("output_dir=run", "num_samples=1", "max_tokens=2")
    assert "output_dir=run holds a run of another config" in refused("output_dir=run", "num_samples=1", "max_tokens=3")
    (tmp_path / "else").mkdir()
    (tmp_path / "else/notes.txt").write_text("mine")
    assert "output_dir=else is not empty" in refused("output_dir=else")


def test_a_packed_cache_is_a_run_of_its_own(kvarena, tmp_path):
    """fp8 in half the bytes of dense solves what dense solves; an eviction and codes take a quarter together."""
    words = ("runs_dir=runs", "num_samples=1")
    kvarena("method=full", "cache=fp8", "max_tokens=326", *words)
    kvarena("method=snapkv", "cache=fp8", "compression.bytes=0.4", *words)
    kvarena("method=full", "max_tokens=326", *words)
    table = results(load(tmp_path / "runs")).set_index("method")
    assert list(table.index) == ["full", "full + fp8", "snapkv + fp8"]
    assert table.accuracy[:2].tolist() == [1.0, 1.0]
    # of heads of 64: 256 bytes and a position plain, 132 and a position packed; in float32 a plain slot has 512
    assert table.bytes_share[:2].tolist() == [1.0, round(136 / 260, 4)]
    assert 0.38 < table.bytes_share.iloc[2] <= 0.4
    full, fp8 = (RunFolder(path=tmp_path / "runs" / table.run[name]) for name in ("full", "full + fp8"))
    slots = {record.sample: record.peak_slots for record in full.records()}
    for record in fp8.records():
        assert record.resident_bytes == record.peak_slots * 8 * 4 * 136
    for record in full.records():
        assert record.resident_bytes == slots[record.sample] * 8 * 4 * 516
    assert "cache" not in full.run()["labels"]
    assert fp8.run()["labels"]["cache"] == "fp8"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("cache=int4", "format@cache.values=int8", "cache.values.group=128"),
            "head size 64: format int8g128 has groups",
        ),
        (("cache=fp8", "cache.residual=17"), "cache.residual=17 is above the 16 recent slots"),
        (("cache=fp8", "cache.residual=16", "compression.bytes=0.05"), "compression.bytes=0.05 is"),
        (
            ("compression.bytes=0.5", "compression.tokens=64"),
            "compression.tokens=64 and compression.bytes=0.5: use one",
        ),
        (("compression.bytes=1.5",), "compression.bytes=1.5: use above 0, at most 1"),
        (("cache.residual=4",), "cache.residual=4: a plain cache packs nothing"),
        (("cache=fp8", "attention=flash_attn"), "attention=flash_attn reads no codes"),
        (("cache=turbo4", "cache.keys.bits=5"), "bits=5 of turbo: use 3 or 4"),
    ],
)
def test_a_cache_that_cannot_be_is_refused(refused, words, said):
    assert said in refused(*words)
