r"""Answers that are equal in value and answers that are not, by the kind of fault that judged them otherwise once."""

import pytest
from kvarena.tasks.graders.equality import equal

# target ; answer
EQUAL = {
    "mixed numbers": r"""
        3/2 ; 1 1/2
        1 1/2 ; 1.5
        11/2 ; 5\tfrac12
        3/2 ; 1{\frac12}
        -7/3 ; -2 1/3
        3\pi/2 ; 1\frac12\pi
        1\frac{4}{5} ; 1.8
        137 \frac{1}{2} ; 137½""",
    "magnitudes": r"""
        1/2^{99} ; 2^{-99}
        \frac{25!}{50^{25}} ; \frac{25! \cdot 50}{50^{26}}
        0.5^{100} ; 2^{-100}
        e^{-1000} ; \frac{1}{e^{1000}}
        1.5\times10^{-7} ; 1.5e-7
        0.\overline{36} ; \frac{4}{11}
        0 ; \sqrt{5+2\sqrt{6}} - \sqrt{2} - \sqrt{3}""",
    "decimals of a value that has no end of them": r"""
        \frac{1}{3} ; 0.333333
        \frac{1}{3} ; 0.33333333333333334
        \sqrt{2} ; 1.414214
        (\frac{1}{3}, 1) ; (0.333333, 1)""",
    "units": r"""
        5.4 \text{ cents} ; 0.054 \text{ dollars}
        5.4 \text{ cents} ; 5.4
        5.4 ; 5.4 \text{ cents}
        \$18.90 ; 1890 cents
        5 \text{ m} ; 500 \text{ cm}
        5 \text{ m/s} ; 18 \text{ km/h}
        864 \mbox{ inches}^2 ; 864 \text{ square inches}
        90^\circ ; 90
        90^\circ ; \frac{\pi}{2} \text{ radians}
        60 \text{ mph} ; 60 \text{ miles per hour}
        7 ; 7 apples
        10 ; 10 \text{ units}^2
        8m\sqrt{2} ; 8\sqrt{2} m
        50 ; 50\%
        50\% ; 0.5""",
    "inequalities and sets": r"""
        (-\infty,3) ; x<3
        x<3 ; (-\infty,3)
        x>3 ; 3<x
        [-2,7] ; -2 \le x \le 7
        x \in [-2,7] ; -2 \le x \le 7
        x \neq 2 ; (-\infty,2)\cup(2,\infty)
        \mathbb{R} \setminus \{2\} ; x \ne 2
        (-\infty,1)\cup(3,\infty) ; x<1 \text{ or } x>3
        (3,5) ; x > 3 \text{ and } x < 5
        \neq 2 ; x \neq 2
        x+y\neq 3 ; y+x \neq 3
        \{x : x > 2\} ; (2,\infty)
        \emptyset ; \varnothing""",
    "equations": r"""
        70 ; 69+1 = 70
        5 ; x = 10/2 = 5
        \pm 3 ; x = 3 \text{ or } x = -3
        (1,2) ; (x, y) = (1, 2)
        0 ; a+b-c = 0
        0 ; x = 0
        25 ; x^2+y^2 = 25
        y=2x+3 ; y-2x-3=0""",
    "letters that a keyboard has": r"""
        \frac{\pi}{2} ; pi/2
        -2\pi ; -2*pi
        14-i ; 14.0 + -1.0i
        3\sqrt{2} ; 3*sqrt(2)
        \frac{1+\sqrt{5}}{2} ; (1+sqrt(5))/2
        x^2 ; x**2
        \frac12 ; cos(pi/3)
        \frac{\sqrt{3}}{2} ; √3/2
        |x-3| ; abs(x-3)
        5000 ; 5 × 10³""",
    "roots and logarithms of what has to be positive": r"""
        \sqrt{1/n} ; 1/\sqrt{n}
        \sqrt{\frac{1}{n}} ; \frac{1}{\sqrt n}
        \sqrt{ab} ; \sqrt{a}\sqrt{b}
        \ln(1/n) ; -\ln n
        \sqrt{x^2} ; |x|""",
    "imaginary numbers": r"""
        (1+i)^2 ; 2i
        6 - 5i ; -5i+6
        \sqrt{-1} ; i""",
    "sequences": r"""
        1,2,\ldots,n ; 1, 2, \dots, n
        \{1,2,\ldots,10\} ; \{1, 2, ..., 10\}
        1+2+\cdots+n ; 1+2+\dots+n""",
    "bases, times and ratios": r"""
        52_8 ; 52_{8}
        52_8 ; 42_{10}
        52_8 ; 52
        42 ; 52_8
        12:00 ; 12:00
        12:00 ; 12:00 \text{ p.m.}
        3:4 ; 6:8""",
    "words": r"""
        \text{Evelyn} ; evelyn
        \text{even} ; Even
        \text{(C)} ; C
        \text{no solution} ; No solution""",
}
DIFFERENT = {
    "mixed numbers": r"""
        11/2 ; 1 1/2
        21/3 ; 2 1/3
        3/2 ; 1\cdot 1/2
        12/5 ; 1\frac{2}{5}
        11 ; 1\ 1""",
    "magnitudes": r"""
        \frac{1}{2^{99}} ; \frac{1}{2^{98}}
        0.00000012 ; 0.00000034
        \frac{34}{100000000} ; 0.00000012
        \frac{25!}{50^{25}} ; \frac{25!}{50^{24}}
        (\frac{1}{2^{99}}, 1) ; (\frac{1}{2^{98}}, 1)
        \frac{x}{2^{99}} ; \frac{x}{2^{98}}
        \begin{pmatrix} 2^{-99} \\ 1 \end{pmatrix} ; \begin{pmatrix} 2^{-98} \\ 1 \end{pmatrix}
        e^{-1000} ; e^{-1001}
        2^{-1000}\sqrt{2} ; 2^{-1001}\sqrt{2}
        0 ; 2^{-400}\sqrt{2}
        0 ; 1.0e-30
        \frac{1}{3} + 10^{-30} ; \frac{1}{3}
        10^{100} ; 10^{100}+1
        100! ; 100!+1
        10^{20} ; \sqrt{10^{40}+1}""",
    "decimals": r"""
        \frac{1}{3} ; 0.333
        \frac{1}{7} ; 0.142858
        3 ; 3.0000001
        0.1 ; 0.1000001
        2,3 ; 2.3""",
    "units": r"""
        5.4 \text{ cents} ; 5.4 \text{ dollars}
        \$5 ; 5\text{ cents}
        \$5 ; €5
        5 \text{ cents} ; 5\%
        5 \text{ m} ; 5 \text{ cm}
        5 \text{ m}^2 ; 5 \text{ m}
        10 \text{ apples} ; 10 \text{ oranges}
        20^\circ C ; 20^\circ F
        5 \text{ AM} ; 5 \text{ PM}
        3t ; 3
        2ab ; 2
        50 ; 0.5
        50\% ; 5000\%""",
    "inequalities and sets": r"""
        2 ; \neq 2
        \neq 2 ; 2
        x \neq 2 ; x \neq 3
        x+y\neq 3 ; x+y \neq 4
        3 ; x \ge 3
        x>3 ; x<3
        x>3 ; y>3
        x<3 ; x \le 3
        (-\infty,3] ; x<3
        1 ; 0<1
        70 ; 69 \neq 70""",
    "equations": r"""
        70 ; 69 = 70
        70 ; x = 69 = 70
        5 ; 5 = 6 = 5
        0 ; 5x - 7y + 11z + 4 = 0
        0 ; x^2+y^2-1 = 0
        4 ; x-4 = 0""",
    "sequences": r"""
        1,2,\ldots,n ; 1,3,5,\ldots,2n-1
        1,2,\ldots,n ; 2,1,\ldots,n
        \{1,2,\ldots,10\} ; \{1, 2, \dots, 11\}
        1+2+\cdots+n ; 1+3+\cdots+n
        n ; 1,2,\ldots,n""",
    "roots": r"""
        |x| ; x
        \sqrt{x^2} ; x
        \sqrt{n} ; 1/\sqrt{n}""",
    "times and bases": r"""
        12:00 ; 1:00
        12:00 ; 12
        12:00 \text{ AM} ; 12:00 PM
        52_8 ; 52_9
        52 ; 52_8""",
    "words and letters": r"""
        \text{east} ; seat
        \text{even} ; \text{odd}
        R^2-r^2 ; 0
        x_1 ; x_2""",
    "what has no value": r"""
        7 ; 1/0
        7 ; \frac{0}{0}
        7 ; }{""",
}


def pairs(kinds):
    rows = [(kind, *line.strip().split(" ; ")) for kind, text in kinds.items() for line in text.strip().splitlines()]
    return [pytest.param(target, answer, id=f"{kind}: {target} and {answer}") for kind, target, answer in rows]


@pytest.mark.parametrize(("target", "answer"), pairs(EQUAL))
def test_equal_in_value(target, answer):
    assert equal(target, answer) is True


@pytest.mark.parametrize(("target", "answer"), pairs(DIFFERENT))
def test_different_in_value(target, answer):
    assert equal(target, answer) is False
