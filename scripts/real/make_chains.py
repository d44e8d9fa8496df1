"""Write the chains that `make real` measures on: what SmolLM2 says to prompts of ours, dense and greedy, as token ids.

    python scripts/real/make_chains.py runs/real/smollm2_135m

Into the folder of models/smollm2/prompts.txt, with the weights' origin.json; in float32. A chain that ends before its
last token, or in a loop, is left out.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from kvarena.methods.full import Full
from kvarena.runners.generate import generate
from kvarena.runners.job.errors import run_script
from kvarena.runners.loops import terminal_loop
from kvarena.runners.model import Checkpoint
from kvarena.runners.record import LineParser
from kvarena.runners.weights import read_origin

NUM_TOKENS = 256
NUM_CHAINS = 12
FOLDER = Path(__file__).parents[2] / "models/smollm2"


def chains(checkpoint: Checkpoint) -> Iterator[dict[str, object]]:
    """In the order of the prompts, as kvarena-fidelity reads them."""
    model, tokenizer = checkpoint.load(torch.device("cpu")), checkpoint.tokenizer()
    texts = [
        tokenizer.apply_chat_template([{"role": "user", "content": prompt}], add_generation_prompt=True, tokenize=False)
        for prompt in (FOLDER / "prompts.txt").read_text().splitlines()
    ]
    said = generate(model, tokenizer, texts, Full(), max_tokens=NUM_TOKENS, batch_size=len(texts))
    for number, (text, chain) in enumerate(zip(texts, said, strict=True), 1):
        looped = terminal_loop(chain.token_ids) is not None
        print(f"{number}: {len(chain.token_ids)} tokens{', looped' if looped else ''}", flush=True)
        if chain.stop == "length" and not looped:
            ids = tokenizer(text, add_special_tokens=False).input_ids
            yield {"id": str(number), "prompt_ids": ids, "completion_ids": chain.token_ids}


def main(argv: Sequence[str] | None = None) -> None:
    parser = LineParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("weights", type=Path, help="the folder that kvarena-import wrote")
    arguments = parser.parse_args(argv)
    origin = read_origin(arguments.weights)
    if origin is None:
        parser.error(f"{arguments.weights} was not imported: it has no origin.json")
    checkpoint = Checkpoint(name="smollm2_135m", path=str(arguments.weights), dtype="float32")
    kept = list(chains(checkpoint))[:NUM_CHAINS]
    (FOLDER / "chains.jsonl").write_text("".join(json.dumps(chain) + "\n" for chain in kept))
    origin.write(FOLDER)
    print(f"{len(kept)} chains")


if __name__ == "__main__":
    run_script(main)
