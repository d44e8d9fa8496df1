"""The text of tokens that come one at a time, in pieces that are the whole text together."""

from typing import cast

from ..model import Tokenizer

UNFINISHED = "\ufffd"  # what bytes decode to that are no character, or not yet
LONGEST = 16  # tokens that are waited for; no character is spelt by so many


def text_of(token_ids: list[int], tokenizer: Tokenizer) -> str:
    """Without special tokens, and with every space that the tokens say."""
    return cast(str, tokenizer.decode(token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


class Spelling:
    """Decodes the newest tokens alone, the last that said something among them: a tokenizer may want to know whether a
    text begins."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self._token_ids: list[int] = []
        self._num_told = 0  # of these tokens, whose text was handed out
        self._told = 0  # characters of their text

    def add(self, token: int, *, last: bool) -> str:
        """What a token makes known of the text; of an unfinished character nothing, unless it is the last."""
        self._token_ids.append(token)
        text = text_of(self._token_ids, self.tokenizer)
        late = last or len(self._token_ids) - self._num_told > LONGEST
        known = len(text) if late else len(text.rstrip(UNFINISHED))
        piece = text[self._told : known]
        if known == len(text) and (piece or late):
            self._token_ids = self._token_ids[self._num_told :]
            self._num_told = len(self._token_ids)
            self._told = len(text_of(self._token_ids, self.tokenizer))
        else:
            self._told = max(self._told, known)
        return piece
