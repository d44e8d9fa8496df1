"""Decode the three prompts at once; keep what the cache held after every round, and all it was fed."""

from types import SimpleNamespace

import torch
from kvarena.kernels.pack import encode
from kvarena.runners.cache import PLAIN
from kvarena.runners.generate import Decoder
from kvarena.runners.sampler import Greedy

from .decoding import ALL, MAX_TOKENS


def held_as(form, vectors):
    """What a cache keeps of them: themselves, or their codes and the bytes of the numbers beside."""
    return with_scales(*encode(form, form.turn(vectors))) if form.packs else vectors


def held_in(layer):
    """The same of a layer's keys and values."""
    return with_scales(layer.keys, layer.key_scales), with_scales(layer.values, layer.value_scales)


def with_scales(codes, scales):
    return torch.cat([codes, scales.view(torch.uint8)], -1) if scales.numel() else codes


def watch(model, policy, storage=PLAIN):
    """Decode the three prompts at once; keep what the cache held after every round, and all it was fed."""
    decoder = Decoder(
        model=model,
        policy=policy,
        sampler=Greedy(),
        max_tokens=MAX_TOKENS,
        longest_prompt=40,
        batch_size=3,
        storage=storage,
    )
    cache = decoder.cache
    seen = SimpleNamespace(policy=policy, cache=cache, after=[], views=[], fed={}, above_capacity=[])
    attend, evict = cache.attend, decoder.evict

    def note_prompts():
        for row, clock in enumerate(cache.clocks):
            if clock and (0, row) not in seen.fed:
                for index, layer in enumerate(cache.layers):
                    seen.fed[index, row] = tuple(column[row, :, : clock.prompt].clone() for column in held_in(layer))

    def watched_attend(index, query, key, value, scale):
        note_prompts()
        own = cache.layers[index].room.storage
        new = held_as(own.keys, key), held_as(own.values, value)
        for row, clock in enumerate(cache.clocks):
            if clock:
                seen.fed[index, row] = tuple(
                    torch.cat([old, one[row]], 1) for old, one in zip(seen.fed[index, row], new, strict=True)
                )
        output = attend(index, query, key, value, scale)
        if (cache.layers[index].lengths > cache.capacity(index)).any():
            seen.above_capacity.append(index)
        return output

    def watched_evict(rows):
        note_prompts()
        seen.views.append(cache.view(1, cache.facts(rows)))
        evict(rows)
        for row in rows:
            for index, layer in enumerate(cache.layers):
                seen.after.append(
                    SimpleNamespace(
                        tokens=policy.tokens_at(index, len(cache.layers), cache.clocks[row].position),
                        prompt=cache.clocks[row].prompt,
                        end=cache.clocks[row].position,
                        lengths=layer.lengths[row].tolist(),
                        positions=[layer.positions[row, h, : layer.lengths[row, h]].tolist() for h in range(2)],
                        exact=all(
                            torch.equal(column[row, h, :n], fed[h, layer.positions[row, h, :n].long()])
                            for column, fed in zip(held_in(layer), seen.fed[index, row], strict=True)
                            for h, n in enumerate(layer.lengths[row].tolist())
                        ),
                    )
                )

    cache.attend, decoder.evict = watched_attend, watched_evict
    seen.generations = list(decoder.run(ALL))
    return seen
