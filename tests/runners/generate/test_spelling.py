"""Text that comes a token at a time is the text of all tokens."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from kvarena.runners.generate.spelling import Spelling, text_of
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerFast


def bytes_alone():
    """A token a byte, as Qwen and Llama 3 would write what they do not know."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    built = Tokenizer(models.BPE({letter: index for index, letter in enumerate(alphabet)}, []))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=built)


def llama_2():
    """Words that begin with a space, which the first loses, and bytes for the rest."""
    words = ["<unk>", "▁", "▁a", "▁b", "a", "b", "c", *(f"<0x{byte:02X}>" for byte in range(256))]
    built = Tokenizer(models.BPE({w: i for i, w in enumerate(words)}, [], unk_token="<unk>", byte_fallback=True))
    built.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=built)


TOKENIZERS = {
    "bytes": bytes_alone(),
    "llama_2": llama_2(),
    "reasoner": AutoTokenizer.from_pretrained("models/reasoner"),
}


def pieces_of(token_ids, tokenizer):
    spelling = Spelling(tokenizer)
    return [spelling.add(token, last=at == len(token_ids)) for at, token in enumerate(token_ids, 1)]


@pytest.mark.parametrize("name", ["bytes", "llama_2"])
@given(text=st.text())
@example(text="  a")
def test_pieces_are_the_text(name, text):
    tokenizer = TOKENIZERS[name]
    ids = [token + 7 * (name == "llama_2") for token in text.encode()]
    if name == "bytes":
        ids = tokenizer(text, add_special_tokens=False).input_ids
    if name == "llama_2":
        text = text.removeprefix(" ")  # its decoder takes one from the front, whoever put it there
    assert "".join(pieces_of(ids, tokenizer)) == text_of(ids, tokenizer) == text


@pytest.mark.parametrize("name", ["bytes", "reasoner"])
@given(data=st.data())
def test_any_tokens_are_spelt_as_all_of_them_are(name, data):
    """Bytes that are no text among them, and special tokens, which say nothing."""
    tokenizer = TOKENIZERS[name]
    ids = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=60))
    assert "".join(pieces_of(ids, tokenizer)) == text_of(ids, tokenizer)


def test_a_character_waits_for_its_last_byte():
    tokenizer = TOKENIZERS["bytes"]
    ids = tokenizer("a€b", add_special_tokens=False).input_ids
    assert pieces_of(ids, tokenizer) == ["a", "", "", "€", "b"]
    assert pieces_of(ids[:3], tokenizer) == ["a", "", "\ufffd"]


def test_a_word_keeps_its_space_unless_it_is_the_first():
    assert pieces_of([2, 3, 4, 2], TOKENIZERS["llama_2"]) == ["a", " b", "a", " a"]


def test_what_never_becomes_a_character_is_not_waited_for():
    spelling, tokenizer = Spelling(TOKENIZERS["bytes"]), TOKENIZERS["bytes"]
    first = tokenizer("â", add_special_tokens=False).input_ids[0]
    said = "".join(spelling.add(first, last=False) for _ in range(60))
    assert set(said) == {"\ufffd"}
    assert len(said) > 40
