"""A run as a log of inspect_ai (extra `inspect`): a sample a problem, an epoch a draw, its own viewer reads it.

What a method cost and how a completion ended is metadata of the sample; `score` is the verdict that the run recorded,
and a completion without a verdict has no score there either.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from inspect_ai.log import (  # pyright: ignore[reportMissingImports]
    EvalConfig,
    EvalDataset,
    EvalLog,
    EvalMetric,
    EvalResults,
    EvalRevision,
    EvalSample,
    EvalSampleLimit,
    EvalScore,
    EvalSpec,
    EvalStats,
)
from inspect_ai.model import (  # pyright: ignore[reportMissingImports]
    ChatCompletionChoice,
    ChatMessageAssistant,
    ChatMessageUser,
    GenerateConfig,
    ModelOutput,
    ModelUsage,
)
from inspect_ai.scorer import Score  # pyright: ignore[reportMissingImports]

from ..record import Labels, Record

SCORE = "score"
# of a record, in what inspect_ai calls the metadata of a sample
METADATA = (
    *("stop", "num_evictions", "peak_slots", "mean_slots", "tokens_read", "resident_bytes"),
    *("loop_onset", "loop_period", "second_opinion", "score_unfinished", "prompt_sha", "prefill_s", "decode_s"),
)
SAMPLER = ("temperature", "top_p", "top_k")


def inspect_log(
    run: Mapping[str, Any], labels: Labels, questions: Mapping[str, str], records: Sequence[Record]
) -> EvalLog:
    """Of run.json, what each sample asks, and all records."""
    planned = run["num_samples"] * run["num_draws"]
    grader = run["config"]["task"]["grader"]["_target_"].rpartition(".")[2]
    return EvalLog(
        status="success" if len(records) == planned else "cancelled",
        eval=spec(run, labels, list(questions)),
        results=results_of(records, planned, grader),
        stats=EvalStats(started_at=run["started"], model_usage={labels.model: usage(records)}),
        samples=[sample_of(record, questions[record.sample], run) for record in records],
    )


def spec(run: Mapping[str, Any], labels: Labels, ids: list[str]) -> EvalSpec:
    config = run["config"]
    sampler = {name: config["sampler"][name] for name in SAMPLER if config.get("sampler", {}).get(name) is not None}
    commit, model = run.get("commit"), config["model"]
    return EvalSpec(
        created=run["started"],
        eval_id=run["identity"][:22],
        run_id=run["identity"][:22],
        task="-".join(filter(None, (labels.task, labels.difficulty))),
        task_args={name: getattr(labels, name) for name in ("method", "cache", "ratio", "tokens")},
        solver=labels.named,
        solver_args=config.get("method"),
        dataset=EvalDataset(
            name=labels.task, location=config["task"].get("path"), samples=len(ids), sample_ids=ids, shuffled=False
        ),
        model=labels.model,
        model_args={name: model[name] for name in ("path", "dtype", "revision") if model.get(name) is not None},
        model_generate_config=GenerateConfig(max_tokens=config["max_tokens"], seed=config.get("seed"), **sampler),
        config=EvalConfig(epochs=run["num_draws"]),
        revision=EvalRevision(type="git", origin="", commit=commit, dirty=run.get("dirty")) if commit else None,
        packages={name: str(version) for name, version in run.get("versions", {}).items()},
        metadata={"labels": asdict(labels), "identity": run["identity"]},
    )


def sample_of(record: Record, question: str, run: Mapping[str, Any]) -> EvalSample:
    model = run["labels"]["model"]
    asked = run["config"]["task"].get("template", "{question}").replace("{question}", question)
    said = ChatMessageAssistant(content=record.completion, source="generate", model=model)
    cut = record.stop == "length"
    return EvalSample(
        id=record.sample,
        epoch=record.draw + 1,
        input=asked,
        target=record.target,
        messages=[ChatMessageUser(content=asked), said],
        output=ModelOutput(
            model=model,
            choices=[ChatCompletionChoice(message=said, stop_reason="max_tokens" if cut else "stop")],
            usage=usage([record]),
            time=record.prefill_s + record.decode_s,
        ),
        scores=verdict_of(record),
        metadata={name: getattr(record, name) for name in METADATA},
        model_usage={model: usage([record])},
        limit=EvalSampleLimit(type="token", limit=run["config"]["max_tokens"]) if cut else None,
    )


def verdict_of(record: Record) -> dict[str, Score]:
    if record.score is None:
        return {}
    return {SCORE: Score(value=record.score, answer=record.answer, explanation=record.note or None)}


def usage(records: Sequence[Record]) -> ModelUsage:
    read, written = sum(record.prompt_tokens for record in records), sum(record.num_tokens for record in records)
    return ModelUsage(input_tokens=read, output_tokens=written, total_tokens=read + written)


def results_of(records: Sequence[Record], planned: int, grader: str) -> EvalResults:
    """pass@1: the mean over problems of the mean over their draws that have a verdict."""
    scores: dict[str, list[float]] = {}
    for record in records:
        if record.score is not None:
            scores.setdefault(record.sample, []).append(record.score)
    means = [sum(draws) / len(draws) for draws in scores.values()]
    metrics = {"accuracy": EvalMetric(name="accuracy", value=sum(means) / len(means))} if means else {}
    graded = sum(map(len, scores.values()))
    score = EvalScore(
        name=SCORE, scorer=grader, scored_samples=graded, unscored_samples=len(records) - graded, metrics=metrics
    )
    return EvalResults(total_samples=planned, completed_samples=len(records), scores=[score])
