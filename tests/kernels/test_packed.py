"""The kernels that read or write keys and values, on packed columns: in Triton as in PyTorch.

Slots stand in any order, as after an eviction, and the newest positions are read from the ring.
"""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from kvarena.kernels import append, attend, score
from kvarena.kernels.append import PackedToken
from kvarena.kernels.append import kernel as append_kernel
from kvarena.kernels.attend import kernel as attend_kernel
from kvarena.kernels.evict import kernel as evict_kernel
from kvarena.kernels.pack import Affine, Codebook, Coefficients, Fp8, Kivi, Packed, Plain, Turbo, encode
from kvarena.kernels.pack import kernel as pack_kernel
from kvarena.kernels.score import kernel as score_kernel

SCALE = 0.3
PAIRS = {  # keys, values, places of the ring
    "fp8": (Fp8(), Fp8(), 0),
    "int8+r5": (Affine(bits=8, group=16), Affine(bits=8, group=16), 5),
    "int4": (Affine(bits=4, group=8), Affine(bits=4, group=8), 0),
    "fp8-int4": (Fp8(), Affine(bits=4, group=None), 0),
    "turbo4+r8": (Turbo(bits=4), Affine(bits=4, group=None), 8),
    "turbo3": (Turbo(bits=3), Affine(bits=3, group=None), 0),
    "plain-fp8": (Plain(), Fp8(), 0),
    "fp8-plain+r3": (Fp8(), Plain(), 3),
    "int2-turbo4+r4": (Affine(bits=2, group=16), Turbo(bits=4), 4),
    "rank24-pq16+r5": (Coefficients(rank=24), Codebook(parts=16), 5),
    "pq8-rank28": (Codebook(parts=8), Coefficients(rank=28), 0),
    "kivi2+r16": (Kivi(bits=2, tokens=8), Affine(bits=2, group=16), 16),
}


@pytest.fixture(params=PAIRS, ids=list(PAIRS))
def pair(request):
    return PAIRS[request.param]


@pytest.fixture
def columns(rng, device):
    """columns(pair, lengths, dim): keys and values [B, H, N, D] of 128 slots, and the lengths."""

    def build(pair, lengths=((1, 63), (64, 127)), dim=32):
        rows, heads, slots = len(lengths), len(lengths[0]), 128
        lengths = torch.tensor(lengths, dtype=torch.int32, device=device)
        order = torch.rand(rows, heads, slots, generator=rng)
        order = order.to(device).masked_fill(torch.arange(slots, device=device) >= lengths[..., None], 2)
        positions = order.argsort(-1).argsort(-1).to(torch.int32)  # the live ones have 0 to their number - 1
        position = lengths.amax(1).long()
        return [of(form, positions, position, pair[2], dim) for form in pair[:2]], lengths, positions

    def of(form, positions, position, width, dim):
        vectors = torch.randn(*positions.shape, dim, generator=rng).to(device)
        if not form.packs:
            return vectors
        if form.learns:
            form = form.of(learned(form, positions.shape[1], dim, rng).to(device))
        codes, scales = encode(form, form.turn(vectors))
        ring = torch.randn(*positions.shape[:2], width, dim, generator=rng).to(device)
        return Packed(form=form, codes=codes, scales=scales, ring=ring, positions=positions, position=position, dim=dim)

    return build


def learned(form, heads, dim, rng):
    """Of no model."""
    if isinstance(form, Coefficients):
        return torch.linalg.qr(torch.randn(heads, dim, dim, generator=rng)).Q
    return torch.randn(form.parts, 255, dim // form.parts, generator=rng)


def close(ours, theirs, **tolerance):
    torch.testing.assert_close(ours, theirs, **{"rtol": 1e-4, "atol": 1e-5} | tolerance)


@pytest.mark.parametrize("paged", [False, True], ids=["all", "pages"])
def test_attend(columns, pair, rng, device, paged):
    (keys, values), lengths, _ = columns(pair)
    query = torch.randn(2, 2, 5, 32, generator=rng).to(device)
    pages = torch.tensor([[[0, -1], [0, 3]], [[1, 2], [7, 0]]], dtype=torch.int32, device=device) if paged else None
    output, lse = attend_kernel.attend(query, keys, values, lengths, SCALE, pages, 16)
    reads = None if pages is None else attend.reference.slots_of_pages(pages, 16, 128)
    expected = attend.reference.attend(query, keys, values, lengths, 128, SCALE, reads)
    close(output, expected[0])
    close(lse, expected[1])


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("pair", ["fp8", "int4", "fp8-int4"], indirect=True)
@pytest.mark.parametrize("paged", [False, True], ids=["all", "pages"])
def test_attend_multiplies_codes_in_float16(columns, pair, rng, device, half, paged):
    """Tiny vectors and large ones, whose scales are far apart; what is not live may be anything."""
    (keys, values), lengths, _ = columns(pair)
    sizes = torch.logspace(-4, 1, 128, device=device)[:, None]
    keys, values = (replace(one, scales=(one.scales * sizes).half(), ring=one.ring.to(half)) for one in (keys, values))
    broken = (torch.arange(128, device=device) >= lengths[..., None])[..., None]
    query, bias = torch.randn(2, 2, 5, 32, generator=rng).to(device, half), torch.randn(2, 2, 128, generator=rng)
    pages = torch.tensor([[[0, -1], [0, 3]], [[1, 2], [7, 0]]], dtype=torch.int32, device=device) if paged else None
    reads = None if pages is None else attend.reference.slots_of_pages(pages, 16, 128)
    expected = attend.reference.attend(query, keys, values, lengths, 128, SCALE, reads, bias.to(device))
    assert attend_kernel.takes_codes(query, keys, values)
    for one in (keys, values):
        one.scales.masked_fill_(broken, torch.nan)
        one.codes.masked_fill_(broken, 0x7F)
    output, lse = attend_kernel.attend(query, keys, values, lengths, SCALE, pages, 16, bias.to(device))
    assert output.dtype == half
    close(output.float(), expected[0].float(), rtol=1e-2, atol=1e-2)
    close(lse, expected[1], rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("pair", ["fp8", "int4"], indirect=True)
def test_codes_that_end_amid_a_block(columns, pair, device, rng):
    """Behind the last head there is nothing to read."""
    (keys, values), _, _ = columns(pair)
    keys, values = (
        replace(
            one,
            codes=one.codes[:, :, :34].contiguous(),
            scales=one.scales[:, :, :34].contiguous(),
            ring=one.ring.half(),
            positions=one.positions[:, :, :34].contiguous(),
        )
        for one in (keys, values)
    )
    query, lengths = torch.randn(2, 2, 5, 32, generator=rng).to(device).half(), torch.tensor([[34, 9], [33, 34]]).int()
    assert attend_kernel.takes_codes(query, keys, values)
    output, _ = attend_kernel.attend(query, keys, values, lengths.to(device), SCALE, None, 0)
    expected = attend.reference.attend(query, keys, values, lengths.to(device), 34, SCALE, None)
    close(output.float(), expected[0].float(), rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("pair", ["fp8", "int4"], indirect=True)
def test_a_vector_that_broke_breaks_its_head_alone(columns, pair, rng, device):
    """Its scale says so; its codes may be any."""
    (keys, values), lengths, _ = columns(pair)
    query = torch.randn(2, 2, 5, 32, generator=rng).to(device, torch.float16)
    whole, _ = attend_kernel.attend(query, keys, values, lengths, SCALE, None, 16)
    for column in (keys, values):
        before = column.scales.clone()
        column.scales[1, 0, 5] = torch.nan
        output, _ = attend_kernel.attend(query, keys, values, lengths, SCALE, None, 16)
        assert output[1, 0].isnan().all()
        output[1, 0] = whole[1, 0]
        assert torch.equal(output, whole)
        column.scales.copy_(before)


@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16], ids=str)
def test_mass_of_half_precision(columns, rng, device, half):
    if half == torch.bfloat16 and device.type == "cpu":
        pytest.skip("Triton's interpreter gets products of bfloat16 wrong")
    (keys, values), lengths, _ = columns(PAIRS["fp8"])
    query, mass = torch.randn(2, 2, 5, 32, generator=rng).to(device, half), torch.zeros(2, 2, 128, device=device)
    _, lse = attend.reference.attend(query, keys, values, lengths, 128, SCALE, None)
    attend_kernel.add_mass(mass, query, keys, lengths, lse, SCALE)
    close(mass, attend.reference.mass(query, keys, lengths, lse, SCALE), rtol=1e-2, atol=1e-3)


def test_a_row_is_read_as_its_decoded_copy_is(columns, pair, rng, device):
    (keys, values), lengths, _ = columns(pair)
    query = torch.randn(2, 2, 5, 32, generator=rng).to(device)
    output, _ = attend_kernel.attend(query, keys, values, lengths, SCALE, None, 0)
    expected, _ = attend_kernel.attend(query, keys.float(), values.float(), lengths, SCALE, None, 0)
    close(output, expected)


def test_mass_and_uses(columns, pair, rng, device):
    (keys, values), lengths, _ = columns(pair)
    query = torch.randn(2, 2, 5, 32, generator=rng).to(device)
    _, lse = attend.reference.attend(query, keys, values, lengths, 128, SCALE, None)
    ours = torch.zeros(2, 2, 128, device=device)
    attend_kernel.add_mass(ours, query, keys, lengths, lse, SCALE)
    close(ours, attend.reference.mass(query, keys, lengths, lse, SCALE))
    close(ours.sum(-1), torch.ones(2, 2, device=device))
    used = [torch.zeros(2, 2, 2, 128, dtype=torch.int32, device=device).unbind() for _ in range(2)]
    rest = query, keys, lengths, lse, torch.tensor([200, 300], device=device), SCALE, 0.02
    attend_kernel.note_uses(*used[0], *rest)
    attend.reference.note_uses(*used[1], *rest)
    live = torch.arange(128, device=device) < lengths[..., None]
    for mine, twin in zip(*used, strict=True):
        assert torch.equal(mine[live], twin[live])
        assert (mine[live] > 0).any()


def test_scores(columns, pair, rng, device):
    (keys, values), lengths, _ = columns(pair)
    queries = torch.randn(2, 2, 3, 4, 32, generator=rng).to(device)
    support = (torch.arange(128, device=device) < lengths[..., None]).contiguous()
    close(
        score_kernel.mean_softmax(queries, keys, support[:, :, None], SCALE),
        score.reference.mean_softmax(queries, keys, support[:, :, None], SCALE),
    )
    close(score_kernel.mean_cosine(keys, support), score.reference.mean_cosine(keys, support))
    projection = torch.randn(2, 1, 32, 20, generator=rng).to(device)
    close(
        score_kernel.leverage(keys, values, projection),
        score.reference.leverage(keys, values, projection),
        atol=1e-2,
    )


@pytest.mark.parametrize("pair", ["int8+r5", "fp8-plain+r3", "kivi2+r16"], indirect=True)
def test_columns_that_lie_anyhow(columns, pair, rng, device):
    """Some of the slots, and positions out of facts that lie row by row: kernels read what a copy in order has."""
    (keys, values), lengths, _ = columns(pair, ((1, 40), (64, 57)))
    facts, query = torch.zeros(2, 3, dtype=torch.int32, device=device), torch.randn(2, 2, 5, 32, generator=rng)
    facts[:, 1], query = lengths.amax(1), query.to(device)
    anyhow = [one if isinstance(one, torch.Tensor) else replace(one, position=facts[:, 1]) for one in (keys, values)]
    anyhow = [one[:, :, :64] for one in anyhow]
    in_order = [one.contiguous() for one in anyhow]
    assert [one.is_contiguous() for one in (*anyhow, *in_order)] == [False, False, True, True]
    support, projection = torch.ones(2, 2, 64, dtype=torch.bool, device=device), torch.ones(2, 1, 32, 4, device=device)
    for read in (
        lambda *columns: attend_kernel.attend(query, *map(beside_codes, columns), lengths, SCALE, None, 16)[0],
        lambda keys, values: score_kernel.mean_softmax(query[:, :, :, None], keys, support[:, :, None], SCALE),
        lambda keys, values: score_kernel.mean_cosine(keys, support),
        lambda keys, values: score_kernel.leverage(keys, values, projection),
        lambda keys, values: torch.stack([decoded(keys), decoded(values)]),
    ):
        assert torch.equal(read(*anyhow), read(*in_order))
    for one, other in zip(anyhow, in_order, strict=True):
        assert torch.equal(one.float(), other.float())


def beside_codes(column):
    """A plain one lies as they do."""
    return column.contiguous() if isinstance(column, torch.Tensor) else column


def test_a_plain_column_that_lies_otherwise_than_codes_is_not_read(columns, rng, device):
    (keys, values), lengths, _ = columns(PAIRS["plain-fp8"])
    query = torch.randn(2, 2, 5, 32, generator=rng).to(device)
    with pytest.raises(ValueError, match="too many values"):
        attend_kernel.attend(query, keys[:, :, :64], values[:, :, :64], lengths, SCALE, None, 16)


def decoded(column):
    return column if isinstance(column, torch.Tensor) else pack_kernel.decode(column)


def test_what_is_written_lies_where_it_stays(columns, device):
    """A token that went into a copy would be lost."""
    (keys, _), lengths, positions = columns(PAIRS["int8+r5"])
    part, one = keys[:, :, :64], torch.zeros(2, 2, 5, 32, device=device)
    memory = memory_of(part, part, positions, lengths, device)
    token, noted = PackedToken(part, part, one[..., :0], one[:, :, 0, :0]), torch.zeros(2, dtype=torch.int32)
    with pytest.raises(AssertionError):
        append_kernel.append(memory, one, one[:, :, 0], one[:, :, 0], keys.position, noted.to(device), 0, token)


def memory_of(keys, values, positions, lengths, device):
    nothing = torch.zeros(2, 2, 0, device=device)
    return SimpleNamespace(
        keys=keys if isinstance(keys, torch.Tensor) else keys.codes,
        values=values if isinstance(values, torch.Tensor) else values.codes,
        positions=positions,
        mass=nothing,
        rank=nothing,
        lengths=lengths,
        queries=torch.zeros(2, 2, 5, 0, 32, device=device),
        page_min=torch.zeros(2, 2, 8, 32, device=device),
        page_max=torch.zeros(2, 2, 8, 32, device=device),
    )


def test_append(columns, pair, rng, device):
    """Into the first free slot, and into the ring; then what an attention reads there is what came, or near it.

    A head of the idle row is full.
    """
    (keys, values), lengths, positions = columns(pair, ((1, 63), (64, 128)))
    query, (key, value) = torch.zeros(2, 2, 5, 32, device=device), torch.randn(2, 2, 2, 32, generator=rng).to(device)
    position, active = torch.tensor([130, 70], device=device), torch.tensor([1, 0], dtype=torch.int32, device=device)
    notes, found = torch.randn(2, 2, 3, generator=rng).to(device), []
    for write in (append_kernel.append, append.reference.append):
        own = [copied(column, position + 1) for column in (keys, values)]
        memory = memory_of(*own, positions.clone(), lengths.clone(), device)
        noted = torch.zeros(2, 2, 128, 3, device=device)
        own = [shown(column, memory.positions) for column in own]
        read = write(memory, query, key, value, position, active, 16, PackedToken(*own, noted, notes))
        found.append((own, memory, noted, read))
    (ours, memory, noted, read), (theirs, twin, twin_noted, twin_read) = found
    assert torch.equal(read, twin_read)
    for name in ("positions", "lengths", "page_min", "page_max"):
        assert torch.equal(getattr(memory, name), getattr(twin, name)), name
    assert torch.equal(noted, twin_noted)
    at = torch.arange(2, device=device)[:, None], torch.arange(2, device=device), lengths.long().clamp(max=127)
    assert torch.equal(noted[at], notes)
    for mine, other, came in zip(ours, theirs, (key, value), strict=True):
        close(mine.float(), other.float())
        off = (mine.float()[at] - came).norm() / came.norm()
        if isinstance(mine, torch.Tensor) or mine.ring.shape[2]:
            assert off < 1e-6
        else:
            assert 0 < off < 0.6
            assert torch.equal(mine.scales, other.scales)


@pytest.mark.parametrize("width", [8, 12])
def test_a_group_of_tokens_is_encoded_when_it_is_whole(rng, device, width):
    """Of 21 tokens two groups of eight are, from the ring; all others are read there."""
    form, found = Kivi(bits=4, tokens=8), []
    keys = torch.randn(21, 2, 2, 32, generator=rng).to(device)
    for write in (append_kernel.append, append.reference.append):
        codes = torch.zeros(2, 2, 128, form.num_codes(32), dtype=torch.uint8, device=device)
        scales = torch.zeros(2, 2, 128, form.num_scales(32), dtype=torch.float16, device=device)
        positions = torch.full((2, 2, 128), -1, dtype=torch.int32, device=device)
        ring, values = torch.zeros(2, 2, width, 32, device=device), torch.zeros(2, 2, 128, 32, device=device)
        lengths, noted = torch.zeros(2, 2, dtype=torch.int32, device=device), torch.zeros(2, 2, 128, 0, device=device)
        parts = dict(form=form, codes=codes, scales=scales, ring=ring, positions=positions, dim=32)
        for step, key in enumerate(keys):
            column = Packed(**parts, position=torch.full((2,), step + 1, device=device))
            memory = memory_of(column, values, positions, lengths, device)
            at, active = torch.full((2,), step, device=device), torch.ones(2, dtype=torch.int32, device=device)
            query, token = torch.zeros(2, 2, 5, 32, device=device), PackedToken(column, values, noted, noted[:, :, 0])
            write(memory, query, key, key, at, active, 16, token)
        found.append((column.float()[:, :, :21], codes, scales))
    (ours, *bits), (theirs, *expected) = found
    assert torch.equal(ours, theirs)
    assert all(torch.equal(one, other) for one, other in zip(bits, expected, strict=True))
    came = keys.permute(1, 2, 0, 3)
    assert torch.equal(ours[:, :, -width:], came[:, :, -width:])
    whole = came[:, :, : 21 - width].float()
    assert 0 < (ours[:, :, : 21 - width] - whole).norm() / whole.norm() < 0.2
    codes, scales = form.quantise(came[:, :, :16])
    assert torch.equal(bits[0][:, :, :16], codes)
    assert torch.equal(bits[1][:, :, :16], scales)


def copied(column, position):
    if isinstance(column, torch.Tensor):
        return column.clone()
    parts = {name: getattr(column, name).clone() for name in ("codes", "scales", "ring")}
    return Packed(form=column.form, **parts, positions=column.positions, position=position, dim=column.dim)


def shown(column, positions):
    """With the positions of a memory, which change under it."""
    if isinstance(column, torch.Tensor):
        return column
    parts = {name: getattr(column, name) for name in ("form", "codes", "scales", "ring", "position", "dim")}
    return Packed(**parts, positions=positions)


def test_an_eviction_moves_bytes(columns, device):
    """The survivors decode to what they were, whichever slot they are in; nothing is encoded again."""
    (keys, values), lengths, positions = columns((Turbo(bits=3), Fp8(), 0))
    keep = (torch.arange(128, device=device) < lengths[..., None]) & (positions % 3 != 1)
    before = [column.float() for column in (keys, values)]
    old, moved = positions.clone(), [keys.codes, keys.scales, values.codes, values.scales, positions]
    rows = torch.arange(2, device=device)
    evict_kernel.compact(moved, lengths, rows, keep)
    for row in range(2):
        for head in range(2):
            slots = range(int(lengths[row, head]))
            places = [int((old[row, head] == positions[row, head, slot]).nonzero()) for slot in slots]
            for column, was in zip((keys, values), before, strict=True):
                assert torch.equal(column.float()[row, head, : len(slots)], was[row, head, places])
