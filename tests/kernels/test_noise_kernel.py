"""The Triton noise against its twin in PyTorch."""

import pytest
import torch
from kvarena.kernels.noise import Noise, kernel
from kvarena.kernels.noise.kernel import Law

MAX = 0xFFFFFFFF
SHAPES = {  # index, second, third: those of slots, of a projection, of the token sampler
    "slots": lambda rng: (
        torch.randint(0, 40_000, (3, 2, 63), generator=rng, dtype=torch.int32),
        torch.arange(2)[:, None],
        torch.tensor([5, 6 + 3 * 2**20, MAX])[:, None, None],
        0,
    ),
    "projection": lambda _: (torch.arange(1000)[None], 0, torch.tensor([7, 8, 9])[:, None], 1),
    "sampler": lambda _: (torch.arange(1500)[None], 0, torch.tensor([[1], [2], [3]]), 2),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_kernel_equals_the_reference(rng, device, shape):
    noise = Noise(keys=torch.tensor([[0, 0], [MAX, MAX], [0xA4093822, 0x299F31D0]]))
    counter = SHAPES[shape](rng)

    def ours(law):
        moved = (value.to(device) if isinstance(value, torch.Tensor) else value for value in counter)
        return kernel.draw(law, noise.keys.to(device), *moved).cpu()

    assert torch.equal(ours(Law.WORDS), torch.stack(noise.words(*counter)))
    assert torch.equal(ours(Law.UNIFORM), noise.uniform(*counter))
    torch.testing.assert_close(ours(Law.GUMBEL), noise.gumbel(*counter), rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(ours(Law.NORMAL), noise.normal(*counter), rtol=1e-6, atol=1e-6)


def test_known_answer_of_random123(device):
    keys = torch.tensor([[0xA4093822, 0x299F31D0]], device=device)
    index = torch.tensor([[0x243F6A88]], device=device)
    words = kernel.draw(Law.WORDS, keys, index, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert words.flatten().tolist() == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]
