"""Train the embedded reasoner, a small Qwen3, from nothing on one GPU, and measure it on problems it has not seen."""

import csv
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import hydra
import torch
from hydra.utils import instantiate
from kvarena.tasks.procedural.graph_search import GraphSearch
from omegaconf import DictConfig
from reasoner_card import write_card
from reasoner_data import Rows, check_prompt, make_rows
from reasoner_evaluation import evaluate
from reasoner_tokenizer import build_tokenizer
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import GenerationConfig, PreTrainedTokenizerFast, Qwen3ForCausalLM

IGNORED = -100


class Batch(NamedTuple):
    tokens: Tensor  # [B, S] int64
    labels: Tensor  # [B, S] int64: the next token, IGNORED in the prompt and the padding


def generators(cfg: DictConfig) -> dict[GraphSearch, int]:
    """Each level's and the sizes between, with the documents wanted of each."""
    counts = {}
    for level, count in cfg.documents.items():
        cfg.difficulty = level
        counts[instantiate(cfg.task.samples.generator)] = count
    for size in cfg.between:
        counts[GraphSearch(**{key: value for key, value in size.items() if key != "documents"})] = size.documents
    return counts


def batches(groups: list[Rows], cfg: DictConfig) -> Iterator[Batch]:
    """Rows of one width at a time, the widths in proportion to the tokens that they hold."""
    random = torch.Generator().manual_seed(cfg.seed)
    groups = [group for group in groups if len(group.tokens)]
    columns = [[torch.from_numpy(column).to(cfg.device) for column in vars(group).values()] for group in groups]
    weights = torch.tensor([float(group.tokens.size) for group in groups])
    while True:
        tokens, starts, ends = columns[int(torch.multinomial(weights, 1, generator=random))]
        num_rows, width = tokens.shape
        rows = torch.randint(num_rows, (max(1, cfg.tokens // width),), generator=random).to(cfg.device)
        document = tokens[rows].long()
        place = torch.arange(1, width + 1, device=cfg.device)
        learnt = (place >= starts[rows, None]) & (place < ends[rows, None])
        yield Batch(document, torch.where(learnt, document.roll(-1, dims=1), IGNORED))


def build_model(cfg: DictConfig, tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    torch.manual_seed(cfg.seed)
    ids = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = instantiate(cfg.model, vocab_size=len(tokenizer), _convert_="all", **ids)
    model = Qwen3ForCausalLM(config)
    model.generation_config = GenerationConfig(do_sample=False, **ids)
    return model.to(cfg.device)


def train(model: Qwen3ForCausalLM, stream: Iterator[Batch], cfg: DictConfig, log_file: Path) -> dict[str, float]:
    """Steps until the minutes are over; what a reader of the card wants to know of them."""
    optimizer = instantiate(cfg.optimizer, model.parameters(), fused=cfg.device == "cuda", _convert_="all")
    if cfg.compile:
        for layer in model.model.layers:  # one small graph a width, shared by all layers
            layer.compile(dynamic=False)
    model.train()
    began, step, num_tokens, losses, elapsed = time.perf_counter(), 0, 0, [], 0.0
    with log_file.open("w", newline="") as file:
        log = csv.writer(file)
        log.writerow(["step", "seconds", "tokens", "lr", "loss"])
        while elapsed < 60 * cfg.minutes:
            step += 1
            lr = cfg.optimizer.lr * min(1.0, step / cfg.warmup, 2 - 2 * elapsed / (60 * cfg.minutes))
            batch = next(stream)
            losses.append(update(model, optimizer, batch, lr, cfg))
            num_tokens += batch.tokens.numel()
            if step % cfg.log_every == 0:
                loss = torch.stack(losses).mean().item()  # waits for the device, so that the clock is true
                losses.clear()
                log.writerow([step, f"{time.perf_counter() - began:.1f}", num_tokens, f"{lr:.3g}", f"{loss:.3g}"])
                if step % (10 * cfg.log_every) == 0:
                    print(f"step {step}: loss {loss:.3g}, {elapsed:.0f} s, {num_tokens / 1e6:.0f} M tokens", flush=True)
            elapsed = time.perf_counter() - began
    return {"parameters": model.num_parameters(), "steps": step, "tokens": num_tokens, "seconds": elapsed}


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
def main(cfg: DictConfig) -> None:
    began = time.perf_counter()
    folder = Path(cfg.output)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = build_tokenizer(cfg.model.max_position_embeddings)
    documents = generators(cfg)
    for generator in documents:
        check_prompt(tokenizer, generator)
    rows = make_rows(documents, list(cfg.widths), cfg.num_workers)
    seconds = time.perf_counter() - began
    print(f"documents of each width in {seconds:.0f} s: {[len(group.tokens) for group in rows]}", flush=True)
    model = build_model(cfg, tokenizer)
    facts = train(model, batches(rows, cfg), cfg, folder / "loss.csv")
    save(model, tokenizer, folder)
    scores = evaluate(cfg, folder)
    write_card(folder, cfg, documents, facts | {"data": seconds, "total": time.perf_counter() - began}, scores)


if __name__ == "__main__":
    main()
