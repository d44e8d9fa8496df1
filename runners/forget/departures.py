"""What a method evicted of a text, when, and what of it is left in what it kept.

Forced through the decode loop a method drops slots, each layer and head its own, at its own rounds. One causal pass in
which a slot is hidden from the query of that round on is then the method's own run; one in which it is hidden from
every query is the text whose later tokens never saw what was evicted.

L layers, H KV heads, Hq query heads, S tokens of a text, D head dim, E hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from ...methods.policy import Policy
from ..cache import KVCache, Trace
from ..fidelity import Scribe, longest
from ..fidelity.drift import compare_states
from ..fidelity.measure import Engine, force
from ..generate import Decoder, Request
from ..model import Model, output_projection, output_states, own_attention
from .influence import Row, bins
from .spans import joined

STAYS = 2**40  # the query from which on a slot is not seen that no round drops


@dataclass(kw_only=True)
class Departures(Trace):
    """Writes nothing: of each row that ends it keeps the queries from which on its slots are gone."""

    folder: None = None
    num_rows: int = 0
    gone: dict[str, Tensor] = field(default_factory=dict)  # [L, H, S] of each sample
    _rows: dict[int, Tensor] = field(default_factory=dict)  # by row of the cache
    _samples: dict[int, str] = field(default_factory=dict)

    @property
    def follows(self) -> bool:
        return True

    def admitted(self, cache: KVCache, row: int, name: str) -> None:
        shape = cache.shape
        self._rows[row] = torch.full((shape.layers, shape.heads, cache.longest), STAYS)
        self._samples[row] = name.rpartition("-")[0]

    def move(self, row: int, to: int) -> None:
        self._rows[to], self._samples[to] = self._rows.pop(row), self._samples.pop(row)

    def before(self, cache: KVCache, rows: Sequence[int]) -> None:
        """What a round finds is known from the rounds before."""

    def after(self, cache: KVCache, rows: Sequence[int]) -> None:
        for row in rows:
            facts, gone = cache.facts([row]), self._rows[row]
            place = int(facts.position)
            for index in range(cache.shape.layers):
                positions = cache.view(index, facts).positions[0].cpu()
                kept = torch.zeros(len(positions), place + 1, dtype=torch.bool)  # the last: of slots that are not live
                kept.scatter_(1, positions.long() % (place + 1), True)
                lost = ~kept[:, :place] & (gone[index, :, :place] == STAYS)
                gone[index, :, :place].masked_fill_(lost, place)

    def released(self, row: int) -> None:
        self.gone[self._samples.pop(row)] = self._rows.pop(row)


def gone_from(
    model: Model, policy: Policy, texts: Sequence[Request], engine: Engine = Decoder, batch_size: int = 16
) -> dict[str, Tensor]:
    """[L, H, S] int64 of each text: the first query that did not see a token any more, STAYS for none."""
    departures = Departures()

    def follow(**options: object) -> Decoder:
        decoder = engine(**options)
        decoder.tracing = departures
        return decoder

    scribe = Scribe(model, batch_size=batch_size, longest=longest(texts))
    force(model, policy, texts, follow, batch_size, scribe)
    return {text.sample: departures.gone[text.sample][..., : len(joined(text))] for text in texts}


@dataclass(frozen=True, kw_only=True)
class Hidden:
    """A model attends through this: a query sees itself and those before it that are not gone yet."""

    gone: Tensor  # [L, H, S]

    def attend(self, index: int, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """query [1, Hq, S, D], key and value [1, H, S, D] -> [1, S, Hq, D]."""
        order = torch.arange(key.shape[2], device=key.device)
        gone = self.gone[index, :, None, : len(order)].to(key.device)  # [H, 1, S]
        seen = (order < order[:, None]) & (order[:, None] < gone) | (order == order[:, None])
        seen = seen.repeat_interleave(query.shape[1] // key.shape[1], 0)[None]
        output = scaled_dot_product_attention(query, key, value, attn_mask=seen, scale=scale, enable_gqa=True)
        return output.transpose(1, 2).contiguous()


@torch.inference_mode()
def states_without(model: Model, tokens: Sequence[int], gone: Tensor) -> Tensor:
    """[S, E]: what the output projection sees of tokens, from each of which some are gone."""
    ids = torch.tensor([list(tokens)], device=model.device)
    places = torch.arange(len(tokens), device=model.device)[None]
    with own_attention(model):
        return output_states(model, ids, position_ids=places, kv_cache=Hidden(gone=gone))[0]


@torch.inference_mode()
def of_method(model: Model, text: Request, gone: Tensor, cut: int) -> list[Row]:
    """A row a bin, of all that was gone before token `cut`, and of what of it stood in the prompt; none of nothing.

    What later rounds drop stays: the tokens behind the cut see one cache, as they do of a marked span.
    """
    tokens, head, rows = joined(text), output_projection(model), list[Row]()
    gone = pad(gone, (0, len(tokens) - gone.shape[-1]), value=STAYS)
    dense = states_without(model, tokens[:-1], torch.full_like(gone, STAYS))[cut:]
    said = torch.tensor(tokens[cut + 1 :], device=dense.device)
    behind_prompt = torch.arange(gone.shape[-1]) >= len(text.prompt)
    by_cut = gone.masked_fill(gone > cut, STAYS)
    for what, lost in (("all", by_cut), ("prompt", by_cut.masked_fill(behind_prompt, STAYS))):
        if (lost == STAYS).all():
            continue
        evicted, never = (
            states_without(model, tokens[:-1], each)[cut:] for each in (lost, torch.where(lost < STAYS, 0, STAYS))
        )
        of_dense, of_evicted = (compare_states(head, one, never, said).kl for one in (dense, evicted))
        share = float((lost[..., :cut] < STAYS).double().mean())
        for since, part in bins(len(said)):
            sums = {"kl_dense": sum(of_dense[part]), "kl_erased": sum(of_evicted[part])}
            names = {"sample": text.sample, "of": what, "gone": share, "after": cut - len(text.prompt)}
            rows.append({**names, "since": since, "tokens": len(of_dense[part]), **sums})
    return rows
