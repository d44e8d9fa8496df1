# pyright: reportCallIssue=false, reportArgumentType=false
"""Decode attention in Triton: a program a split of SPLIT slots, then one that joins the splits of a query head.

A split is so many slots, whatever the batch and the capacity, so a row's result depends on its own length alone. The
grid is that of the capacity: programs beyond a row's length leave at once, so lengths may change under a CUDA graph.

B rows, H KV heads, G query heads per KV head, N slots, D head dim, S pages, L lists of pages a row (H, or H G where
each query head has its own), T query heads that share a list (G or 1), C splits.
"""

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..overlap import OVERLAP, begin
from ..pack.half import has_halves
from ..pack.kernel import column, layout, load_columns, load_rows, strides, turned
from .codes import LOG2E, LOWEST, attend_codes, store_lse, store_part

if TYPE_CHECKING:
    from ..pack import Stored

SPLIT = 512  # slots a program reads
BLOCK = 64  # slots at a time
CODES = 32  # where they are codes: one warp waits for no other
JOINED = 16  # splits at a time
LISTED = 1024  # pages at a time, where they are counted
HEAD_SIZES = (16, 32, 64, 128, 256)


def attend(
    query: Tensor,
    keys: "Stored",
    values: "Stored",
    lengths: Tensor,
    scale: float,
    pages: Tensor | None,
    page: int,
    bias: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Output [B, H, G, D] in the dtype of the query and log-sum-exp [B, H, G] float32.

    A list of pages [B, H, S] or [B, H, G, S] names a page once.
    """
    rows, heads, groups, dim = query.shape
    check_head_dim(dim)
    check_bias(bias, *strides(keys, values), dim)
    query, lengths = turned(query, keys).contiguous(), lengths.contiguous()
    lists, sharing, num_listed = heads, groups, keys.shape[2]
    if pages is not None:
        pages, num_listed = pages.contiguous(), pages.shape[-1] * page
        if pages.dim() == 4:
            lists, sharing = heads * groups, 1
    splits = triton.cdiv(num_listed, SPLIT)
    parts = query.new_empty(rows, lists, splits, sharing, dim, dtype=torch.float32)
    part_lse = query.new_empty(rows, lists, splits, sharing, dtype=torch.float32)
    output, lse = torch.empty_like(query), query.new_empty(query.shape[:3], dtype=torch.float32)
    codes = takes_codes(query, keys, values)
    block, warps = (CODES, max(1, dim // 128)) if codes else (BLOCK, 4)
    (attend_codes if codes else attend_split)[splits, lists, rows](
        query,
        column(keys),
        column(values),
        lengths,
        query if pages is None else pages,
        bias,
        parts,
        part_lse,
        *strides(keys, values),
        num_listed,
        KEYS=layout(keys),
        VALUES=layout(values),
        LISTS=lists,
        SHARING=sharing,
        PER_HEAD=lists // heads,
        PAGE=0 if pages is None else page,
        SCALE=scale,
        DIM=dim,
        TILE=max(8 if codes else 16, triton.next_power_of_2(sharing)),
        SPLIT=SPLIT,
        BLOCK=block,
        num_warps=warps,
        num_stages=3,
        **OVERLAP,
    )
    join_splits[groups, heads, rows](
        parts,
        part_lse,
        lengths,
        output,
        lse,
        splits,
        LISTS=lists,
        SHARING=sharing,
        PAGED=pages is not None,
        DIM=dim,
        SPLIT=SPLIT,
        JOINED=JOINED,
        num_warps=1,
        **OVERLAP,
    )
    return (output if isinstance(values, Tensor) else values.form.unturn(output).to(output.dtype)), lse


def takes_codes(query: Tensor, keys: "Stored", values: "Stored") -> bool:
    return query.dtype.itemsize == 2 and has_halves(keys) and has_halves(values)


def check_bias(bias: Tensor | None, row_stride: int, head_stride: int, dim: int) -> None:
    """It lies as the columns of slots beside it."""
    assert bias is None or tuple(size * dim for size in bias.stride()) == (row_stride, head_stride, dim)


def check_head_dim(dim: int) -> None:
    if dim not in HEAD_SIZES:
        sizes = ", ".join(map(str, HEAD_SIZES))
        raise ValueError(f"head size {dim}: the Triton kernels take {sizes}; use device=cpu, or another model")


def add_mass(
    mass: Tensor,
    query: Tensor,
    keys: "Stored",
    lengths: Tensor,
    lse: Tensor,
    scale: float,
    decay: float = 1.0,
    bias: Tensor | None = None,
) -> None:
    """Adds each slot's probability, mean over the group, to `decay` times its mass [B, H, N], in place."""
    rows, heads, groups, dim = query.shape
    check_head_dim(dim)
    assert mass.stride(2) == 1
    check_bias(bias, *strides(keys), dim)
    add_probabilities[triton.cdiv(keys.shape[2], BLOCK), heads, rows](
        mass,
        turned(query, keys).contiguous(),
        column(keys),
        lengths.contiguous(),
        lse.contiguous(),
        bias,
        *strides(keys),
        mass.stride(0),
        mass.stride(1),
        KEYS=layout(keys),
        GROUPS=groups,
        SCALE=scale,
        DECAY=decay,
        DIM=dim,
        TILE=max(16, triton.next_power_of_2(groups)),
        BLOCK=BLOCK,
        num_warps=4,
    )


def note_uses(
    last_used: Tensor,
    longest_gap: Tensor,
    query: Tensor,
    keys: "Stored",
    lengths: Tensor,
    lse: Tensor,
    position: Tensor,
    scale: float,
    least: float,
    bias: Tensor | None = None,
) -> None:
    rows, heads, groups, dim = query.shape
    check_head_dim(dim)
    assert last_used.is_contiguous()
    assert longest_gap.is_contiguous()
    check_bias(bias, *strides(keys), dim)
    mark_used[triton.cdiv(keys.shape[2], BLOCK), heads, rows](
        last_used,
        longest_gap,
        turned(query, keys).contiguous(),
        column(keys),
        lengths.contiguous(),
        lse.contiguous(),
        position,
        bias,
        *strides(keys),
        keys.shape[2],
        KEYS=layout(keys),
        GROUPS=groups,
        SCALE=scale,
        LEAST=least,
        DIM=dim,
        TILE=max(16, triton.next_power_of_2(groups)),
        BLOCK=BLOCK,
        num_warps=4,
    )


def add_reads(total: Tensor, lengths: Tensor, active: Tensor, pages: Tensor, page: int, num_slots: int) -> None:
    """Adds the live slots that a row's lists name to total [B] int64, each once a KV head."""
    rows, heads = lengths.shape
    num_pages = triton.cdiv(num_slots, page)
    add_listed_slots[heads, rows](
        total,
        lengths.contiguous(),
        active,
        pages.contiguous(),
        pages.new_empty(rows, heads, num_pages, dtype=torch.int8),
        pages[0, 0].numel(),
        num_pages,
        PAGE=page,
        LISTED=LISTED,
        num_warps=4,
    )


@triton.jit
def attend_split(
    query,
    keys,
    values,
    lengths,
    pages,
    bias,
    parts,
    part_lse,
    row_stride,
    head_stride,
    num_listed,
    KEYS: tl.constexpr,
    VALUES: tl.constexpr,
    LISTS: tl.constexpr,
    SHARING: tl.constexpr,
    PER_HEAD: tl.constexpr,
    PAGE: tl.constexpr,
    SCALE: tl.constexpr,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    SPLIT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One split of one list: its softmax-weighted mean of values and its log-sum-exp, for the heads that share it."""
    begin()
    split, one, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    head = one // PER_HEAD
    length = tl.load(lengths + row * (LISTS // PER_HEAD) + head)
    end = num_listed if PAGE else length
    if split * SPLIT < end:
        lane, channel, place = tl.arange(0, TILE), tl.arange(0, DIM), tl.arange(0, BLOCK)
        there = (lane < SHARING)[:, None]
        first = (row * LISTS + one) * SHARING
        own = tl.load(query + (first + lane)[:, None] * DIM + channel, mask=there, other=0.0)
        base, pair, num_slots = (
            row * row_stride + head * head_stride,
            row * (LISTS // PER_HEAD) + head,
            head_stride // DIM,
        )
        top = tl.full([TILE], LOWEST, tl.float32)
        total = tl.zeros([TILE], tl.float32)
        output = tl.zeros([TILE, DIM], tl.float32)
        for start in range(split * SPLIT, tl.minimum(split * SPLIT + SPLIT, end), BLOCK):
            slot = start + place
            live = slot < end
            if PAGE:
                listed = pages + (row * LISTS + one) * (num_listed // PAGE)
                number = tl.load(listed + slot // PAGE, mask=live, other=-1)
                slot = number * PAGE + slot % PAGE
                live = (number >= 0) & (slot < length)
            key = load_columns(keys, base, pair, row, slot, live, num_slots, own.dtype, KEYS, DIM)
            logits = tl.dot(own, key, input_precision="ieee") * (SCALE * LOG2E)
            if bias is not None:
                logits += tl.load(bias + pair * num_slots + slot, mask=live, other=0.0)[None, :] * LOG2E
            logits = tl.where(live[None, :], logits, LOWEST)
            before = top
            top = tl.maximum(before, tl.max(logits, 1))
            shrink = tl.exp2(before - top)
            # where nothing is live yet, LOWEST - top is 0
            weights = tl.where(live[None, :], tl.exp2(logits - top[:, None]), 0.0)
            value = load_rows(values, base, pair, row, slot, live, num_slots, own.dtype, VALUES, DIM)
            total = total * shrink + tl.sum(weights, 1)
            output = output * shrink[:, None] + tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        part = ((row * LISTS + one) * tl.num_programs(0) + split) * SHARING + lane
        store_part(parts, part, lane < SHARING, channel, output, total, DIM)
        store_lse(part_lse, part, lane < SHARING, top, total)


@triton.jit
def join_splits(
    parts,
    part_lse,
    lengths,
    output,
    lse,
    num_splits,
    LISTS: tl.constexpr,
    SHARING: tl.constexpr,
    PAGED: tl.constexpr,
    DIM: tl.constexpr,
    SPLIT: tl.constexpr,
    JOINED: tl.constexpr,
):
    """The splits of one query head weighted by their share of the softmax."""
    begin()
    member, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    groups, heads = tl.num_programs(0), tl.num_programs(1)
    one, lane = (head * groups + member) // SHARING, (head * groups + member) % SHARING
    count = num_splits if PAGED else tl.cdiv(tl.load(lengths + row * heads + head), SPLIT)
    channel, place = tl.arange(0, DIM), tl.arange(0, JOINED)
    top = tl.full([1], LOWEST, tl.float32)
    total = tl.zeros([1], tl.float32)
    joined = tl.zeros([DIM], tl.float32)
    for start in range(0, count, JOINED):
        part = ((row * LISTS + one) * num_splits + start + place) * SHARING + lane
        here = tl.load(part_lse + part, mask=start + place < count, other=LOWEST)
        before = top
        top = tl.maximum(before, tl.max(here, 0))
        shrink = tl.exp(before - top)
        weights = tl.where(here > LOWEST, tl.exp(here - top), 0.0)
        outputs = tl.load(parts + part[:, None] * DIM + channel, mask=(start + place < count)[:, None], other=0.0)
        total = total * shrink + tl.sum(weights, 0)
        joined = joined * shrink + tl.sum(weights[:, None] * outputs, 0)
    at = (row * heads + head) * groups + member
    tl.store(output + at * DIM + channel, (joined / total).to(output.dtype.element_ty))
    tl.store(lse + at + tl.arange(0, 1), top + tl.log(total))


@triton.jit
def add_probabilities(
    mass,
    query,
    keys,
    lengths,
    lse,
    bias,
    row_stride,
    head_stride,
    mass_row_stride,
    mass_head_stride,
    KEYS: tl.constexpr,
    GROUPS: tl.constexpr,
    SCALE: tl.constexpr,
    DECAY: tl.constexpr,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One block of slots of one KV head."""
    block, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + head
    length = tl.load(lengths + pair)
    if block * BLOCK < length:
        lane, channel, slot = tl.arange(0, TILE), tl.arange(0, DIM), block * BLOCK + tl.arange(0, BLOCK)
        there, live = lane < GROUPS, slot < length
        own = tl.load(query + (pair * GROUPS + lane)[:, None] * DIM + channel, mask=there[:, None], other=0.0)
        total = tl.load(lse + pair * GROUPS + lane, mask=there, other=0.0)
        base = row * row_stride + head * head_stride
        key = load_columns(keys, base, pair, row, slot, live, head_stride // DIM, own.dtype, KEYS, DIM)
        logits = tl.dot(own, key, input_precision="ieee") * SCALE - total[:, None]
        if bias is not None:
            logits += tl.load(bias + pair * (head_stride // DIM) + slot, mask=live, other=0.0)[None, :]
        probability = tl.where(there[:, None], tl.exp(logits), 0.0)
        at = mass + row * mass_row_stride + head * mass_head_stride + slot
        before = tl.load(at, mask=live, other=0.0)
        if DECAY != 1.0:
            before *= DECAY
        tl.store(at, before + tl.sum(probability, 0) / GROUPS, mask=live)


@triton.jit
def mark_used(
    last_used,
    longest_gap,
    query,
    keys,
    lengths,
    lse,
    position,
    bias,
    row_stride,
    head_stride,
    num_slots,
    KEYS: tl.constexpr,
    GROUPS: tl.constexpr,
    SCALE: tl.constexpr,
    LEAST: tl.constexpr,
    DIM: tl.constexpr,
    TILE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One block of slots of one KV head."""
    block, head, row = tl.program_id(0), tl.program_id(1), tl.program_id(2).to(tl.int64)
    pair = row * tl.num_programs(1) + head
    length = tl.load(lengths + pair)
    if block * BLOCK < length:
        lane, channel, slot = tl.arange(0, TILE), tl.arange(0, DIM), block * BLOCK + tl.arange(0, BLOCK)
        there, live = lane < GROUPS, slot < length
        own = tl.load(query + (pair * GROUPS + lane)[:, None] * DIM + channel, mask=there[:, None], other=0.0)
        total = tl.load(lse + pair * GROUPS + lane, mask=there, other=0.0)
        base = row * row_stride + head * head_stride
        key = load_columns(keys, base, pair, row, slot, live, head_stride // DIM, own.dtype, KEYS, DIM)
        logits = tl.dot(own, key, input_precision="ieee") * SCALE - total[:, None]
        if bias is not None:
            logits += tl.load(bias + pair * num_slots + slot, mask=live, other=0.0)[None, :]
        most = tl.max(tl.where(there[:, None], tl.exp(logits), 0.0), 0)
        place, newest = tl.load(position + row).to(tl.int32), slot == length - 1
        at = pair * num_slots + slot
        before = tl.where(newest, place - 1, tl.load(last_used + at, mask=live, other=0))
        gap = tl.where(newest, 0, tl.load(longest_gap + at, mask=live, other=0))
        used = most >= LEAST
        tl.store(last_used + at, tl.where(used, place, before), mask=live)
        tl.store(longest_gap + at, tl.where(used, tl.maximum(gap, place - before), gap), mask=live)


@triton.jit
def add_listed_slots(
    total,
    lengths,
    active,
    pages,
    marks,
    num_listed,
    num_pages,
    PAGE: tl.constexpr,
    LISTED: tl.constexpr,
):
    """One KV head: marks the live pages that any of its lists names, then counts their slots."""
    head, row = tl.program_id(0), tl.program_id(1).to(tl.int64)
    pair = row * tl.num_programs(0) + head
    if tl.load(active + row) > 0:
        place = tl.arange(0, LISTED)
        length = tl.load(lengths + pair)
        num_live = tl.cdiv(length, PAGE)
        marks += pair * num_pages
        for start in range(0, num_live, LISTED):
            tl.store(marks + start + place, 0, mask=start + place < num_live)
        tl.debug_barrier()  # what one thread has stored others overwrite, then load
        for start in range(0, num_listed, LISTED):
            named = tl.load(pages + pair * num_listed + start + place, mask=start + place < num_listed, other=-1)
            tl.store(marks + named, 1, mask=(named >= 0) & (named < num_live))
        tl.debug_barrier()
        count = tl.zeros([LISTED], tl.int32)
        for start in range(0, num_live, LISTED):
            marked = tl.load(marks + start + place, mask=start + place < num_live, other=0)
            count += tl.where(marked != 0, tl.minimum(length - (start + place) * PAGE, PAGE), 0)
        tl.atomic_add(total + row, tl.sum(count, 0).to(tl.int64))
