"""A method of ours as a scorer of kvpress, for its users: `as_press(policy, kvpress.ScorerPress)`.

kvpress keeps neither positions nor rounds nor, from step to step, more than hidden states: slots stand for positions,
the newest token's position for the round, and queries are made of hidden states by the layer's own projection, turned
at their true positions. What a method asks for beyond that is refused. kvpress says by its ratio how many slots stay;
`budget` says which are recent and which are sinks, and its `tokens` is only what settings are parts of.

`compress` leaves the survivors in the order of their slots, so that slots stay in time order from round to round, and
sinks and recent ones where they are looked for; kvpress's own leaves them by falling score. Wrappers that ask for
`score` alone get the method's own scores, protected slots highest.

B rows, H KV heads, G query heads per KV head, n slots, W window, S hidden states, D head dim, E hidden size.
"""

from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn

from ..kernels.noise import Noise
from .policy import Eviction, LayerView, Needs
from .scores import turned
from .settings import fit

SUPPLIED = {"queries", "output", "rotation", "module"}


def as_press(policy: Eviction, base: type = object, *, seed: int = 0) -> Any:
    """A press of the class `base`, `kvpress.ScorerPress` where kvpress asks for one; ValueError for what it cannot be.

    `seed`: of what the policy draws, with the row's number.
    """
    name = type(fit("policy", policy, Eviction)).__name__
    asked = {each.name for each in fields(Needs) if getattr(policy.needs, each.name) != each.default}
    if lacking := sorted(asked - SUPPLIED - {"decay"}):
        raise ValueError(f"{name} needs {' and '.join(lacking)}, which kvpress does not keep: use another method")
    if policy.selects:
        raise ValueError(f"{name} chooses what is read too, and kvpress reads all: use another method")
    budget = policy.budget
    if (
        budget.share is not None
        or budget.layers is not None
        or any(policy.tokens(i, 4) != budget.tokens for i in (0, 3))
    ):
        raise ValueError(f"{name} has budgets of its own, and kvpress one ratio for all: use a plain method")
    if policy.uneven or budget.protect_prompt:
        raise ValueError(f"{name}: kvpress knows of no uneven heads and of no prompt that stays: use another setting")
    return type(f"{name}Press", (OwnPress, base), {})(policy, seed)


class OwnPress:
    """What `as_press` makes beside its base."""

    def __init__(self, policy: Eviction, seed: int) -> None:
        self.policy, self.seed, self.compression_ratio = policy, seed, 0.0

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.policy}, compression_ratio={self.compression_ratio})"

    def score(
        self, module: nn.Module, hidden_states: Tensor, keys: Tensor, values: Tensor, attentions: Any, kwargs: dict
    ) -> Tensor:
        """[B, H, n] float32 of keys and values [B, H, n, D]; hidden_states [B, S, E] of the newest tokens."""
        view = self.view(module, hidden_states, keys, values, kwargs)
        highest = torch.finfo(torch.float32).max
        return self.policy.score(view).clamp(-highest, highest).masked_fill(~view.evictable, highest)

    def compress(
        self, module: nn.Module, hidden_states: Tensor, keys: Tensor, values: Tensor, attentions: Any, kwargs: dict
    ) -> tuple[Tensor, Tensor]:
        """Keys and values of the survivors, in the order of their slots; sinks and recent slots are among them."""
        if self.compression_ratio == 0:
            return keys, values
        keep = self.policy.keep(self.view(module, hidden_states, keys, values, kwargs))
        count = int(keep[0, 0].sum())
        index = keep.int().argsort(dim=-1, descending=True, stable=True)[..., :count, None]
        index = index.expand(-1, -1, -1, keys.shape[-1])
        return keys.gather(2, index).contiguous(), values.gather(2, index).contiguous()

    def view(self, module: Any, hidden_states: Tensor, keys: Tensor, values: Tensor, kwargs: dict) -> LayerView:
        """What the policy sees of a layer."""
        rows, heads, count, dim = keys.shape
        policy, needs, device = self.policy, self.policy.needs, keys.device
        placed = kwargs.get("cache_position")
        newest = count - 1 if placed is None else int(placed[-1])
        positions = torch.arange(count, dtype=torch.int32, device=device).expand(rows, heads, count)
        candidates = positions < count - policy.budget.recent
        nothing = torch.empty(rows, heads, 0, device=device)
        known: dict[str, Any] = {}
        if needs.output:
            weight = module.o_proj.weight.detach().T
            known["output_weight"] = weight.unflatten(0, (heads, -1, dim))
        if needs.rotation:
            known["frequencies"] = module.rotary_emb.inv_freq.to(device, torch.float32)
        queries = torch.empty(rows, heads, 1, 0, dim, device=device)
        if needs.queries:
            queries = window_queries(module, hidden_states, needs.queries, newest).unflatten(1, (heads, -1))
        kept = max(1, int(count * (1 - self.compression_ratio)))
        return LayerView(
            layer=module.layer_idx,
            num_layers=module.config.num_hidden_layers,
            keys=keys,
            values=values,
            positions=positions,
            live=torch.ones_like(candidates),
            candidates=candidates,
            evictable=candidates & (positions >= policy.budget.sinks),
            excess=torch.full((rows,), count - kept, dtype=torch.int32, device=device),
            round=torch.full((rows,), newest, dtype=torch.int32, device=device),
            queries=queries,
            mass=nothing,
            rank=nothing,
            constants=policy.constants(keys, values),
            page_min=nothing,
            page_max=nothing,
            noise=Noise(keys=torch.tensor([Noise.key(self.seed, row, 0) for row in range(rows)], device=device)),
            scaling=getattr(module, "scaling", None),
            module=module,
            **known,
        )


def window_queries(module: Any, hidden_states: Tensor, window: int, newest: int) -> Tensor:
    """[B, Hq, W, D] of the newest W tokens, turned at their positions, the last of which is `newest`.

    Zeros stand before the first token. ValueError where hidden_states [B, S, E] hold fewer than there were.
    """
    count = min(window, newest + 1)
    if hidden_states.shape[1] < count:
        raise ValueError(
            f"{window} queries are needed, and there are {hidden_states.shape[1]} hidden states: raise kvpress's "
            "compression_interval and hidden_states_buffer_size, or lower budget.recent"
        )
    if not hasattr(module, "q_proj"):
        raise ValueError(f"{type(module).__name__} has no q_proj to make queries of hidden states with")
    states = hidden_states[:, -count:]
    queries = module.q_proj(states).unflatten(-1, (-1, module.head_dim))
    if hasattr(module, "q_norm"):
        queries = module.q_norm(queries)
    at = torch.arange(newest + 1 - count, newest + 1, device=states.device)[None]
    cos, sin = (part[:, None, :, : module.head_dim // 2] for part in module.rotary_emb(states, at))
    placed = turned(queries.transpose(1, 2), cos, sin)
    return nn.functional.pad(placed, (0, 0, window - count, 0))
