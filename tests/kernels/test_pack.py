"""Vectors as codes: by hand, within their bounds, and in Triton as in PyTorch."""

import math

import pytest
import torch
from kvarena.kernels.pack import Affine, Fp8, Kivi, Packed, Plain, Turbo, encode, kernel
from kvarena.kernels.pack.formats import CENTROIDS, centroids, rotation
from kvarena.kernels.pack.reference import pack_bits, unpack_bits

FORMS = [
    Fp8(),
    Affine(bits=8, group=16),
    Affine(bits=4, group=8),
    Affine(bits=4, group=None),
    Affine(bits=3, group=None),
    Affine(bits=2, group=16),
    Turbo(bits=4),
    Turbo(bits=3),
]
NAMES = [form.name for form in FORMS]


def packed_of(form, vectors, *, width=0, position=0, rng=None):
    """A column of vectors [B, H, N, D] at positions 0, 1, ..., its ring of noise."""
    rows, heads, slots, dim = vectors.shape
    codes, scales = encode(form, form.turn(vectors))
    ring = torch.randn(rows, heads, width, dim, generator=rng).to(vectors)
    positions = torch.arange(slots, dtype=torch.int32, device=vectors.device).expand(rows, heads, slots).contiguous()
    at = torch.full((rows,), position, device=vectors.device)
    return Packed(form=form, codes=codes, scales=scales, ring=ring, positions=positions, position=at, dim=dim)


@pytest.mark.parametrize("bits", [8, 4, 3, 2])
def test_bits_come_back(rng, bits):
    codes = torch.randint(0, 2**bits, (3, 16), generator=rng, dtype=torch.uint8)
    packed = pack_bits(codes, bits)
    assert packed.shape == (3, 16 * bits // 8)
    assert torch.equal(unpack_bits(packed, bits), codes)


def test_bits_by_hand():
    codes = torch.tensor([1, 2, 3, 4, 5, 6, 7, 0], dtype=torch.uint8)
    assert pack_bits(codes, 4).tolist() == [0x21, 0x43, 0x65, 0x07]
    # the two low bits of four codes a byte, then the third bit of all eight
    assert pack_bits(codes, 3).tolist() == [0b00_11_10_01, 0b00_11_10_01, 0b01111000]


def test_fp8_by_hand():
    """The scale is 1, e4m3 has steps of 1/8 between 1 and 2, and of 32 below 448."""
    codes, scales = encode(Fp8(), torch.tensor([448.0, 1.0, -1.05, 420.0]))
    assert scales.tolist() == [1.0]
    assert codes.tolist() == [0x7E, 0x38, 0xB8, 0x7D]
    assert Fp8().restore(codes, scales).tolist() == [448.0, 1.0, -1.0, 416.0]


def test_affine_by_hand():
    """Two groups, from -1 to 2 in steps of 1/5, and one that does not vary."""
    form = Affine(bits=4, group=4)
    codes, scales = encode(form, torch.tensor([-1.0, 2.0, 0.0, 0.31, 7.0, 7.0, 7.0, 7.0]))
    assert codes.tolist() == [0xF0, 0x75, 0, 0]
    torch.testing.assert_close(scales, torch.tensor([0.2, 0.0, -1.0, 7.0]).half())
    restored = form.restore(codes, scales)
    torch.testing.assert_close(restored, torch.tensor([-1.0, 2.0, 0.0, 0.4, 7, 7, 7, 7]), atol=2e-3, rtol=0)


def test_kivi_by_hand():
    """Two channels over eight tokens, in steps of 1/3 and of 10; a ninth token waits for its group."""
    form = Kivi(bits=2, tokens=8)
    first, second = torch.tensor([0.0, 1, 0.3, 0.7, 0, 0, 0, 1]), torch.tensor([-10.0, 20, 0, 9, 0, 0, 0, 0])
    vectors = torch.stack([first, second, first, second], 1)
    codes, scales = form.quantise(torch.cat([vectors, vectors[:1]]))
    assert codes.flatten().tolist() == [0, 0xFF, 0b01010101, 0b10101010, *[0b01000100] * 3, 0b01110111, 0]
    assert scales.shape == (9, 1)
    scale, least = scales[:8].flatten().view(2, 4)
    torch.testing.assert_close(scale.float(), torch.tensor([1 / 3, 10, 1 / 3, 10]), rtol=1e-3, atol=0)
    assert least.tolist() == [0, -10, 0, -10]
    restored = form.restore(codes[:8], scales[:8])
    torch.testing.assert_close(restored[:, 1], torch.tensor([-10.0, 20, 0, 10, 0, 0, 0, 0]))


def test_turbo_by_hand():
    """Centroids of 8 levels for channels of variance 1, and the norm of before."""
    form, vector = Turbo(bits=3), torch.tensor([1.0, 1, -1, -1, 1, -1, 1, 3])
    codes, scales = encode(form, vector)
    levels = torch.tensor([0.756, 0.756, -0.756, -0.756, 0.756, -0.756, 0.756, 2.152])
    expected = levels / levels.norm() * 4.0
    torch.testing.assert_close(form.restore(codes, scales), expected, atol=2e-3, rtol=0)
    assert form.restore(codes, scales).norm() == pytest.approx(4.0, rel=1e-3)


@pytest.mark.parametrize("bits", sorted(CENTROIDS))
def test_centroids_are_those_of_lloyd_and_max(bits):
    """Each is the mean of a standard normal between its borders."""
    every, borders = centroids(bits, torch.device("cpu"))
    edges = [-math.inf, *borders.tolist(), math.inf]

    def density(x):
        return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)

    def mass(x):
        return 0.5 * (1 + math.erf(x / math.sqrt(2)))

    for centroid, low, high in zip(every.tolist(), edges[:-1], edges[1:], strict=True):
        assert centroid == pytest.approx((density(low) - density(high)) / (mass(high) - mass(low)), abs=1e-6)


def test_the_rotation_turns_and_is_the_same_everywhere():
    matrix = rotation(16, torch.device("cpu"))
    torch.testing.assert_close(matrix @ matrix.mT, torch.eye(16))
    assert (matrix.abs() == 0.25).all()
    assert (4 * matrix[:, 0]).tolist() == [-1, 1, -1, 1, 1, -1, 1, 1, -1, 1, 1, 1, 1, -1, -1, 1]


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (Plain(), 256),
        (Fp8(), 130),
        (Affine(bits=8, group=64), 136),
        (Affine(bits=4, group=32), 80),
        (Affine(bits=4, group=None), 68),
        (Affine(bits=3, group=None), 52),
        (Turbo(bits=4), 66),
        (Turbo(bits=3), 50),
        (Kivi(bits=2, tokens=32), 48),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_bytes_of_a_vector_of_128(form, expected):
    assert form.num_bytes(128) == expected


@pytest.mark.parametrize(
    ("form", "dim", "reason"),
    [
        (Affine(bits=4, group=32), 48, "head size 48: format int4g32 has groups of 32; use group=null"),
        (Affine(bits=3, group=None), 12, "head size 12: format int3 fills no whole bytes; use format fp8"),
        (Kivi(bits=2, tokens=32), 8, "head size 8: format kivi2 has groups of 32 tokens; use fewer"),
        (Turbo(bits=4), 96, "head size 96: format turbo4 turns powers of two; use int4, or fp8"),
    ],
)
def test_head_sizes_that_cannot_be_grouped(form, dim, reason):
    with pytest.raises(ValueError, match=reason):
        form.check(dim)


def test_settings_that_no_format_has():
    for make in (lambda: Affine(bits=5, group=8), lambda: Affine(bits=4, group=12), lambda: Turbo(bits=2)):
        with pytest.raises(ValueError, match="use"):
            make()


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_what_comes_back_is_within_its_bound(rng, form):
    """Half a step of a group's range; 1/16 of a number of e4m3, or half its least step; centroids in the mean."""
    vectors = torch.randn(200, 32, generator=rng) * torch.logspace(-1, 2, 200)[:, None]
    restored = form.unturn(form.restore(*encode(form, form.turn(vectors))))
    off = (restored - vectors).abs()
    if isinstance(form, Affine):
        grouped = vectors.unflatten(-1, (-1, form.group or 32))
        step = (grouped.amax(-1) - grouped.amin(-1)) / (2**form.bits - 1)
        assert (off.unflatten(-1, (-1, form.group or 32)).amax(-1) <= 0.56 * step + 1e-3 * grouped.abs().amax(-1)).all()
    elif isinstance(form, Fp8):
        assert (off <= vectors.abs() / 16 * 1.01 + vectors.abs().amax(-1, keepdim=True) / 448 / 1024).all()
    else:
        shares = off.square().sum(-1) / vectors.square().sum(-1)
        assert shares.mean() < {4: 0.012, 3: 0.04}[form.bits]
        torch.testing.assert_close(restored.norm(dim=-1), vectors.norm(dim=-1), rtol=2e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("form", FORMS, ids=NAMES)
def test_zeros_stay_and_what_broke_is_seen(form):
    vectors = torch.stack([torch.zeros(16), torch.full((16,), torch.nan), torch.ones(16)])
    vectors[2, 3] = torch.inf
    for encoder in (encode, kernel.encode) if not torch.cuda.is_available() else (encode,):
        restored = form.restore(*encoder(form, vectors))
        assert (restored[0] == 0).all()
        assert not restored[1].isfinite().any()
        assert not restored[2].isfinite().all()


@pytest.mark.parametrize("form", FORMS, ids=NAMES)
@pytest.mark.parametrize("width", [0, 8])
def test_kernel_equals_the_reference(rng, device, form, width):
    """Of 37 vectors; numbers and bytes the same, but for a -0 of e4m3."""
    vectors = (torch.randn(2, 3, 37, 32, generator=rng) * 3).to(device)
    vectors[0, 0, 0], vectors[0, 0, 1] = 0, 2.5
    turned = form.turn(vectors)
    (codes, scales), (theirs, expected) = (
        kernel.encode(form, turned),
        (part.to(device) for part in form.quantise(turned)),
    )
    assert torch.equal(scales, expected)
    assert torch.equal(form.restore(codes, scales), form.restore(theirs, expected))
    column = packed_of(form, vectors, width=width, position=30, rng=rng)
    twin = column.substitute(form.restore(column.codes, column.scales))
    assert torch.equal(kernel.decode(column), twin)
    ring = (column.positions >= 30 - width)[..., None].expand_as(twin)
    assert (kernel.decode(column)[ring] != form.restore(column.codes, column.scales)[ring]).any() == (width > 0)


def test_every_number_of_e4m3_and_those_between(device):
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn).float()
    every = every[every.isfinite()].sort().values
    between = (every[1:] + every[:-1]) / 2
    numbers = torch.cat([every, between, between * 1.0001, between * 0.9999])
    rows = torch.cat([numbers[: len(numbers) // 15 * 15].view(-1, 15), torch.full((len(numbers) // 15, 1), 448.0)], 1)
    ours, theirs = kernel.encode(Fp8(), rows.to(device)), Fp8().quantise(rows)
    assert torch.equal(Fp8().restore(*(part.cpu() for part in ours)), Fp8().restore(*theirs))


def test_a_ring_gives_the_newest_as_they_came(rng):
    """Of a row at position 5 with a ring of two: positions 3 and 4."""
    column = packed_of(Affine(bits=2, group=None), torch.randn(1, 1, 6, 4, generator=rng), width=2, position=5)
    column.ring[0, 0] = torch.tensor([[4.0] * 4, [3.0] * 4])
    assert column.float()[0, 0, 3].tolist() == [3.0] * 4
    assert column.float()[0, 0, 4].tolist() == [4.0] * 4
    assert torch.equal(column[:, :, 2:4].float(), column.float()[:, :, 2:4])


@pytest.mark.parametrize("rows", [1, 2])
def test_a_ring_has_nothing_of_slots_without_a_token(rng, device, rows):
    """Rows of two tokens, shorter than the ring; their other slots are at -1, and before a ring lies something else."""
    column = packed_of(Fp8(), torch.randn(rows, 1, 6, 32, generator=rng).to(device), width=8, position=2, rng=rng)
    column.positions[:, :, 2:] = -1
    restored = column.form.restore(column.codes, column.scales)
    expected = torch.cat([column.ring[:, :, :2], restored[:, :, 2:]], 2)
    assert torch.equal(column.substitute(restored), expected)
    assert torch.equal(kernel.decode(column), expected)
