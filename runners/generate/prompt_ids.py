"""What may be continued: strings, chats, or token ids; all become token ids."""

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, cast

from jinja2.exceptions import TemplateError

from ...methods.settings import shown
from ..model import Tokenizer

Message = Mapping[str, Any]  # with role and content
Prompts = Sequence[str] | Sequence[Sequence[Message]] | Sequence[Sequence[int]]

KINDS = "strings, chats (lists of messages with role and content) or lists of token ids"


def prompt_ids(prompts: Prompts, tokenizer: Tokenizer, num_tokens: int) -> list[list[int]]:
    """ValueError for what is none of these, is empty, or is another kind than the first; and for a foreign token."""
    if isinstance(prompts, str):
        raise ValueError(f"prompts={prompts[:20]!r}: one str, give a list of them")
    if not isinstance(prompts, Sequence):
        raise ValueError(f"prompts={shown(prompts)}: use a list of {KINDS}")
    for kind, one in ((Mapping, "the messages of one chat"), (Integral, "the token ids of one prompt")):
        if prompts and all(isinstance(each, kind) for each in prompts):
            raise ValueError(f"prompts={shown(prompts)}: {one}, give a list of such lists")
    kinds = [kind_of(f"prompts[{index}]", prompt) for index, prompt in enumerate(prompts)]
    for index, kind in enumerate(kinds):
        if kind != kinds[0]:
            raise ValueError(f"prompts[0] is {kinds[0]}, prompts[{index}] {kind}: give all of one kind")
    found = [ids_of(f"prompts[{index}]", prompt, tokenizer) for index, prompt in enumerate(prompts)]
    for index, ids in enumerate(found):
        if not ids:
            raise ValueError(f"prompts[{index}]={prompts[index]!r} is a prompt of 0 tokens: give one or more")
        if foreign := [token for token in ids if not 0 <= token < num_tokens]:
            raise ValueError(
                f"prompts[{index}] holds token {foreign[0]}, the model has {num_tokens}: use its tokenizer"
            )
    return found


def kind_of(name: str, prompt: Any) -> str:
    if isinstance(prompt, str):
        return "a string"
    if not isinstance(prompt, Sequence):
        raise ValueError(f"{name}={shown(prompt)} is a {type(prompt).__name__}: use {KINDS}")
    if not prompt:
        raise ValueError(f"{name}=[] is a prompt of 0 tokens: give one or more, or a message")
    if all(isinstance(each, Integral) and not isinstance(each, bool) for each in prompt):
        return "token ids"
    for each in prompt:
        if not isinstance(each, Mapping):
            raise ValueError(f"{name} holds {shown(each)}, no token id and no message: use {KINDS}")
        if missing := [key for key in ("role", "content") if key not in each]:
            raise ValueError(f"{name} has a message without {missing[0]}: give each a role and a content")
    return "a chat"


def ids_of(name: str, prompt: Any, tokenizer: Tokenizer) -> list[int]:
    """The chat template's text has the special tokens that it wants, and a string those that it holds."""
    if isinstance(prompt, str):
        return tokenizer(prompt, add_special_tokens=False).input_ids
    if isinstance(prompt[0], Integral):
        return [int(token) for token in prompt]
    if tokenizer.chat_template is None:
        raise ValueError(f"{name} is a chat and the tokenizer has no chat template: give strings or token ids")
    try:
        text = tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
    except TemplateError as error:
        raise ValueError(f"{name}: the tokenizer's chat template refuses it ({error}), change its messages") from error
    return tokenizer(cast(str, text), add_special_tokens=False).input_ids
