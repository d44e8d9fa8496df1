"""The closed vocabulary of the generated tasks: a token is a word, and a document is words between spaces."""

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<unk>")
THINKING = ("<think>", "</think>")  # ordinary words, as in Qwen3: a decoded completion keeps them
ROLES = "system user assistant"
NUMBERS = tuple(str(number) for number in range(100))
SIGNS = ": ; , . ? = + - * / % ( ) [ ] { } < > | # & @"
LETTERS = "abcdefghijklmnopqrstuvwxyz"
GRAPH_SEARCH = "path from to in at seen new go back found"
# of the five other tasks, and some to spare: rows of the embedding that a later task may use
OTHERS = (
    "sort list swap min max first last next left right up down north south east west true false and or not xor if then "
    "else while for do end start step set get put take add sub mul div mod sum of is the has no yes key value pair "
    "stack queue push pop read write copy move row column cell wall open closed clause unit query fact rule state "
    "count even odd"
)
WORDS = (
    *SPECIAL,
    *THINKING,
    *ROLES.split(),
    *NUMBERS,
    *SIGNS.split(),
    *LETTERS,
    *GRAPH_SEARCH.split(),
    *OTHERS.split(),
)
