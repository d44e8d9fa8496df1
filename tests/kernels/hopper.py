"""Compiles the Triton kernels for sm_90 as their launches ask for it, at shapes of Qwen3-14B, without a GPU.

Run as a program, for the other tests interpret. Tensors have no memory, and a launch ends with its compilation. Prints
what became of each launch, as JSON.

B rows, H KV heads, G query heads per KV head, N slots, W window, P pages, D head dim, E hidden size, F size of
the MLP.
"""

import json
from types import SimpleNamespace
from unittest.mock import patch

import torch
import triton

with (  # asked on import
    patch.object(torch.cuda, "is_available", return_value=True),
    patch.object(torch.cuda, "get_device_capability", return_value=(9, 0)),
):
    from kvarena.kernels import overlap

from kvarena.kernels.append import PackedToken
from kvarena.kernels.append import kernel as append
from kvarena.kernels.attend import Attended
from kvarena.kernels.attend import kernel as attend
from kvarena.kernels.evict import kernel as evict
from kvarena.kernels.gate import kernel as gate
from kvarena.kernels.linear import kernel as linear
from kvarena.kernels.noise import kernel as noise
from kvarena.kernels.norm import Norm
from kvarena.kernels.norm import kernel as norm
from kvarena.kernels.pack import Affine, Codebook, Coefficients, Format, Fp8, Kivi, Packed, Turbo
from kvarena.kernels.pack import kernel as pack
from kvarena.kernels.pages import kernel as pages
from kvarena.kernels.pool import kernel as pool
from kvarena.kernels.rotate import kernel as rotate
from kvarena.kernels.score import kernel as score
from kvarena.kernels.seat import kernel as seat
from kvarena.kernels.variance import kernel as variance
from triton.backends.compiler import GPUTarget
from triton.runtime.jit import JITFunction

B, H, G, N, W, D, E, F = 16, 8, 5, 4160, 64, 128, 5120, 17408
PAGE, P = 16, N // 16
LAUNCH = JITFunction.run


class Driver:
    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0


def of(*size: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(*size, dtype=dtype, device="meta")


def step() -> None:
    int32 = dict(dtype=torch.int32)
    x, query, keys, lengths, active = of(B, E), of(B, H, G, D), of(B, H, N, D), of(B, H, **int32), of(B, **int32)
    one, head = Norm(of(E), 1e-6), Norm(of(D), 1e-6)
    linear.linear(x, of(E, E), None, x)
    linear.linear(x, of(D, E), of(D), of(B, D))  # of few outputs: its inputs are split
    linear.gated(x, of(2 * F, E))
    gate.gate(of(B, 2 * F))
    norm.normed(x, one)
    rotate.rotate(of(B, (G + 2) * H * D), of(B, D), of(B, D), (G * H, H), head, head)
    memory = SimpleNamespace(
        keys=keys,
        values=keys,
        positions=of(B, H, N, **int32),
        mass=of(B, H, N, dtype=torch.float32),
        rank=of(B, H, N, **int32),
        lengths=lengths,
        queries=of(B, H, G, W, D),
        page_min=of(B, H, P, D),
        page_max=of(B, H, P, D),
    )
    append.append(memory, query, of(B, H, D), of(B, H, D), of(B, dtype=torch.int64), active, PAGE)
    scores = pages.score(query, memory.page_min, memory.page_max, lengths, PAGE, False)
    pages.products(query, query, memory.page_min, memory.page_max, lengths, PAGE)
    pages.live_bounds(keys, lengths, PAGE)
    chosen = pages.top(scores, lengths, PAGE, P // 2)
    for listed in None, chosen:
        _, lse = attend.attend(query, keys, keys, lengths, D**-0.5, listed, PAGE)
    attend.add_mass(memory.mass, query, keys, lengths, lse, D**-0.5)
    uses = of(B, H, N, **int32)
    attend.note_uses(uses, uses, query, keys, lengths, lse, of(B, dtype=torch.int64), D**-0.5, 1e-4)
    bias = of(B, H, N, dtype=torch.float32)
    for listed in None, chosen:
        seen = attend.attend(query, keys, keys, lengths, D**-0.5, listed, PAGE, bias)
    variance.variance(query, keys, keys, lengths, Attended(*seen), D**-0.5, bias)
    attend.add_mass(memory.mass, query, keys, lengths, lse, D**-0.5, 1.0, bias)
    attend.note_uses(uses, uses, query, keys, lengths, lse, of(B, dtype=torch.int64), D**-0.5, 1e-4, bias)
    attend.add_reads(of(B, dtype=torch.int64), lengths, active, chosen, PAGE, N)


def round_of_rows() -> None:
    keys, lengths, positions = of(B, H, N, D), of(B, H, dtype=torch.int32), of(B, H, N, dtype=torch.int32)
    rows, excess, mask = of(B, dtype=torch.int64), of(B, dtype=torch.int32), of(B, H, N, dtype=torch.bool)
    score.mean_softmax(of(B, H, G, W, D), keys, mask[:, :, None])
    score.mean_cosine(keys, mask)
    score.leverage(keys, keys, of(B, 1, D, 20, dtype=torch.float32))
    scores = score.value_range(keys)
    pool.pool(scores, positions, mask, 5, most=False)
    pool.pool(scores, positions, mask, 7, most=True)
    for law in noise.Law.GUMBEL, noise.Law.NORMAL:
        noise.draw(law, of(B, 2, dtype=torch.int64), positions, 0, 0, 0)
    for column in keys, positions, keys.to(torch.float8_e4m3fn):
        seat.seat(column, of(B, *column.shape[1:2], 64, *column.shape[3:], dtype=column.dtype), rows, rows, 0)
    evict.lowest(scores, positions, mask, excess)
    evict.drop([keys, keys, positions], lengths, rows, scores, positions, mask, excess)
    evict.compact([keys, keys, positions], lengths, rows, mask)


def packed(form: Format, width: int) -> Packed:
    return Packed(
        form=form,
        codes=of(B, H, N, form.num_codes(D), dtype=form.dtype or torch.bfloat16),
        scales=of(B, H, N, form.num_scales(D), dtype=torch.float16),
        ring=of(B, H, width, D),
        positions=of(B, H, N, dtype=torch.int32),
        position=of(B, dtype=torch.int64),
        dim=D,
    )


def packed_columns(keys: Packed, values: Packed) -> None:
    """What reads and writes them; where groups of tokens are one, which no round may part, a step's kernels alone."""
    int32 = dict(dtype=torch.int32)
    query, lengths, mask, one = of(B, H, G, D), of(B, H, **int32), of(B, H, N, dtype=torch.bool), of(B, H, D)
    memory = SimpleNamespace(
        keys=keys.codes,
        values=values.codes,
        positions=keys.positions,
        mass=of(B, H, 0),
        rank=of(B, H, 0),
        lengths=lengths,
        queries=of(B, H, G, W, D),
        page_min=of(B, H, 0, D),
        page_max=of(B, H, 0, D),
    )
    token = PackedToken(keys, values, of(B, H, N, 1, dtype=torch.float32), of(B, H, 1, dtype=torch.float32))
    append.append(memory, query, one, one, keys.position, of(B, **int32), 0, token)
    _, lse = attend.attend(query, keys, values, lengths, D**-0.5, None, 0)
    if keys.form.span > 1:
        return
    mass = of(B, H, N, dtype=torch.float32)
    attend.add_mass(mass, query, keys, lengths, lse, D**-0.5)
    score.mean_softmax(of(B, H, G, W, D), keys, mask[:, :, None])
    score.mean_cosine(keys, mask)
    if keys.form.learns:  # it compiles for seconds, and decodes a slot as the others do
        score.leverage(keys, values, of(B, 1, D, 20, dtype=torch.float32))
    pack.decode(keys)
    pack.encode(values.form, of(H, 300, D))


def main() -> None:
    assert overlap.ABLE
    triton.runtime.driver.set_active(Driver())
    launches = []

    def compiled(self: JITFunction, *args: object, **options: object) -> None:
        kernel = LAUNCH(self, *args, **options | {"warmup": True})
        waits = "griddepcontrol.wait" in kernel.asm["ptx"]
        launches.append([self.fn.__name__, kernel.metadata.launch_pdl, waits, kernel.metadata.shared])

    JITFunction.run = compiled
    step()
    round_of_rows()
    packed_columns(packed(Fp8(), 0), packed(Affine(bits=4, group=32), 0))
    packed_columns(packed(Turbo(bits=3), 64), packed(Affine(bits=4, group=32), 64))
    packed_columns(packed(Kivi(bits=2, tokens=32), 128), packed(Affine(bits=2, group=32), 128))
    low_rank = Coefficients(rank=40).of(of(H, D, D, dtype=torch.float32))
    codebook = Codebook(parts=32).of(of(32, 255, 4, dtype=torch.float32))
    packed_columns(packed(low_rank, 0), packed(codebook, 0))
    print(json.dumps(launches))


if __name__ == "__main__":
    main()
