"""kvarena-benchmark on a tiny shape: what it counts and writes, and what it refuses. The times are real."""

import copy
import csv
import sys

import pytest
import torch
from kvarena.methods.budget import Budget
from kvarena.methods.full import Full
from kvarena.methods.h2o import H2O
from kvarena.methods.quest import Quest
from kvarena.methods.streaming import StreamingLLM
from kvarena.methods.twilight import Twilight
from kvarena.runners import benchmark
from kvarena.runners.benchmark import main
from kvarena.runners.generate import Decoder
from kvarena.runners.model import own_attention
from kvarena.runners.sampler import Greedy
from kvarena.runners.speed import Witness, compare_engines, measure_steps, place_rows, weight_bytes

TINY = ["shape=tiny", "engine=eager", "device=cpu", "dtype=float32", "batch_size=3", "compression.tokens=96"]
BUDGET = Budget(tokens=32, recent=8, sinks=2, interval=8)
QUEST = Quest(budget=BUDGET, page=8)


@pytest.fixture
def bench(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*overrides: str) -> list[dict[str, str]]:
        monkeypatch.setattr(sys, "argv", ["kvarena-benchmark", *TINY, *overrides])
        main()
        with (tmp_path / "benchmark.csv").open() as file:
            return list(csv.DictReader(file))

    return run


def decoder_of(model, policy, position=50):
    return Decoder(model=model, policy=policy, sampler=Greedy(), max_tokens=100, longest_prompt=position, batch_size=3)


def test_a_line_for_each_position_appended(bench):
    bench("method=streaming", "positions=[40,90]", "steps=200", "gate=2")
    lines = bench("method=full", "positions=[40]", "steps=8", "gate=0")
    assert [(line["method"], line["position"], line["tokens"]) for line in lines] == [
        ("streaming", "40", "96"),
        ("streaming", "90", "96"),
        ("full", "40", ""),
    ]
    for line in lines:
        assert 0 < float(line["mbu"]) < 1
        assert float(line["ms_p50"]) > 0
        assert float(line["ms"]) * float(line["tokens_per_s"]) == pytest.approx(3000, rel=1e-3)
    assert [float(line["evict_share"]) > 0 for line in lines] == [True, True, False]
    assert [line["gate"] for line in lines] == ["1.0", "1.0", ""]


def test_a_packed_cache_is_timed_beside_the_plain_one(bench):
    """Both pass the gate; a line says which it is of, what a step reads of it, and the bytes of its tensors."""
    words = ("method=streaming", "positions=[90]", "steps=8", "gate=2")
    bench(*words)
    plain, fp8 = bench(*words, "cache=fp8")
    assert (plain["cache"], fp8["cache"]) == ("plain", "fp8")
    assert fp8["gate"] == "1.0"
    dim = 16
    for name, slot in (("kv_bytes", (8 * dim, 2 * (dim + 2))), ("resident_bytes", (8 * dim + 4, 2 * (dim + 2) + 4))):
        assert float(fp8[name]) / float(plain[name]) == pytest.approx(slot[1] / slot[0], rel=1e-3), name


def test_resuming_times_what_is_missing(bench):
    options = ["positions=[40,90]", "steps=8", "gate=0", "resume=true"]
    bench("method=streaming", *options)
    assert len(bench("method=streaming", *options)) == 2
    lines = bench("method=streaming", "positions=[90,120]", *options[1:])
    lines += bench("method=full", *options)[len(lines) :]
    assert [(line["method"], line["position"]) for line in lines] == [
        *[("streaming", "40"), ("streaming", "90"), ("streaming", "120")],
        *[("full", "40"), ("full", "90")],
    ]
    assert len(bench("method=full", "positions=[40]", "steps=9", *options[2:])) == 6
    assert len(bench("method=full", "positions=[40]", "steps=9", "gate=0")) == 7


@pytest.mark.parametrize(("stagger", "due"), [("false", [0, 1, 2]), ("true", [0])])
def test_a_round_is_captured_before_the_first_step_even_if_none_is_due_for_long(bench, monkeypatch, stagger, due):
    rounds, step = [], Decoder.round

    def round_of(decoder, rows):
        rounds.append((list(rows), decoder.steps, any(decoder.running)))
        step(decoder, rows)

    monkeypatch.setattr(Decoder, "round", round_of)
    (line,) = bench("method=streaming", "positions=[10]", "steps=8", "gate=0", f"stagger={stagger}")
    assert rounds == [(due, 0, False)]
    assert float(line["evict_share"]) == 0


def test_a_file_of_another_version_is_left_alone(bench, tmp_path, capsys):
    (tmp_path / "benchmark.csv").write_text("model,method\ntiny,full\n")
    with pytest.raises(SystemExit):
        bench("method=full", "positions=[40]", "steps=8", "gate=0")
    assert "output=benchmark.csv is of another version (columns attention, batch, " in capsys.readouterr().err
    assert (tmp_path / "benchmark.csv").read_text() == "model,method\ntiny,full\n"


def test_a_file_that_takes_no_line_is_refused_before_anything_is_timed(bench, monkeypatch, tmp_path, capsys):
    (tmp_path / "binary.csv").write_bytes(b"\xb1\x00,\xff\n")
    monkeypatch.setattr(benchmark, "copy_bandwidth", lambda *_: pytest.fail("it was timed"))
    for output in "/sys/mine.csv", "binary.csv":
        with pytest.raises(SystemExit) as stop:
            bench("positions=[40]", f"output={output}")
        assert stop.value.code == 2
        said = capsys.readouterr().err
        assert output in said
        assert said.count("\n") == 1


def test_a_dry_run_says_what_is_missing_and_times_nothing(bench, capsys):
    options = ["method=streaming", "positions=[40,90]", "steps=8", "gate=0", "resume=true"]
    bench(options[0], "positions=[40]", *options[2:])
    assert len(bench(*options, "dry_run=true")) == 1
    assert "streaming, 96 tokens: 1 of 2 timed, about 24 tokens, 0 MB, GPU-hours unknown" in capsys.readouterr().out


def test_the_middle_of_what_is_timed(bench):
    """40 tokens; the warm-up takes an interval and two looks of one step."""
    (line,) = bench("method=streaming", "positions=[40]", "steps=8", "gate=0")
    assert (line["steps"], line["middle"]) == ("8", "110.0")


def test_a_position_that_does_not_fit_is_left_out(bench, capsys, monkeypatch):
    class Small(Decoder):
        def __init__(self, **options):
            if options["longest_prompt"] > 60:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nand more")
            super().__init__(**options)

    monkeypatch.setattr("kvarena.runners.generate.Decoder", Small)
    lines = bench("method=full", "positions=[90,40]", "steps=8", "gate=0")
    assert [line["position"] for line in lines] == ["40"]
    assert "tiny full position 90 left out: CUDA out of memory. Tried to allocate\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "steps"), [("full", 8), ("full", 1100), ("quest", 8), ("quest", 1100), ("streaming", 8)]
)
def test_nothing_moves_while_it_is_timed(bench, monkeypatch, name, steps):
    """Room is made once, or a new capture would count as steps."""
    monkeypatch.setattr("kvarena.runners.cache.layer.Layer.grow", None)
    bench(f"method={name}", "positions=[200]", f"steps={steps}", "gate=8", "batch_size=1")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("dtype=float8", "dtype=float8: use one of float32, bfloat16, float16"),
        ("steps=0", "steps=0: use 1 or more"),
        ("engine.batch_size=4", "engine.batch_size=4: of a benchmark it is batch_size=4"),
        ("batch_size=null", "batch_size=null needs device=cuda"),
        ("engine=graphs", "engine=graphs needs a CUDA device"),
    ],
)
def test_what_cannot_be_timed_is_refused_in_one_line(bench, capsys, override, message):
    with pytest.raises(SystemExit) as stop:
        bench("method=full", "positions=[40]", override)
    assert stop.value.code == 2
    assert message in (error := capsys.readouterr().err)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["longest=64"], "longest=64 beside batch_size=3: it says how many rows batch_size=null takes, leave it out"),
        (["gate=0", "regret=.5"], "regret=.5 beside gate=0, which compares nothing: leave it out"),
    ],
)
def test_what_another_key_leaves_nothing_to_say_is_refused(bench, capsys, overrides, message):
    with pytest.raises(SystemExit) as stop:
        bench("method=full", "positions=[40]", "dry_run=true", *overrides)
    assert (stop.value.code, capsys.readouterr().err) == (2, f"kvarena: {message}\n")


def test_a_dry_run_refuses_settings_that_do_not_go_together(bench, capsys):
    with pytest.raises(SystemExit) as stop:
        bench("method=full", "engine=graphs", "engine.prompts_at_once=4", "dry_run=true")
    assert stop.value.code == 2
    assert "engine.prompts_at_once=4 is for captured prompts" in capsys.readouterr().err


def test_an_embedding_of_its_own_is_not_read(tiny_model):
    model = tiny_model()
    every = sum(p.numel() for p in model.parameters()) * 4
    assert weight_bytes(model) == every - model.get_input_embeddings().weight.numel() * 4
    model.lm_head.weight = model.get_input_embeddings().weight
    assert weight_bytes(model) == sum(p.numel() for p in model.parameters()) * 4


@pytest.mark.parametrize("stagger", [False, True])
def test_a_placed_row_is_one_that_has_decoded(tiny_model, stagger):
    """50 tokens, 32 of them kept; staggered rows are 0, 2 and 5 steps after their round."""
    decoder = decoder_of(tiny_model(), StreamingLLM(budget=BUDGET))
    place_rows(decoder, 50, stagger)
    after = [0, 2, 5] if stagger else [0, 0, 0]
    assert [clock.resident[0] - 32 for clock in decoder.cache.clocks] == after
    assert decoder.cache.positions.tolist() == [50 + steps for steps in after]
    layer = decoder.cache.layers[1]
    assert layer.lengths.tolist() == [[32 + steps] * layer.keys.shape[1] for steps in after]
    assert layer.positions[0, 0, [0, 31]].tolist() == [0, 49]


@pytest.mark.parametrize(
    ("policy", "slots"),
    [
        (Full(), 50 + 2.5),
        (StreamingLLM(budget=BUDGET), 32 + 2.5),
        (QUEST, (2 * 52.5 + 32) / 3),  # two of three layers are dense
        (Twilight(budget=BUDGET, of=QUEST), (2 * 52.5 + 32) / 3),
    ],
    ids=["full", "streaming", "quest", "twilight"],
)
def test_bytes_are_those_of_the_slots_read(tiny_model, policy, slots):
    """Four steps, the mean of 1 to 4 slots more; three rows, keys and values of float32."""
    decoder = decoder_of(tiny_model(), policy)
    with torch.inference_mode(), own_attention(decoder.model):
        place_rows(decoder, 50, False)
        steps, rounds, kv = measure_steps(decoder, 4)
    shape = decoder.cache.shape
    assert kv == pytest.approx(3 * slots * shape.layers * shape.heads * shape.dim * 2 * 4)
    assert (sum(count for count, _ in steps), rounds) == (4, [])


def test_the_gate_tells_another_model(tiny_model):
    policy, model = H2O(budget=BUDGET), tiny_model()
    pair = decoder_of(model, policy), witness_of(model, policy)
    assert compare_engines(*pair, 50, steps=12, stagger=False) == (1, 0, 0)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.lm_head.weight.copy_(other.lm_head.weight.roll(1, 0))
    share, regret, written = compare_engines(
        decoder_of(other, policy), witness_of(model, policy), 50, steps=12, stagger=False
    )
    assert share < 0.5
    assert regret > 0.5
    assert written == 0  # from the same state, whatever was said


def test_the_gate_tells_who_writes_otherwise(tiny_model):
    policy, model = Full(), tiny_model()
    other = copy.deepcopy(model)
    with torch.no_grad():
        keys = other.model.layers[1].self_attn.k_proj.weight
        keys.copy_(keys.roll(1, 0))
    agreement = compare_engines(decoder_of(other, policy), witness_of(model, policy), 50, steps=2, stagger=False)
    assert agreement.written > 0.5


def witness_of(model, policy):
    return Witness(model=model, policy=policy, sampler=Greedy(), max_tokens=100, longest_prompt=50, batch_size=3)
