"""Learned formats by hand, and in Triton as in PyTorch."""

import pytest
import torch
from kvarena.kernels import attend
from kvarena.kernels.attend import kernel as attend_kernel
from kvarena.kernels.pack import Codebook, Coefficients, Packed, encode, kernel

BASIS = torch.tensor([[[0.6, -0.8], [0.8, 0.6]]])  # of one head: its first direction is (.6, .8)
NUMBERS = torch.arange(-127.0, 128)[None, :, None].expand(2, 255, 1)  # of two parts of one channel


def random_of(form, heads, dim, rng):
    if isinstance(form, Coefficients):
        return form.of(torch.linalg.qr(torch.randn(heads, dim, dim, generator=rng)).Q)
    return form.of(torch.randn(form.parts, 255, dim // form.parts, generator=rng))


def column_of(form, vectors, width, rng):
    """Of vectors [B, H, N, D] at positions 0, 1, ..., the next is at 30; its ring is of noise."""
    rows, heads, slots, dim = vectors.shape
    codes, scales = form.quantise(form.turn(vectors))
    return Packed(
        form=form,
        codes=codes,
        scales=scales,
        ring=torch.randn(rows, heads, width, dim, generator=rng).to(vectors),
        positions=torch.arange(slots, dtype=torch.int32, device=vectors.device).expand(rows, heads, slots).contiguous(),
        position=torch.full((rows,), 30, device=vectors.device),
        dim=dim,
    )


def test_low_rank_by_hand():
    form, vectors = Coefficients(rank=1).of(BASIS), torch.tensor([[[3.0, 4.0], [1.0, 0.0]]])
    codes, scales = encode(form, form.turn(vectors))
    torch.testing.assert_close(codes, torch.tensor([[[5.0], [0.6]]]))
    assert scales.shape == (1, 2, 0)
    back = form.unturn(form.restore(codes, scales))
    torch.testing.assert_close(back, torch.tensor([[[3.0, 4.0], [0.36, 0.48]]]))


def test_each_head_has_its_own_basis(rng):
    form = random_of(Coefficients(rank=8), 2, 8, rng)
    vectors = torch.randn(3, 2, 5, 8, generator=rng)
    torch.testing.assert_close(form.turn(vectors)[:, 1], vectors[:, 1] @ form.learned[1])
    torch.testing.assert_close(form.unturn(form.turn(vectors)), vectors)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_codebook_by_hand():
    """The nearest of whole numbers; what broke has the last code in all parts."""
    form = Codebook(parts=2).of(NUMBERS)
    vectors = torch.tensor([[3.2, -5.6], [-1000.0, 0.0], [torch.nan, 1.0], [1.0, torch.inf]])
    for encoder in (encode, kernel.encode) if not torch.cuda.is_available() else (encode,):
        codes, scales = encoder(form, vectors)
        assert codes.tolist() == [[130, 121], [0, 127], [255, 255], [255, 255]]
        assert form.restore(codes, scales)[:2].tolist() == [[3, -6], [-127, 0]]
        assert form.restore(codes, scales)[2:].isnan().all()


@pytest.mark.parametrize("form", [Coefficients(rank=20), Codebook(parts=8)], ids=lambda form: form.name)
@pytest.mark.parametrize("width", [0, 8])
def test_kernel_equals_the_reference(rng, device, form, width):
    """Of 37 vectors of each of three heads."""
    own = random_of(form, 3, 32, rng)
    form = form.of(own.learned[:, :255].to(device)) if isinstance(form, Codebook) else form.of(own.learned.to(device))
    vectors = (torch.randn(2, 3, 37, 32, generator=rng) * 2).to(device)
    turned = form.turn(vectors)
    for ours, theirs in zip(kernel.encode(form, turned), form.quantise(turned), strict=True):
        assert torch.equal(ours, theirs)
    column = column_of(form, vectors, width, rng)
    twin = column.substitute(form.restore(column.codes, column.scales))
    assert torch.equal(kernel.decode(column), twin)
    assert (twin != form.restore(column.codes, column.scales)).any() == (width > 0)


@pytest.mark.parametrize("rank", [16, 12])
def test_attention_at_full_rank_is_that_of_plain_vectors(rng, device, rank):
    """In both twins; below it is not."""
    keys, values = torch.randn(2, 1, 2, 64, 16, generator=rng).to(device)
    query, lengths = torch.randn(1, 2, 3, 16, generator=rng).to(device), torch.full((1, 2), 50, dtype=torch.int32)
    form = Coefficients(rank=rank).of(torch.linalg.qr(torch.randn(2, 16, 16, generator=rng)).Q.to(device))
    stored = [column_of(form, vectors, 0, rng) for vectors in (keys, values)]
    lengths = lengths.to(device)
    plain = attend.reference.attend(query, keys, values, lengths, 64, 0.25, None)
    for output, lse in (
        attend.reference.attend(query, *stored, lengths, 64, 0.25, None),
        attend_kernel.attend(query, *stored, lengths, 0.25, None, 0),
    ):
        for ours, expected in zip((output, lse), plain, strict=True):
            assert torch.allclose(ours, expected, rtol=1e-4, atol=1e-5) == (rank == 16)


@pytest.mark.parametrize(
    ("form", "expected"), [(Coefficients(rank=20), 40), (Codebook(parts=16), 16)], ids=lambda value: str(value)[:4]
)
def test_bytes_of_a_vector_of_128(form, expected):
    assert form.num_bytes(128) == expected


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Coefficients(rank=0), "rank=0 of low_rank: use 1 or more"),
        (lambda: Coefficients(rank=80).check(64), "head size 64: rank=80 of low_rank is above it; use 64 or less"),
        (lambda: Codebook(parts=0), "parts=0 of codebook: use 1 or more"),
        (lambda: Codebook(parts=24).check(64), "head size 64: parts=24 of codebook cannot be alike; use a divisor"),
    ],
)
def test_what_no_learned_format_is(make, reason):
    with pytest.raises(ValueError, match=reason):
        make()
