"""What each layer's attention sees, told to a cache that keeps it: forward hooks for the time of one call.

B rows, S tokens, E hidden size.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn
from transformers import PreTrainedModel as Model


@runtime_checkable
class Hears(Protocol):
    @property
    def hears(self) -> bool: ...

    def hear(self, index: int, states: Tensor) -> None:
        """Hidden states [B, S, E] that attention `index` is about to see."""
        ...


@contextmanager
def heard(model: Model, cache: Any) -> Iterator[None]:
    """The model's layers tell a cache that hears inside; nothing is left of it outside."""
    if not (isinstance(cache, Hears) and cache.hears):
        yield
        return

    def tell(module: Any, args: tuple, options: dict[str, Any]) -> None:
        cache.hear(module.layer_idx, options["hidden_states"] if "hidden_states" in options else args[0])

    with ExitStack() as hooks:
        for layer in model.model.layers:
            attention: nn.Module = layer.self_attn
            hooks.callback(attention.register_forward_pre_hook(tell, with_kwargs=True).remove)
        yield
