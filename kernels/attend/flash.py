"""The contract's attention by the flash-attn package, where all heads of a row are of one length.

B rows, H KV heads, G query heads per KV head, N slots, D head dim.
"""

from flash_attn import flash_attn_with_kvcache  # pyright: ignore[reportMissingImports]
from torch import Tensor


def attend(query: Tensor, keys: Tensor, values: Tensor, lengths: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Output [B, H, G, D] in the dtype of the query, float16 or bfloat16, and log-sum-exp [B, H, G] float32.

    query [B, H, G, D]; keys, values [B, H, N, D]; lengths [B, H], of which the first head's is read.
    """
    output, lse = flash_attn_with_kvcache(
        query.flatten(1, 2)[:, None],
        keys.transpose(1, 2),
        values.transpose(1, 2),
        cache_seqlens=lengths[:, 0].contiguous(),
        softmax_scale=scale,
        num_splits=1,  # its own choice hangs on the batch and the capacity, and a row must not
        return_softmax_lse=True,
    )
    return output.view_as(query), lse.view(query.shape[:3])
