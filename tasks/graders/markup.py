r"""What surrounds an answer and says nothing: wrappers, fonts, delimiters, spacing commands, closing punctuation.

Text keeps its wrapper, \text{...}, unless it is all there is; \dollar stands for a dollar sign that means money.
"""

import re
import unicodedata
from collections.abc import Callable

from .completion import braced

SIGNS = {
    **dict.fromkeys("−–—‐‑", "-"),
    **dict.fromkeys("·⋅∙", r"\cdot "),
    **dict.fromkeys("∕⁄÷", "/"),
    **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("\u200b\u200c\u200d\u2060\ufeff", ""),
    "×": r"\times ",
    "∞": r"\infty ",
    "√": r"\sqrt ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "≠": r"\neq ",
    "∪": r"\cup ",
    "∩": r"\cap ",
    "∈": r"\in ",
    "∅": r"\emptyset ",
    "±": r"\pm ",
    "°": r"^{\circ}",
    "º": r"^{\circ}",
    "…": r"\ldots ",
    "∖": r"\setminus ",
    "ℝ": r"\mathbb{R}",
    "€": r"\text{euro}",
    "£": r"\text{sterling}",
    "¢": r"\text{cent}",
}
SIGN = re.compile("|".join(map(re.escape, SIGNS)))
VULGAR = re.compile("[¼-¾⅐-⅞]")
RAISED = re.compile("[⁻⁰¹²³⁴-⁹]+")
LOWERED = re.compile("[₀-₉]+")
GREEK = re.compile("[Α-Ωα-ω]")

# between groups of three digits any of these is a separator
THIN = re.compile(r"(?<=\d)(?:\\[,;: ]|~|\\thinspace|[\u2009\u202f\xa0']|\{,\}|,?\s*\\!)\s*(?=\d{3}(?!\d))")
SPACE = re.compile(
    r"(?<!\\)\\(?:[,;:> \n]|(?:q?quad|(?:thin|med|thick|en|nobreak)space)(?![A-Za-z])|hspace\*?\{[^{}]*\})|~|\s"
)
SILENT = re.compile(
    r"\\(?:(?:display|text|script)style|limits|(?:bf|rm|it|sf|tt)(?:series|family|shape)?|[lL]arge|LARGE|[hH]uge"
    r"|normalsize|small|[bB]igg?[lrm]?)(?![A-Za-z])|\\!|\\(?:color|tag\*?|label)\s*\{\w*\}"
)
LINES = re.compile(r"\\(?:begin|end)\{(?:align(?:ed)?|gather(?:ed)?|equation|split|multline)\*?\}")
SIDES = re.compile(r"\\(?:left|right|middle)(?![A-Za-z])\s*\.?")
FONTS = re.compile(
    r"\\(?:boldsymbol|math(?:bf|it|sf|tt|normal)|bm|pmb|under(?:line|bar)|uline|ensuremath|[fb]box|boxed"
    r"|(?:under|over)brace|(?:textcolor|colorbox)\s*\{\w*\})\s*(?=\{)"
)
TEXTS = re.compile(r"\\(?:text(?:bf|rm|it|sf|tt|sc|up|md|normal)?|[mh]box|mathrm|operatorname|emph)\*?\s*(?=\{)")
LEADING = re.compile(r"^(?:[\s:;,=]|\\(?:approx|therefore|implies|Rightarrow|Longrightarrow)(?![A-Za-z]))+")
WORDS = re.compile(r"[A-Za-z]{2,}[A-Za-z .'-]*")
AROUND = [
    re.compile(pattern, re.DOTALL)
    for pattern in (
        r"\*\*(.*)\*\*",
        r"\*(.*)\*",
        r"__(.*)__",
        r"`+(.*?)`+",
        r'"(.*)"',
        r"'(.*)'",
        r"<(?:\w+)>(.*)</\w+>",
    )
]


def bare(text: str) -> str:
    """The answer itself, with single spaces."""
    text = _signs(THIN.sub("", text))
    text = SIDES.sub("", SILENT.sub("", text))
    text = LINES.sub(" ", text.replace("&", " ")) if LINES.search(text) else text
    text = _open(text, TEXTS, _text)
    text = _open(text, FONTS, lambda content: content)
    text = re.sub(r"(?<!\\)\\[()\[\]]", " ", text)
    text = _dollars(text)
    return trim(SPACE.sub(" ", text))


def trim(text: str) -> str:
    """Without what stands around the whole of it."""
    before = ""
    while text != before:
        before = text
        text = re.sub(r"(?:[\s.,;:。，]|\\\\)+$", "", LEADING.sub("", text))
        for mark in AROUND:
            text = mark.sub(r"\1", text) if mark.fullmatch(text) else text
        if found := re.match(r"\\text(?=\{)|(?=\{)", text):
            content, closed = braced(text[found.end() :])
            whole = closed and len(content) + 2 == len(text) - found.end()
            # words stay words, not letters that are multiplied
            text = content if whole and not (found.group() and WORDS.fullmatch(content)) else text
    return re.sub(r"\s+", " ", text)


def _signs(text: str) -> str:
    text = VULGAR.sub(lambda found: " " + unicodedata.normalize("NFKD", found.group()), text)
    text = RAISED.sub(lambda found: f"^{{{unicodedata.normalize('NFKD', found.group())}}}", text)
    text = LOWERED.sub(lambda found: f"_{{{unicodedata.normalize('NFKD', found.group())}}}", text)
    text = GREEK.sub(lambda found: _letter(found.group()), text)
    return unicodedata.normalize("NFKC", SIGN.sub(lambda found: SIGNS[found.group()], text))


def _letter(sign: str) -> str:
    _, size, _, name = unicodedata.name(sign).split(" ", 3)
    name = name.split()[0]
    return f"\\{name.lower() if size == 'SMALL' else name.title()} "


def _open(text: str, commands: re.Pattern[str], wrap: Callable[[str], str]) -> str:
    """Each of the commands, with its braces, replaced by what `wrap` makes of what they hold."""
    found = commands.search(text)
    if not found:
        return text
    before, rest = text[: found.start()], text[found.end() :]
    content, closed = braced(rest)
    if not closed:
        return before + _open(rest, commands, wrap)
    after = _open(rest[len(content) + 2 :], commands, wrap)
    inner = wrap(_open(content, commands, wrap))
    if before.rstrip().endswith(("^", "_")):
        inner = f"{{{inner}}}"
    return _joined(_joined(before, inner), after)


def _joined(left: str, right: str) -> str:
    r"""A command that ends in a letter is not made longer: \pi and x are \pi x."""
    apart = re.search(r"\\[A-Za-z]+$", left) and right[:1].isalpha()
    return f"{left} {right}" if apart else left + right


def _text(content: str) -> str:
    words = " ".join(SPACE.sub(" ", re.sub(r"(?<!\\)\$", "", content)).split())
    return f"\\text{{{words}}}" if re.search("[A-Za-z]", words) else words


def _dollars(text: str) -> str:
    """Those that mean money; the others delimit a formula."""
    text = text.replace("\\$", "\\dollar ")
    if text.count("$") % 2:
        text = re.sub(r"\$(?=\s*[\d.])", r"\\dollar ", text, count=1)
    return text.replace("$", " ")
