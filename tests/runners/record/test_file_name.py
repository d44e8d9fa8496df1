import pytest
from kvarena.runners.record import file_name


@pytest.mark.parametrize("text", ["graph_search-18n-1073741824", "a b", "Größe 数", "qwen3_0.6b", "...a", "A,b;c"])
def test_a_plain_text_is_its_own_name(text):
    assert file_name(text) == text


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("../../../X", "..%2F..%2F..%2FX"),
        ("a/b", "a%2Fb"),
        ("a%2Fb", "a%252Fb"),
        (".", "%2E"),
        ("..", "%2E%2E"),
        ("", "%"),
        ("%", "%25"),
        ("a\nb\0", "a%0Ab%00"),
        ("x" * 200, "x" * 150 + "%aa20c23e32018340"),
    ],
)
def test_another_is_written_otherwise(text, name):
    assert file_name(text) == name


def test_long_texts_that_begin_alike_have_unlike_names(tmp_path):
    names = {file_name("数" * 100 + end) for end in ("a", "b", "")}
    assert len(names) == 3
    assert all(len(name.encode()) <= 167 for name in names)
    for name in names:
        (tmp_path / name).touch()
    assert len(list(tmp_path.iterdir())) == 3
