"""What the configs of a model say of it."""

from transformers import PretrainedConfig as Config
from transformers import PreTrainedModel as Model

from ..cache import Shape


def shape_of(config: Config) -> Shape:
    """Of the cache; a config that names no heads, or layers of another kind than full attention, is refused."""
    config = config.get_text_config()
    window = getattr(config, "sliding_window", None)  # Mistral names no layer types
    kinds = set(getattr(config, "layer_types", None) or ["sliding_attention" if window else "full_attention"])
    if kinds != {"full_attention"}:
        raise ValueError(f"model {config.model_type} has layers of {sorted(kinds)}: only full attention is supported")
    try:
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        groups, width = config.num_attention_heads // heads, getattr(config, "hidden_size", None) or 0
        return Shape(config.num_hidden_layers, heads, groups, dim, width)
    except (AttributeError, TypeError, RuntimeError, ZeroDivisionError) as error:  # none, a list, or one for each layer
        reason, *_ = str(error).split(". ")
        raise ValueError(f"model {config.model_type} has no attention heads alike in each layer ({reason})") from error


def positions_of(config: Config) -> int | None:
    """How many positions a model has; None: it does not say."""
    positions = getattr(config.get_text_config(), "max_position_embeddings", None)
    return positions if positions and positions > 0 else None


def eos_ids(model: Model) -> frozenset[int]:
    """Tokens that end a completion, from the generation config."""
    ids = model.generation_config.eos_token_id if model.generation_config else model.config.eos_token_id
    if ids is None:
        raise ValueError(f"{model.name_or_path or 'the model'} names no eos_token_id in its generation config")
    return frozenset([ids] if isinstance(ids, int) else ids)
