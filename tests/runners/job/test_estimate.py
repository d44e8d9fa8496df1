import pytest
from kvarena.runners.job.estimate import Speed, benchmarked, expected_bytes, expected_tokens, speed
from kvarena.runners.record import RunFolder, append_line

LABELS = {"task": "t", "difficulty": None, "ratio": 4, "tokens": 9, "evicts": True, "selects": False}
LABELS |= {"protects_prompt": False}


@pytest.fixture
def session(tmp_path):
    """session(run, **changed): a run of 100 tokens in 10 s by one worker."""

    def write(run: str, *, model="m", method="snapkv", **changed) -> None:
        folder = RunFolder(path=tmp_path / run)
        folder.begin({"labels": LABELS | {"model": model, "method": method}, "device": "H100"})
        line = {"started": "2026-01-01", "wall_s": 10.0, "tokens": 100, "device": "H100", "num_workers": 1}
        append_line(folder.sessions_file, line | {"records": 1, "steps": 10} | changed)

    return write


def test_nothing_measured_is_no_speed(tmp_path, session):
    assert speed(tmp_path / "nowhere", "m", "snapkv") is None
    session("a", model="other")
    session("b", tokens=0)
    assert speed(tmp_path, "m", "snapkv") is None


def test_speed_is_that_of_one_worker_over_all_sessions(tmp_path, session):
    session("a")
    session("a", tokens=600, num_workers=4)
    assert speed(tmp_path, "m", "snapkv") == Speed(700 / 50, "H100")


def test_the_method_comes_before_the_model_and_the_last_device_before_others(tmp_path, session):
    session("a", method="full", tokens=900)
    assert speed(tmp_path, "m", "snapkv") == Speed(90.0, "H100")
    session("b", tokens=50)
    assert speed(tmp_path, "m", "snapkv") == Speed(5.0, "H100")
    session("c", tokens=70, device="H200", started="2026-01-02")
    assert speed(tmp_path, "m", "snapkv") == Speed(7.0, "H200")


def test_rows_to_come_are_as_long_as_those_done_or_typical(record):
    assert expected_tokens(3, [record(num_tokens=10), record(num_tokens=20)], 100.0) == 45
    assert expected_tokens(3, [], 100.4) == 301


def test_a_token_takes_on_the_disk_what_those_before_took(tmp_path, session):
    assert expected_bytes(1000, tmp_path / "nowhere") == 12_000
    session("a")
    session("b", tokens=300)
    for run, size in (("a", 1000), ("b", 2000)):
        (tmp_path / run / "records.jsonl").write_bytes(b"x" * size)
    assert expected_bytes(1000, tmp_path) == 7500


@pytest.mark.parametrize(
    ("model", "method", "budget", "typical", "line"),
    [
        ("qwen3_4b", "full", None, 16384, "qwen3_4b full, batch 8, position 32,768"),
        ("qwen3_4b", "vase_attnv", 4096, 16384, "qwen3_4b vase_attnv, batch 16, position 8,192"),
        ("qwen3_4b", "quest", 4096, 16384, "qwen3_4b vase_attnv, batch 16, position 8,192"),
        ("qwen3_8b", "full", None, 16384, "qwen3_8b full, batch 13, position 8,000"),
        ("qwen3_32b", "snapkv", 2048, 8192, "qwen3_14b snapkv, batch 16, position 14,592"),
        ("qwen3_0_6b", "full", None, 8192, "qwen3_4b full, batch 8, position 32,768"),
        ("r1_distill_llama_8b", "h2o", 4096, 30000, "qwen3_8b vase_attnv, batch 102, position 16,000"),
    ],
)
def test_the_nearest_line_of_the_benchmark(model, method, budget, typical, line):
    found = benchmarked(model, method, budget, typical)
    assert found.source == f"NVIDIA H100 80GB HBM3: {line} of engine_h100.csv"


def test_a_line_stands_for_its_tokens_a_second_and_a_model_without_size_has_none():
    assert benchmarked("qwen3_14b", "vase_attnv", 4096, 16384).tokens_per_s == 1080.4
    assert benchmarked("reasoner", "vase_attnv", 4096, 16384) is None
