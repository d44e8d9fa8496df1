import pytest
from kvarena.runners.estimate import Speed, expected_tokens, speed
from kvarena.runners.record import RunFolder, append_line


@pytest.fixture
def session(tmp_path):
    """session(run, **changed): a run of 100 tokens in 10 s by one worker."""

    def write(run: str, *, model="m", method="snapkv", **changed) -> None:
        folder = RunFolder(path=tmp_path / run)
        folder.begin({"labels": {"model": model, "method": method}, "device": "H100"})
        line = {"started": "2026-01-01", "wall_s": 10.0, "tokens": 100, "device": "H100", "num_workers": 1}
        append_line(folder.sessions_file, line | changed)

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
