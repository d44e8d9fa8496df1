"""Kernels of a decode step: what stands around the attention, the step's writes, the attention, its mass.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, E hidden size, F size of the MLP.
"""

from collections.abc import Callable, Iterator
from functools import partial
from types import SimpleNamespace

import torch
from case import HALF, SCALE, B, Case, D, E, F, G, H, N, close, memory, num_token_bytes, token_of
from kvarena.kernels import append, attend, linear, norm, rotate
from kvarena.kernels.append import reference as append_reference
from kvarena.kernels.attend import reference as attend_reference
from kvarena.kernels.linear import reference as linear_reference
from kvarena.kernels.norm import reference as norm_reference
from kvarena.kernels.pack import Affine, Format, Fp8, Packed, Plain, Stored, encode
from kvarena.kernels.rotate import reference as rotate_reference
from torch import Tensor


def layers() -> Iterator[Case]:
    """What stands around the attention of a layer."""
    x, inner, attended = (torch.randn(B, size, **HALF) for size in (E, F, H * G * D))
    joined, angle = torch.randn(B, (G + 2) * H * D, **HALF), torch.rand(B, D, device="cuda").mul(6)
    whole, head = (norm.Norm(torch.randn(size, **HALF), 1e-6) for size in (E, D))
    turn = joined, angle.cos().bfloat16(), angle.sin().bfloat16(), (H * G, H), head, head
    qkv, output, down, both = (
        torch.randn(outputs, inputs, **HALF) / inputs**0.5
        for outputs, inputs in ((joined.shape[1], E), (E, H * G * D), (E, F), (2 * F, E))
    )
    for name, own, weight, residual in (
        ("linear qkv", x, qkv, None),
        ("linear output", attended, output, x),
        ("linear down", inner, down, x),
    ):
        run = partial(linear.linear, own, weight, residual=residual)
        twin = partial(linear_reference.linear, own, weight, None, residual)
        yield Case(name, run, weight.nbytes, partial(agree, run, twin))
    for name, ours, theirs, inputs, num_bytes in (
        ("gated", linear.gated, linear_reference.gated, (x, both), both.nbytes),
        ("norm", norm.normed, norm_reference.normed, (x, whole), 2 * x.nbytes),
        ("rotate", rotate.rotate, rotate_reference.rotate, turn, 2 * joined.nbytes),
    ):
        run = partial(ours, *inputs)
        yield Case(name, run, num_bytes, partial(agree, run, partial(theirs, *inputs)))


def agree(ours: Callable[[], object], twin: Callable[[], object]) -> None:
    torch.testing.assert_close(ours(), twin(), rtol=2e-2, atol=2e-2)


def step_writes() -> Iterator[Case]:
    ours = memory()
    theirs = SimpleNamespace(**{name: column.clone() for name, column in vars(ours).items()})
    token = token_of(B, active=1)

    def check() -> None:
        assert torch.equal(append.append(ours, **token), append_reference.append(theirs, *token.values()))
        assert all(torch.equal(column, getattr(theirs, name)) for name, column in vars(ours).items())
        token["active"].zero_()  # the timed runs then write to one slot
        ours.lengths.fill_(N - 1)

    yield Case("append", lambda: append.append(ours, **token), num_token_bytes(token), check)


def attention() -> Iterator[Case]:
    query = torch.randn(B, H, G, D, **HALF)
    plain = torch.randn(B, H, N, D, **HALF), torch.randn(B, H, N, D, **HALF)
    lengths = torch.full((B, H), N, dtype=torch.int32, device="cuda")

    def run(keys: Stored, values: Stored) -> attend.Attended:
        return attend.attend(query, keys, values, lengths, longest=N, scale=SCALE)

    def check(keys: Stored, values: Stored) -> None:
        twins = attend_reference.attend(query, keys, values, lengths, N, SCALE, None)
        for ours, twin in zip(run(keys, values)[:2], twins, strict=True):
            close(ours, twin)

    for name, form in (("", Plain()), (" fp8", Fp8()), (" int4", Affine(bits=4, group=32))):
        columns = tuple(packed(form, column) for column in plain) if form.packs else plain
        num_bytes = 2 * B * H * N * form.num_bytes(D)
        yield Case(
            f"attend{name}", partial(run, *columns), num_bytes, partial(check, *columns), "attend" if name else ""
        )

    keys, lse = plain[0], run(*plain).lse
    mass = torch.zeros(B, H, N, device="cuda")

    def check_mass() -> None:
        mass.zero_()
        attend.add_mass(mass, query, keys, lengths, lse, scale=SCALE)
        close(mass, attend_reference.mass(query, keys, lengths, lse, SCALE), 1e-4)

    yield Case(
        "mass",
        lambda: attend.add_mass(mass, query, keys, lengths, lse, scale=SCALE),
        keys.nbytes + 2 * mass.nbytes,
        check_mass,
    )


def packed(form: Format, vectors: Tensor) -> Packed:
    codes, scales = encode(form, vectors)
    positions = torch.zeros(B, H, N, dtype=torch.int32, device="cuda")
    rest = dict(ring=vectors[:, :, :0], positions=positions, position=positions[:, 0, 0].long(), dim=D)
    return Packed(form=form, codes=codes, scales=scales, **rest)
