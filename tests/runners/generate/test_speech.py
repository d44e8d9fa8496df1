import pytest
from kvarena.runners.generate import Request
from kvarena.runners.generate.speech import Speech
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

WORDS = ["a", "b", "c", "ab", "bc", "abc", "\n", "x"]


def tokenizer():
    built = Tokenizer(models.BPE({word: index for index, word in enumerate(WORDS)}, []))
    built.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=built)


def said(words, stop):
    """The pieces, the text, and after how many tokens it ended."""
    heard = []
    speech = Speech(Request("7", 2, [0]), tokenizer(), stop, lambda *what: heard.append(what))
    for count, word in enumerate(words, 1):
        if speech(WORDS.index(word), last=count == len(words)):
            break
    else:
        count = None
    assert [what[:2] for what in heard] == [("7", 2)] * len(heard)
    assert [what[2] for what in heard] == [WORDS.index(word) for word in words[: len(heard)]]
    return [what[3] for what in heard], speech.text, count


@pytest.mark.parametrize(
    ("words", "stop", "pieces", "text", "ended"),
    [
        (["a", "b", "c"], [], ["a", "b", "c"], "abc", None),
        (["x", "ab", "c", "x"], ["bc"], ["x", "a", ""], "xa", 3),  # it straddles two tokens
        (["x", "a", "b", "c"], ["abc"], ["x", "", "", ""], "x", 4),  # and three
        (["x", "abc", "x"], ["b"], ["x", "a"], "xa", 2),  # and is inside of one
        (["a", "b", "x"], ["abc"], ["", "", "abx"], "abx", None),  # begun and left
        (["x", "a", "b"], ["abc"], ["x", "", "ab"], "xab", None),  # begun at the end
        (["a", "a", "b", "c"], ["abc"], ["", "a", "", ""], "a", 4),
        (["abc"], ["abc", "b"], ["a"], "a", 1),  # the one that is complete first
        (["a", "b", "c"], ["abc", "b"], ["", "a"], "a", 2),
        (["bc"], ["abc", "bc", "c"], [""], "", 1),
        (["abc"], ["c", "abc"], [""], "", 1),  # of two that end together the longer
        (["x", "\n", "\n", "x"], ["\n\n"], ["x", "", ""], "x", 3),
    ],
)
def test_a_stop_string_ends_a_text(words, stop, pieces, text, ended):
    assert said(words, stop) == (pieces, text, ended)
    assert "".join(pieces) == text
