import time

import pytest
from kvarena.tasks.graders.completion import after_thought, last_box, last_program, same_text


@pytest.mark.parametrize(
    ("completion", "tail"),
    [
        ("<think>a</think>b", "b"),
        ("a</think>b</think>c", "c"),
        ("no thought ends here", "no thought ends here"),
        ("<think>a</think>", ""),
        ("<think>a", ""),
        ("", ""),
    ],
)
def test_after_thought(completion, tail):
    assert after_thought(completion) == tail


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{1} and \boxed{2}", ("2", "")),
        (r"\boxed{\frac{1}{2}}.", (r"\frac{1}{2}", "")),
        (r"\boxed {7}", ("7", "")),
        (r"\boxed 75.", ("75", "")),
        (r"\boxed{\{1, 2\}}", (r"\{1, 2\}", "")),
        (r"\boxed{\boxed{3}}", ("3", "")),
        (r"\boxed{ }", ("", r"the last \boxed is empty")),
        (r"\boxed", ("", r"the last \boxed is empty")),
        (r"\boxed{1} \boxed{2", ("2", r"the last \boxed is not closed")),
        (r"\boxed{1} \boxed{\frac{1}{2}", (r"\frac{1}{2}", r"the last \boxed is not closed")),
        ("42", ("", r"no \boxed answer")),
        ("", ("", r"no \boxed answer")),
        (r"\boxed{" + "1" * 2001 + "}", ("1" * 2000, "the answer is longer than 2000 characters")),
    ],
)
def test_last_box(text, expected):
    assert last_box(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (r"\boxed{1}" * 9_999 + r"\boxed{7}", "7"),
        (r"\boxed{" * 10_000 + "7" + "}" * 10_000, "7"),
        (r"\boxed" * 170_000, ""),
        (r"\boxed{" + "{}" * 500_000, "{}" * 1000),
        ("}" * 1_000_000, ""),
    ],
    ids=["many", "nested", "bare", "open", "closing"],
)
def test_a_megabyte_is_read_in_a_moment(text, expected):
    start = time.perf_counter()
    assert last_box(text)[0] == expected
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\na\n```\ntext\n```python\nb\nc\n```\n", "b\nc\n"),
        ("```\na\n```", "a\n"),
        ("  ```py\n  a\n  ```", "  a\n"),
        ("```python\na\n```\n```python\ncut", "a\n"),
        ("```python\ncut", ""),
        ("```\nopen\n```python\na\n```\n", "a\n"),
        ("```python\n```\n", ""),
        ("x = 1", ""),
        ("```python\r\na\r\nb\r\n```\r\n", "a\nb\n"),
        ("````python\na\n````", "a\n"),
        ("````python\na = 'x'\n```\nb\n````\n", "a = 'x'\n```\nb\n"),
        ("```python\na\n``` That is all.", "a\n"),
        ("```python\na\n```That is all.", "a\n"),
        ("Here it is: ```python\na\n```", "a\n"),
        ("Use `x` so: ```python\na\n```", "a\n"),
        ("1. First\n\n    ```python\n    a\n      b\n    ```\n", "    a\n      b\n"),
        ("``` python\na\n```", "a\n"),
        ("```Python3\na\n```", "a\n"),
        ("```python\na\n```\nIt prints ```1``` then.", "a\n"),
        ("```python\nprint('\u2028')\n```", "print('\u2028')\n"),
        ("```python\na\n```\n```text\n1 2\n", "a\n"),
    ],
)
def test_last_program(text, program):
    assert last_program(text) == program


def test_a_megabyte_of_fences_is_read_in_a_moment():
    start = time.perf_counter()
    assert last_program("```\n" * 250_000) == ""
    assert time.perf_counter() - start < 3


@pytest.mark.parametrize(
    ("answer", "target", "same"),
    [
        (r"\dfrac 12", r"\frac{1}{2}", True),
        (r"\left( 3, \pi \right)", r"(3,\pi)", True),
        ("90", r"90^\circ", True),
        (r"\text{Evelyn}", "evelyn", True),
        (r"15\mbox{ cm}^2", "15", True),
        (r"\$32,\!348", "32348", True),
        ("1{,}234", "1,234", True),
        ("3,4", "34", False),
        ("0.5", r"\frac{1}{2}", False),
        ("(3,4]", "(3,4)", False),
    ],
)
def test_same_text(answer, target, same):
    assert same_text(answer, target) is same
