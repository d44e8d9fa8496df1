import pytest
from kvarena.analysis.load import load
from kvarena.analysis.tables import results
from kvarena.analysis.wide import escape, wide_latex, wide_markdown


@pytest.fixture
def table(write, tmp_path, record, dense, config):
    """Two tasks: a_1 is right on all, b_2 on half of one task, c on none; random was run on one task only."""

    def run(name, share, tasks=("hmmt25", "aime25"), **labels):
        for task in tasks:
            rows = [record(sample=f"p{i}", score=float(i < share * 8)) for i in range(8)]
            own = {"task": task, "difficulty": None, "method": name} | labels
            write(f"{task}/{name}", rows, samples=8, sessions=[(2.0, 100)], config=config(128), **own)

    run("full", 1, **{key: value for key, value in dense.items() if key != "method"})
    run("a_1", 1)
    run("b_2", 0.5)
    run("c", 0)
    run("random", 0.25, tasks=["aime25"])
    return results(load(tmp_path))


MARKDOWN = """\
## reasoner, 4x

| method | aime25 | hmmt25 | mean | cache MB | read | tok/s | tok/s, equal memory |
| :-- | --: | --: | --: | --: | --: | --: | --: |
| full | 100.0 | 100.0 | 100.0 | 0.001 | 90 | 50 | 50 |
| a_1 | **100.0** | **100.0** | **100.0** | 0.001 | 90 | 50 | - |
| b_2 | _50.0_† | _50.0_† | _50.0_ | 0.001 | 90 | 50 | - |
| c | 0.0† | 0.0† | 0.0 | 0.001 | 90 | 50 | - |
| random | 25.0† | - | - | 0.001 | 90 | 50 | - |
"""


def test_markdown(table):
    assert wide_markdown(table).startswith(MARKDOWN)


LATEX = r"""
% reasoner, 4x
\begin{tabular}{lrrrrrrr}
\toprule
method & aime25 & hmmt25 & mean & cache MB & read & tok/s & tok/s, equal memory \\
\midrule
full & 100.0 & 100.0 & 100.0 & 0.001 & 90 & 50 & 50 \\
\midrule
a\_1 & \textbf{100.0} & \textbf{100.0} & \textbf{100.0} & 0.001 & 90 & 50 & - \\
b\_2 & \underline{50.0}$^\dagger$ & \underline{50.0}$^\dagger$ & \underline{50.0} & 0.001 & 90 & 50 & - \\
""".lstrip()


def test_latex(table):
    assert wide_latex(table).startswith(LATEX)
    assert wide_latex(table).rstrip().endswith("\\bottomrule\n\\end{tabular}")


def test_what_latex_reads_is_spelled_out():
    assert escape(r"a$b{c}~^\_%&#") == (r"a\$b\{c\}\textasciitilde{}\textasciicircum{}\textbackslash{}\_\%\&\#")


def test_a_name_is_one_cell(write, tmp_path, record):
    write("a", [record()], samples=1, method="a|b", model="x\n\\end{document}")
    table = results(load(tmp_path))
    assert r"| a\|b |" in wide_markdown(table)
    assert wide_latex(table).startswith("% x \\end{document}, 4x\n\\begin{tabular}")


def test_a_tie_is_marked_twice(write, tmp_path, record):
    for method, right in (("a", 3), ("b", 3), ("c", 1)):
        write(method, [record(sample=f"p{i}", score=float(i < right)) for i in range(4)], samples=4, method=method)
    text = wide_markdown(results(load(tmp_path)))
    assert text.count("**75.0**") == 4  # and in the mean
    assert text.count("_25.0_") == 2


def test_each_ratio_has_a_block_with_dense_on_top(write, tmp_path, record, dense):
    write("full", [record()], samples=1, **dense)
    for ratio in (2.0, 4.0):
        write(f"a{ratio}", [record()], samples=1, ratio=ratio)
    text = wide_markdown(results(load(tmp_path)))
    assert [line for line in text.splitlines() if line.startswith("##")] == ["## reasoner, 2x", "## reasoner, 4x"]
    assert text.count("| full |") == 2


def test_budgets_given_in_tokens_share_a_block_unless_a_task_has_several(write, tmp_path, record, config):
    def run(task, tokens):
        write(f"{task}{tokens}", [record()], samples=1, task=task, tokens=tokens, config=config(tokens, ratio=None))

    run("aime25", 4096)
    run("math500", 1024)
    assert "## reasoner, tokens fixed for each task" in wide_markdown(results(load(tmp_path)))
    run("aime25", 2048)
    text = wide_markdown(results(load(tmp_path)))
    assert [line for line in text.splitlines() if line.startswith("##")] == [
        "## reasoner, 2048 tokens",
        "## reasoner, 4096 tokens",
        "## reasoner, 1024 tokens",
    ]


def test_dense_alone_and_nothing_graded(write, tmp_path, record, dense):
    write("full", [record(score=None)], samples=1, **dense)
    assert "| full | - | - |" in wide_markdown(results(load(tmp_path)))
    assert "\\midrule\nfull & -" in wide_latex(results(load(tmp_path)))


def test_what_is_unfinished_or_of_other_problems_is_marked_and_not_ranked(write, tmp_path, record, dense):
    records = [record(sample=f"p{i}", score=float(i < 3)) for i in range(4)]
    write("full", records, samples=4, **dense)
    write("a", records[:1], samples=1, method="a")
    write("b", records[:1], samples=4, method="b")
    write("c", records, samples=4, method="c")
    text = wide_markdown(results(load(tmp_path)))
    for row in "| full | 75.0 | 75.0 |", "| a | 100.0§ | - |", "| b | 100.0§ | - |", "| c | **75.0** | **75.0** |":
        assert row in text
    assert r"100.0$^\S$" in wide_latex(results(load(tmp_path)))


def test_a_whole_run_counts_before_one_of_fewer_problems(write, tmp_path, record, dense):
    records = [record(sample=f"p{i}", score=float(i < 3)) for i in range(4)]
    write("full", records, samples=4, **dense)
    write("a", records[:1], samples=1, method="a")
    write("z", records, samples=4, method="a")
    assert "| a | **75.0** | **75.0** |" in wide_markdown(results(load(tmp_path)))


def test_a_column_has_one_protocol(write, tmp_path, record, dense):
    """Each is like a dense run of its own: of 60 tokens, or of 512."""
    runs = {"60/full": 0.0, "60/c": 0.0, "60/d": 1.0, "512/full": 1.0, "512/a": 1.0, "512/b": 1.0, "512/e": 1.0}
    for name, score in runs.items():
        limit, method = name.split("/")
        labels = dense if method == "full" else {"method": method}
        write(name, [record(score=score)], samples=1, config={"max_tokens": int(limit)}, **labels)
    table = results(load(tmp_path))
    assert dict(zip(table.run, table.dense, strict=True))["60/d"] == "60/full"
    text = wide_markdown(table)
    for row in "| full | 100.0 | 100.0 |", "| a | **100.0** |", "| c | 0.0‡ | - |", "| d | 100.0‡ | - |":
        assert row in text
