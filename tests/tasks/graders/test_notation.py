import pytest
from kvarena.tasks.graders.notation import normalise

AROUND_103 = [
    "103", "103.", "103;", "103 ,", "103:", r"103\,.", "$103$", "$$103$$.", r"\(103\)", r"\[103\]", r"\( 103. \)",
    "**103**", "`103`", "__103__", '"103"', "<b>103</b>", "{103}", "= 103", "+103", r"\approx 103",
    r"\boldsymbol{103}", r"\mathbf{103}", r"\mathrm{103}", r"\mathsf{103.}", r"\bm{103}", r"\underline{103}",
    r"\text{103}", r"\textbf{103.}", r"\textit{103}", r"\mbox{103}", r"\emph{103}", r"\fbox{103}", r"\boxed{103}",
    r"\color{blue}{103}", r"\textcolor{red}{103}", r"{\bf 103}", r"\displaystyle 103", r"\Large 103",
    r"\left. 103 \right.", r"\underbrace{103}", r"\boldsymbol{\text{103}}", "103 \\\\",
    r"\begin{align*}103\end{align*}", r"103 \tag{1}", "\uff11\uff10\uff13", "\u200b103",
]  # fmt: skip


@pytest.mark.parametrize("text", AROUND_103)
def test_what_is_around_an_answer_is_dropped(text):
    assert normalise(text) == "103"


@pytest.mark.parametrize(
    ("text", "spelling"),
    [
        (r"99\,774", "99774"),
        (r"99\ 774", "99774"),
        ("99 774", "99774"),
        ("99\u202f774", "99774"),
        ("99{,}774", "99774"),
        ("99,774", "99774"),
        (r"11,\! 111,\! 111,\! 100", "11111111100"),
        (r"\(10,\!080\)", "10080"),
        (r"1\,234.5", "1234.5"),
        ("1 1/2", r"\frac{3}{2}"),
        (r"-1\frac12", r"-\frac{3}{2}"),
        ("2½", r"\frac{5}{2}"),
        (r"2 \frac{3}{4}.", r"\frac{11}{4}"),
        (r"10^3\frac12", r"10^{3}\frac{1}{2}"),
        ("1 1", "1 1"),
        (".5", "0.5"),
        (r"0.\overline{3}", r"\frac{3}{9}"),
        (r"1.2\overline{34}", r"\frac{1222}{990}"),
        ("1.5e-7", r"(1.5\cdot10^{-7})"),
        (r"\dfrac12", r"\frac{1}{2}"),
        (r"\frac 59", r"\frac{5}{9}"),
        (r"\frac\pi2", r"\frac{\pi}{2}"),
        (r"\frac{270}7", r"\frac{270}{7}"),
        (r"11\sqrt2", r"11\sqrt{2}"),
        ("√2", r"\sqrt{2}"),
        ("sqrt(x+(1))", r"\sqrt{x+(1)}"),
        ("2^10", "2^{10}"),
        ("x^(1/2)", "x^{1/2}"),
        ("−5", "-5"),
        ("5 - -3", "5+3"),
        ("14.0 + -1.0i", "14.0-1.0i"),
        ("90°", r"90^{\circ}"),
        ("50 percent", r"50\%"),
        (r"\pi\mathbf{r}^2", r"\pi r^{2}"),
        (r"8\mathbf{\sqrt{10}}", r"8\sqrt{10}"),
        ("(1,200)", "(1,200)"),
        ("1,200,3", "1,200,3"),
        (r"\begin{pmatrix} -1/3 \\ 2/3 \end{pmatrix}", r"\begin{pmatrix}-1/3\\2/3\end{pmatrix}"),
        (r"\text{Evelyn}", r"\text{Evelyn}"),
        (r"\text{(C)}", "(C)"),
        (".", ""),
    ],
)
def test_one_spelling(text, spelling):
    assert normalise(text) == spelling
    assert normalise(spelling) == spelling


def test_two_thousand_braces_are_read():
    assert normalise(r"\mathbf{" * 200 + "7" + "}" * 200) == "7"
    assert normalise("{" * 2000).startswith("{")
