"""Train the embedded reasoner, a small Qwen3, from nothing on one GPU, and measure it on problems it has not seen."""

import csv
import time
from pathlib import Path
from statistics import mean

import hydra
import torch
from card import write_card
from data import check_prompt, make_rows, training_jobs
from evaluation import evaluate_reasoner
from hydra.utils import instantiate
from kvarena.runners.job.errors import one_line_errors, run_command, run_script
from kvarena.runners.job.job import find_device
from kvarena.runners.record import make_folder
from mixture import IGNORED, Batch, Mixture
from omegaconf import DictConfig
from probe import HeldOutProbe, ProbeReading
from tokenizer import reasoner_tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

torch._dynamo.config.recompile_limit = 32  # a graph for each width


def new_reasoner(cfg: DictConfig, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    torch.manual_seed(cfg.seed)
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = instantiate(cfg.model, vocab_size=len(tokenizer), _convert_="all", **ids)
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=False, **ids)
    return model.to(cfg.device)


def train(model: Qwen3ForCausalLM, mixture: Mixture, cfg: DictConfig, folder: Path) -> dict[str, float]:
    """Steps until the minutes are over; what a reader of the card wants to know of them."""
    optimizer = instantiate(cfg.optimizer, model.parameters(), fused=cfg.device == "cuda", _convert_="all")
    probe = HeldOutProbe(model, cfg)
    if cfg.compile:
        for layer in model.model.layers:  # one small graph a width, shared by all layers
            layer.compile(dynamic=False)
    model.train()
    began, step, num_tokens, losses, progress = time.perf_counter(), 0, 0, [], 0.0
    with (folder / "loss.csv").open("w", newline="") as loss_file, (folder / "probe.csv").open("w") as probe_file:
        log, probe_log = csv.writer(loss_file), csv.writer(probe_file)
        log.writerow(["step", "seconds", "tokens", "lr", "loss"])
        probe_log.writerow(["step", "task", "level", "loss", "exact", "weight"])
        while progress < 1:
            step += 1
            lr = cfg.optimizer.lr * min(1.0, step / cfg.warmup, 2 - 2 * progress)
            batch = mixture.draw(progress)
            losses.append(update(model, optimizer, batch, lr, cfg))
            num_tokens += batch.tokens.numel()
            seconds = time.perf_counter() - began
            if step % cfg.log_every == 0:
                loss = torch.stack(losses).mean().item()  # waits for the device, so that the clock is true
                losses.clear()
                seconds = time.perf_counter() - began
                log.writerow([step, f"{seconds:.1f}", num_tokens, f"{lr:.3g}", f"{loss:.3g}"])
            if step % cfg.probe_every == 0:
                readings = probe.read()
                mixture.weigh([1 - mean(reading.exact for reading in of_task) for of_task in readings.values()])
                probe_log.writerows(probe_rows(step, readings, mixture, cfg))
                print(
                    f"step {step}, {seconds:.0f} s, {num_tokens / 1e6:.0f} M tokens: {readings_text(readings)}",
                    flush=True,
                )
            progress = seconds / (60 * cfg.minutes)
    print(f"step {step}, the end: {readings_text(probe.read())}", flush=True)
    return {"parameters": model.num_parameters(), "steps": step, "tokens": num_tokens, "seconds": seconds}


def readings_text(readings: dict[str, list[ProbeReading]]) -> str:
    """Of each task the loss and the share wholly right, level by level."""
    return ", ".join(
        f"{task} {' '.join(f'{reading.loss:.2g}/{reading.exact:.2f}' for reading in of_task)}"
        for task, of_task in readings.items()
    )


def probe_rows(
    step: int, readings: dict[str, list[ProbeReading]], mixture: Mixture, cfg: DictConfig
) -> list[list[object]]:
    return [
        [step, task, level, f"{reading.loss:.3g}", f"{reading.exact:.3f}", f"{weight:.2f}"]
        for (task, of_task), weight in zip(readings.items(), mixture.weights.tolist(), strict=True)
        for level, reading in zip(cfg.probe, of_task, strict=True)
    ]


def update(
    model: Qwen3ForCausalLM, optimizer: torch.optim.Optimizer, batch: Batch, lr: float, cfg: DictConfig
) -> Tensor:
    """One step; the loss stays on the device."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    with torch.autocast(cfg.device, torch.bfloat16):
        logits = model(input_ids=batch.tokens, use_cache=False).logits
    loss = cross_entropy(logits.float().flatten(0, 1), batch.labels.flatten(), ignore_index=IGNORED)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), cfg.clip)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return loss.detach()


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    tokenizer.save_pretrained(folder)
    model.to(torch.bfloat16).save_pretrained(folder, max_shard_size="15MB")


@hydra.main(config_path="pkg://kvarena.conf", config_name="train_reasoner", version_base="1.3")
@one_line_errors()
def main(cfg: DictConfig) -> None:
    began = time.perf_counter()
    find_device(cfg.device)
    make_folder(folder := Path(cfg.output), "output")
    tokenizer = reasoner_tokenizer(cfg.model.max_position_embeddings)
    jobs = training_jobs(cfg)
    for job in jobs:
        check_prompt(tokenizer, job.generator)
    rows = make_rows(jobs, list(cfg.widths), cfg.num_workers)
    seconds = time.perf_counter() - began
    counts = {task: [len(part.tokens) for part in parts] for task, parts in rows.items()}
    print(f"documents of each width in {seconds:.0f} s: {counts}", flush=True)
    model = new_reasoner(cfg, tokenizer)
    facts = train(model, Mixture(rows, cfg), cfg, folder)
    save(model, tokenizer, folder)
    scores = evaluate_reasoner(cfg, folder)
    write_card(folder, cfg, jobs, facts | {"data": seconds, "total": time.perf_counter() - began}, scores)


if __name__ == "__main__":
    run_script(lambda: run_command(main))
