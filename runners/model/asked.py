"""What the generation config of a model asks beside temperature, top-k and top-p, which each sampler says itself."""

from collections.abc import Mapping
from typing import Any

from transformers import GenerationConfig

# what changes which tokens come, with the value that changes nothing
NEUTRAL: dict[str, Any] = {
    "repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "suppress_tokens": [],
    "begin_suppress_tokens": [],
    "bad_words_ids": [],
    "sequence_bias": {},
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "min_length": 0,
    "min_new_tokens": 0,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "min_p": 0.0,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "guidance_scale": 1.0,
    "penalty_alpha": 0.0,
    "num_beams": 1,
    "watermarking_config": None,
}


def asked(config: GenerationConfig) -> dict[str, Any]:
    found = {name: getattr(config, name, None) for name in NEUTRAL}
    return {name: value for name, value in found.items() if value is not None and value != NEUTRAL[name]}


def left_out(asks: Mapping[str, Any], sampler: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler of this config does not do of it."""
    return {name: value for name, value in asks.items() if sampler.get(name) != value}
