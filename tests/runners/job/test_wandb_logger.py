"""What an offline run of wandb holds afterwards, read back from its file."""

import json
import struct

import pytest
import wandb
from kvarena.runners.job.wandb_logger import COLUMNS, Wandb
from wandb.proto.wandb_internal_pb2 import Record as Entry

COMMAND = ["difficulty=easy", "num_samples=3", "max_tokens=48", "engine.batch_size=2", "device=cpu"]
COMMAND += ["compression.tokens=40", "output_dir=run", "logger=wandb", "logger.mode=offline"]
BLOCK, HEADER = 32768, 7


def entries(path):
    """Of a .wandb file: LevelDB's log format (checksum, length, kind of each fragment; blocks of 32 KiB)."""
    data, place, whole = path.read_bytes(), HEADER, b""
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        whole += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):  # a full entry, or the last fragment of one
            entry = Entry()
            entry.ParseFromString(whole)
            whole = b""
            yield entry


def values(items) -> dict:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_an_offline_run_holds_config_numbers_and_results(start, tmp_path):
    run = start(*COMMAND)
    assert run.wait() == 0, run.text
    (file,) = tmp_path.glob("run/wandb/offline-run-*/run-*.wandb")
    found = list(entries(file))
    (begun,) = [entry.run for entry in found if entry.HasField("run")][:1]
    config = values(begun.config.update)
    assert (begun.run_group, begun.job_type) == ("graph_search-easy, reasoner", "vase_dkv")
    assert begun.project == "kvarena"
    assert begun.display_name == "vase_dkv on graph_search, ratio 5.8, 40 tokens"
    assert config["labels"]["method"] == config["method"] == "vase_dkv"
    assert config["identity"].startswith(begun.run_id)
    header = json.loads((tmp_path / "run/run.json").read_text())
    assert config["config"]["sampler"] == header["config"]["sampler"]
    assert config["num_samples"] == 3
    assert not {"fingerprints", "prompts_sha256", "started"} & config.keys()  # of the artifact
    assert not {"output_dir", "logger", "dry_run"} & config["config"].keys()
    (artifact,) = [entry.artifact for entry in found if entry.HasField("artifact") and entry.artifact.type == "run"]
    assert [entry.path for entry in artifact.manifest.contents] == ["run.json"]
    (metric,) = [entry.metric for entry in found if entry.HasField("metric")]
    assert (metric.glob_name, metric.step_metric) == ("*", "rows")
    history = [values(entry.history.item) for entry in found if entry.HasField("history")]
    numbers = [row for row in history if "accuracy" in row]
    assert [row["rows"] for row in numbers] == [1, 2, 3]
    assert all(row["tokens_per_s"] > 0 and row["evictions"] > 0 and row["loop_rate"] >= 0 for row in numbers)
    summary = {}
    for entry in found:
        if entry.HasField("summary"):
            summary |= values(entry.summary.update)
    assert (summary["rows"], summary["truncation_rate"], summary["mean_length"]) == (3, 1, 48)
    (table,) = tmp_path.glob("run/wandb/offline-run-*/files/media/table/*.table.json")
    results = json.loads(table.read_text())
    assert results["columns"] == list(COLUMNS)
    assert sorted(row[COLUMNS.index("num_tokens")] for row in results["data"]) == [48, 48, 48]


def test_what_fails_is_said_once_and_stops_nothing(monkeypatch, tmp_path, capsys):
    """No network and no account: the service answers with an error of one kind or another."""
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    logger = Wandb(mode="online", timeout=2)
    logger.begin("name", "0" * 64, {}, tmp_path)
    logger.log({"accuracy": 1.0})
    logger.end({"accuracy": 1.0}, [])
    err = capsys.readouterr().err
    assert err.count("kvarena: wandb is off from here on (") == 1
    wandb.teardown()


def test_a_full_disk_stops_the_logger_alone(capsys):
    class Full:
        def log(self, numbers):
            raise OSError(28, "No space left on device")

    logger = Wandb(mode="offline")
    logger._run = Full()
    logger.log({"accuracy": 1.0})
    logger.log({"accuracy": 1.0})
    logger.end({}, [])
    said = "kvarena: wandb is off from here on (OSError: [Errno 28] No space left on device)\n"
    assert capsys.readouterr().err == said


def test_an_unknown_mode_is_refused():
    with pytest.raises(ValueError, match=r"logger\.mode=of: use online or offline"):
        Wandb(mode="of")
