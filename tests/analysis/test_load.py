import json

import pytest
from kvarena import analysis
from kvarena.analysis.load import load
from kvarena.runners.loops import repetition


def test_runs_are_found_at_any_depth_and_sorted(write, tmp_path):
    for name in ("b", "a/deep/er/run", "a/other"):
        write(name, [], samples=1)
    assert [run.name for run in load(tmp_path)] == ["a/deep/er/run", "a/other", "b"]


def test_the_folder_of_one_run_can_be_named_itself(write, tmp_path, record):
    write("a", [record()], samples=1)
    (run,) = load(tmp_path / "a")
    assert run.name == "."
    assert list(run.records()) == [record()]


def test_a_folder_called_report_is_no_reason_to_skip(write, tmp_path):
    write("a/report/b", [], samples=1)
    write("report/a", [], samples=1)
    assert [run.name for run in load(tmp_path)] == ["a/report/b", "report/a"]
    assert [run.name for run in load(tmp_path / "report")] == ["a"]


def test_torn_last_lines_are_left_out(write, tmp_path, record):
    folder = write("a", [record()], samples=2, sessions=[(1.0, 5)])
    for path in (folder.records_file, folder.sessions_file):
        path.write_text(path.read_text() + '{"sample": "to')
    (run,) = load(tmp_path)
    assert len(list(run.records())) == 1
    assert [session["tokens"] for session in run.sessions()] == [5]


def test_no_run_and_no_folder_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"no run\.json below it"):
        load(tmp_path)
    with pytest.raises(ValueError, match="nowhere is not a folder"):
        load(tmp_path / "nowhere")


def test_a_broken_run_file_is_named(write, tmp_path):
    folder = write("a", [], samples=1)
    folder.run_file.write_text("{")
    with pytest.raises(ValueError, match=r"a/run\.json is not JSON"):
        load(tmp_path)


def test_a_run_file_of_something_else_is_named_with_what_it_lacks(write, tmp_path):
    folder = write("a", [], samples=1)
    header = folder.run()
    del header["num_draws"]
    folder.run_file.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"a/run\.json lacks num_draws"):
        load(tmp_path)
    del header["labels"]["evicts"], header["labels"]["method"]
    folder.run_file.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=r"a/run\.json lacks labels\.method, labels\.evicts"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["[]", "null", "3", '"a"', '{"a": "\\ud800"}', b'{"a": "\xff"}'])
def test_a_run_file_that_is_no_object_or_no_text_is_named(write, tmp_path, text):
    folder = write("a", [], samples=1)
    folder.run_file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=r"a/run\.json (holds no run|is not JSON)"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("where", "value", "said"),
    [
        (["num_samples"], "2", "num_samples: Input should be a valid integer"),
        (["labels"], [], "labels: Input should be an object"),
        (["labels", "ratio"], float("nan"), "ratio: Input should be a finite number"),
        (["labels", "tokens"], 1.5, "tokens: Input should be a valid integer"),
        (["config"], [], "config: Input should be an object"),
        (["config"], {"method": {"budget": {"interval": "a"}}}, r"config\.method\.budget\.interval: Input should be"),
        (["halvings"], [{}], r"halvings\.0\.to: Field required"),
    ],
)
def test_what_is_of_another_type_in_a_run_file_is_named(write, tmp_path, where, value, said):
    folder = write("a", [], samples=1)
    header = inner = folder.run()
    for name in where[:-1]:
        inner = inner[name]
    inner[where[-1]] = value
    folder.run_file.write_text(json.dumps(header))
    with pytest.raises(ValueError, match=rf"a/run\.json: {said}"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"peak_slots": 140.0', b'"peak_slots": NaN'),
        (b'"decode_s": 1.0', b'"decode_s": Infinity'),
        (b'"draw": 0', b'"draw": "0"'),
        (b'"completion": "abc"', b'"completion": "\\ud800"'),
        (b'"completion": "abc"', b'"completion": "\xff"'),
        (b'"stop": "eos"', b'"stop": "end"'),
    ],
)
def test_a_record_with_something_wrong_in_it_is_named(write, tmp_path, record, good, bad):
    folder = write("a", [record()], samples=1)
    assert good in folder.records_file.read_bytes()
    folder.records_file.write_bytes(folder.records_file.read_bytes().replace(good, bad))
    with pytest.raises(ValueError, match=r"a/records\.jsonl holds a line that is no record"):
        _ = load(tmp_path)[0].outcomes


def test_a_score_that_is_no_share_is_named(write, tmp_path, record):
    write("a", [record(score=7.0)], samples=1)
    with pytest.raises(ValueError, match=r"a/records\.jsonl: s0 has score 7\.0, not 0 to 1"):
        _ = load(tmp_path)[0].outcomes


@pytest.mark.parametrize("line", ["{", '{"sample": "s0"}'])
def test_a_broken_record_is_named(write, tmp_path, line):
    folder = write("a", [], samples=1)
    folder.records_file.write_text(line + "\n")
    (run,) = load(tmp_path)
    with pytest.raises(ValueError, match=r"records\.jsonl holds a line that is no record"):
        list(run.records())


def test_a_broken_session_is_named(write, tmp_path):
    folder = write("a", [], samples=1)
    folder.sessions_file.write_text('{"started": "", "wall_s": NaN, "tokens": 1, "records": 1, "steps": 1}\n')
    (run,) = load(tmp_path)
    with pytest.raises(ValueError, match=r"sessions\.jsonl holds a line that is no session"):
        run.sessions()


def test_outcomes_are_sorted_and_leave_the_text_out(write, tmp_path, record):
    write("a", [record(sample="s1"), record(sample="s0", draw=1), record(sample="s0")], samples=2, draws=2)
    (run,) = load(tmp_path)
    assert [outcome.key for outcome in run.outcomes] == [("s0", 0), ("s0", 1), ("s1", 0)]
    assert {(outcome.completion, len(outcome.token_ids)) for outcome in run.outcomes} == {("", 0)}


def test_what_an_old_record_lacks_is_computed(write, tmp_path, record):
    looping = record(token_ids=[1, 2] * 200, completion="one two " * 200)
    write("a", [looping], samples=1)
    (outcome,) = load(tmp_path)[0].outcomes
    assert (outcome.loop_strict, outcome.vase_class) == (True, "phrase_loop")
    assert outcome.seq_rep_4 > 0.99


def test_what_a_record_says_is_not_computed_again(write, tmp_path, record):
    said = repetition([1, 2, 3], "abc")._replace(zlib_ratio=3.5)
    write("a", [record(**said._asdict())], samples=1)
    assert load(tmp_path)[0].outcomes[0].zlib_ratio == 3.5


def test_two_records_of_one_draw_are_named(write, tmp_path, record):
    write("a", [record(), record()], samples=1)
    with pytest.raises(ValueError, match="two records of one sample and draw"):
        _ = load(tmp_path)[0].outcomes


def test_to_pandas(write, tmp_path, record, dense):
    write("b", [record(), record(sample="s1", score=None)], samples=2)
    write("a", [], samples=2, **dense)
    table = analysis.load(str(tmp_path)).to_pandas()
    assert table[["run", "method", "tokens", "sample", "num_tokens"]].values.tolist() == [
        ["b", "snapkv", 128, "s0", 100],
        ["b", "snapkv", 128, "s1", 100],
    ]
    assert table.score.isna().tolist() == [False, True]
    assert not {"completion", "token_ids"} & set(table.columns)
