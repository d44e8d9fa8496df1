from kvarena.analysis.report import write_report
from kvarena.runners.loops import repetition

from .conftest import Page


def test_it_opens_without_an_error_and_without_the_network(opened):
    assert opened.texts(".tile b") == ["4", "16", "2", "2", "1"]
    assert "snapkv 4x on aime25: no dense run" in opened.texts("#warnings li")
    assert "vase_dkv 2x on graph_search (hard): incomplete 3/6" in opened.texts("#warnings li")
    opened.run("document.getElementById('charts').scrollIntoView()")
    opened.wait(lambda: len(opened.all(".plot .scatterlayer")) >= 3)
    loaded = opened.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {name.split(":")[0] for name in loaded} <= {"file", "data"}
    assert opened.errors() == []


def test_sorting(opened):
    assert opened.column("method") == ["full", "snapkv", "vase_dkv"]
    opened.click("#table th button", text="ratio")
    assert opened.column("ratio") == ["4x", "2x", "1x"]
    opened.click("#table th button", text="ratio")
    assert opened.column("ratio") == ["1x", "2x", "4x"]
    assert opened.one("#table th[aria-sort]").get_attribute("aria-sort") == "ascending"
    opened.click("#table th button", text="loops")
    assert opened.column("loops") == ["33.3%", "0.0%", "0.0%"]
    opened.click("#table th button", text="vs dense")
    assert opened.column("vs dense")[-1] == "-"  # a missing number comes last either way
    opened.click("#table th button", text="vs dense")
    assert opened.column("vs dense")[-1] == "-"


def test_filtering(opened):
    opened.one("#search").send_keys("SNAP 4x")
    assert opened.column("method") == ["snapkv"]
    opened.click("#all")
    assert opened.column("task") == ["aime25", "graph_search (hard)"]
    assert opened.texts("#count") == ["2 of 4 runs"]


def test_columns_are_chosen_and_remembered(opened, at):
    assert "read" not in opened.texts("#table th")
    opened.click(".chooser summary")
    for label in ("read", "tok/s"):
        opened.click("#columns label", text=label)
    assert ("read" in opened.texts("#table th"), "tok/s" in opened.texts("#table th")) == (True, False)
    again = at()
    again.wait(lambda: "read" in again.texts("#table th"))
    assert "tok/s" not in again.texts("#table th")


def test_notes_can_be_read_without_scrolling(opened):
    opened.click("#all")
    assert "incomplete 3/6" in opened.column("note")[-1]
    note = opened.one(opened.link(4, "note"))
    assert note.rect["x"] + note.rect["width"] <= 1400


def test_charts_say_what_they_are_and_send_nothing(opened):
    opened.run("document.getElementById('charts').scrollIntoView()")
    opened.wait(lambda: len(opened.all(".plot .scatterlayer")) >= 3)
    titles = opened.run("return [...document.querySelectorAll('.plot .gtitle')].map((title) => title.textContent)")
    assert titles[:3] == ["Accuracy by compression ratio", "Accuracy by cache", "Loops by compression ratio"]
    hovers = opened.run("return document.querySelector('.plot').data.flatMap((trace) => trace.text)")
    assert "<b>snapkv 4x</b><br>pass@1 0.500 [0.184, 0.816]<br>budget 128 tokens" in hovers
    buttons = opened.run("return [...document.querySelectorAll('.modebar-btn')].map((b) => b.dataset.title)")
    assert {button for button in buttons if "hare" in button or "loud" in button or "dit" in button} == set()
    assert len(buttons) >= 18


def test_what_is_unfinished_is_faint_in_the_charts_and_says_so(opened):
    opened.run("document.getElementById('charts').scrollIntoView()")
    opened.wait(lambda: len(opened.all(".plot .scatterlayer")) >= 3)
    script = (
        "return document.querySelector('.plot').data.map((each) => [each.name, each.mode, each.opacity, each.text[0]])"
    )
    drawn = opened.run(script)
    faint = [(name, mode) for name, mode, opacity, _ in drawn if opacity is not None]
    assert faint == [("vase_dkv", "markers")]
    (says,) = [text for name, *_, text in drawn if name == "vase_dkv"]
    assert says.endswith("<br>§ unfinished, or not of as many problems as the others")
    assert opened.one("#faint").is_displayed()
    opened.run("choose(0)")
    assert not opened.one("#faint").is_displayed()


def test_a_method_looks_the_same_in_figures_charts_and_chips(opened, folder):
    looks = opened.run("return data.looks")
    assert looks["snapkv"] == {"colour": "#D55E00", "symbol": "square"}  # the second of knorm, snapkv, tova, vase_dkv
    svg = (folder / "figures/accuracy_ratio.svg").read_text()
    assert "#d55e00" in svg
    assert "rgb(213, 94, 0)" in opened.all(".chip path")[1].value_of_css_property("fill")
    opened.run("document.getElementById('charts').scrollIntoView()")
    opened.wait(lambda: len(opened.all(".plot .scatterlayer")) >= 3)
    drawn = opened.run(
        "return document.querySelector('.plot').data.map(({name, marker: {color, symbol}}) => [name, color, symbol])"
    )
    assert ["snapkv", "#D55E00", "square"] in drawn


def test_only_figures_of_these_runs_are_shown(opened):
    assert "step_time" not in opened.run("return data.figures")
    assert "step_time is not drawn" in opened.one("#missing").text


def test_methods_can_be_hidden_in_the_charts(opened):
    opened.run("document.getElementById('charts').scrollIntoView()")
    points = lambda: len(opened.all(".plot:nth-child(1) .scatterlayer .trace"))  # noqa: E731
    opened.wait(lambda: points() == 3)
    opened.click(".chip", text="snapkv")
    opened.wait(lambda: points() == 2)
    assert [chip.get_attribute("aria-pressed") for chip in opened.all(".chip")] == ["true", "false", "true"]


def test_a_large_report_opens(chromium, write, tmp_path, record, dense):
    """The page holds no text, so 20 of 100 runs' worth of records a task stands for any length of completions."""
    nothing_said = {"completion": "", "token_ids": [], **repetition([], "")._asdict()}
    for run in range(20):
        rows = [record(sample=f"p{i}", score=float((i * run) % 3 == 0), **nothing_said) for i in range(500)]
        write(f"r{run}", rows, samples=500, **(dense if run == 0 else {"method": f"m{run}"}))
    write_report(tmp_path, tmp_path / "report")
    chromium.get(f"file://{tmp_path}/report/index.html")
    drawn = "const [mark] = performance.getEntriesByName('drawn'); return mark ? mark.startTime : null"
    page = Page(chromium)
    page.wait(lambda: chromium.execute_script(drawn))
    assert len(page.all("#table tbody tr")) == 20
    assert chromium.execute_script("return document.querySelectorAll('#cells td').length") == 20 * 200


def test_what_is_remembered_stands_in_two_tables(at):
    page = at(name="memory.html")
    assert page.errors() == []
    assert page.texts("#influence td") == [
        "sums-easy",
        "clause",
        "drop",
        "16",
        "2",
        "0.125",
        "0",
        "0.3 [0.1, 0.5]",
        "0.3",
    ]
    assert page.texts("#readings td") == ["sums", "h2o", "4", "75.0% (20.0%)", "37.5% (12.5%)", "50.0%"]
    assert len(page.all("#figures img")) == 2
