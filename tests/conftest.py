"""Models small enough to run in milliseconds, a folder that stands in for Qwen3, and noise."""

import os
from collections.abc import Callable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when triton is imported, which transformers does

from kvarena.kernels.noise import Noise
from transformers import LlamaConfig, LlamaForCausalLM, Qwen2Config, Qwen2ForCausalLM, Qwen3Config, Qwen3ForCausalLM

torch.set_num_threads(1)  # of tensors this small a second thread makes nothing faster

CONFIGS = {
    "qwen3": (Qwen3Config, Qwen3ForCausalLM, {"head_dim": 16}),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, {}),
    "llama": (LlamaConfig, LlamaForCausalLM, {}),
}
VOCABULARY = 64
NO_EOS = 1000  # a token id that no model here can choose
# files whose tests take longest: they begin first, so that no process is left alone with one of them at the end
LONG = (
    "test_rehearsal",
    "test_commands",
    "test_ray_pool",
    "test_compile",
    "test_reproduce",
    "test_wheel",
    "test_sandbox",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.fixture(scope="session")
def tiny_model() -> Callable:
    """tiny_model(family): 3 layers, 4 query and 2 KV heads of 16, random weights, large ones so that outputs vary."""

    def build(family: str = "qwen3", **changes):
        config, model, extra = CONFIGS[family]
        torch.manual_seed(0)
        built = model(
            config(
                vocab_size=VOCABULARY,
                hidden_size=64,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                intermediate_size=96,
                max_position_embeddings=512,
                initializer_range=0.06,
                tie_word_embeddings=False,
                bos_token_id=None,
                eos_token_id=None,
                pad_token_id=None,
                **(extra | changes),
            )
        ).eval()
        built.generation_config.eos_token_id = NO_EOS
        with torch.no_grad():
            for name, parameter in built.named_parameters():
                if parameter.dim() == 2 or "q_norm" in name:
                    parameter.mul_(3)
                if "k_norm" in name:  # or all keys would be of one length
                    parameter.copy_(torch.linspace(0.5, 1.5, parameter.numel()))
        return built

    return build


@pytest.fixture(scope="session")
def model(tiny_model):
    return tiny_model()


@pytest.fixture(scope="session")
def standin(tmp_path_factory) -> Path:
    """What scripts/standin_model.py writes."""
    spec = spec_from_file_location("standin_model", Path(__file__).parents[1] / "scripts/standin_model.py")
    script = module_from_spec(spec)
    spec.loader.exec_module(script)
    folder = tmp_path_factory.mktemp("standin")
    script.main([str(folder)])
    return folder


@pytest.fixture(scope="session")
def noise_of() -> Callable:
    """noise_of(samples): one noise row a sample."""

    def build(samples: int, *, seed: int = 0) -> Noise:
        return Noise(keys=torch.tensor([Noise.key(seed, sample, 0) for sample in range(samples)]))

    return build


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)
