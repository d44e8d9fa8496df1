"""The page in a real browser: Debian's headless Chromium, opened from the disk."""

import shutil

import pytest
from kvarena.analysis.report import write_report
from kvarena.runners.loops import repetition
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(DRIVER is None, reason="no chromedriver: apt-get install chromium chromium-driver")

HEALTHY = " ".join(f"word{i}" for i in range(2000))
LOOPING = " ".join(f"start{i}" for i in range(1500)) + " so\nwait <b>again</b>" * 400
ONSET = LOOPING.index(" so\n")


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options, service=Service(DRIVER))
    yield driver
    driver.quit()


class Page:
    def __init__(self, driver):
        self.driver = driver

    def all(self, selector):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        return [element.text for element in self.all(selector)]

    def wait(self, condition):
        return WebDriverWait(self.driver, 20).until(lambda _: condition())

    def errors(self):
        return [line for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def column(self, i):
        return self.texts(f"#table tbody td:nth-child({i})")

    def click(self, selector, *, text=None):
        (found,) = [e for e in self.all(selector) if text is None or e.text == text]
        self.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()


@pytest.fixture(scope="module")
def folder(writer, tmp_path_factory, record, dense, config):
    """The report of dense and two methods on one task, one of them again on another."""
    root = tmp_path_factory.mktemp("runs")
    write = writer(root)
    problems = [f"p{i}" for i in range(6)]
    right = {"completion": HEALTHY, "token_ids": [], "num_tokens": 2000}
    looped = {"completion": LOOPING, "score": 0.0, "stop": "length", "num_tokens": 3100, "loop_onset": 1500}
    looped |= {"loop_period": 4, "loop_character": ONSET, "num_evictions": 46}
    write("full", [record(sample=p, num_evictions=0, **right) for p in problems], samples=6, **dense)
    halves = [record(sample=p, **(looped if i >= 4 else right)) for i, p in enumerate(problems)]
    write("snap", halves, samples=6, config=config(128))
    write("vase", [record(sample=p, **right) for p in problems[:3]], samples=6, method="vase_dkv", ratio=2.0)
    write("aime", [record(sample="p9", **right | {"completion": ""})], samples=1, task="aime25", difficulty=None)
    write_report(root, root / "report")
    return root / "report"


@pytest.fixture
def opened(chromium, folder):
    chromium.get(f"file://{folder}/index.html")
    chromium.execute_script("choose(1)")
    return Page(chromium)


def test_it_opens_without_an_error_and_without_the_network(opened):
    assert opened.texts(".tile b") == ["4", "16", "2", "2", "1"]
    assert "snapkv 4x on aime25: no dense run" in opened.texts("#warnings li")
    assert "vase_dkv 2x on graph_search (hard): incomplete 3/6" in opened.texts("#warnings li")
    opened.driver.execute_script("document.getElementById('charts').scrollIntoView()")
    opened.wait(lambda: len(opened.all(".plot .scatterlayer")) >= 3)
    loaded = opened.driver.execute_script("return performance.getEntriesByType('resource').map((entry) => entry.name)")
    assert {name.split(":")[0] for name in loaded} <= {"file", "data"}
    assert opened.errors() == []


def test_sorting(opened):
    assert opened.column(3) == ["full", "snapkv", "vase_dkv"]
    opened.click("#table th", text="ratio")
    assert opened.column(4) == ["4x", "2x", "1x"]
    opened.click("#table th", text="ratio")
    assert opened.column(4) == ["1x", "2x", "4x"]
    opened.click("#table th", text="loops")
    assert opened.column(8) == ["33.3%", "0.0%", "0.0%"]
    opened.click("#table th", text="vs dense")
    assert opened.column(7)[-1] == "-"  # a missing number comes last either way
    opened.click("#table th", text="vs dense")
    assert opened.column(7)[-1] == "-"


def test_filtering(opened):
    opened.all("#search")[0].send_keys("SNAP 4x")
    assert opened.column(3) == ["snapkv"]
    opened.click("#all")
    assert opened.column(1) == ["aime25", "graph_search (hard)"]
    assert opened.texts("#count") == ["2 of 4 runs"]


def test_a_completion_beside_dense_with_its_loop(opened):
    assert len(opened.all("#cells td")) == 18
    assert len(opened.all("#cells td.none")) == 3
    cell = opened.all("#cells td.loop")[0]
    opened.driver.execute_script("arguments[0].scrollIntoView({block: 'center'})", cell)
    cell.click()
    opened.wait(lambda: len(opened.all(".text-page")) == 2)
    left, right = opened.texts(".facts")
    assert left.startswith("score 1 · 2,000 tokens")
    assert "budget 128 tokens, 46 evictions · loop from token 1500, period 4" in right
    assert "page 1 of 6" in opened.texts(".side:nth-child(2)")[0]
    assert opened.all(".onset") == []
    opened.click(".side:nth-child(2) button", text="to the loop")
    (paper,) = opened.all(".side:nth-child(2) .text-page")
    before, after = paper.text.split("loop", 1)
    assert before.rstrip().endswith("start1499")
    assert after.lstrip().startswith("so\nwait <b>again</b> so")
    assert opened.all(".side:nth-child(2) mark")[0].text.strip().startswith("so")
    assert opened.all(".side:nth-child(2) .text-page b") == []  # a completion is text, never markup
    assert len(opened.all(".side:nth-child(2) .strip .evicted")) == 46
    opened.click(".side:nth-child(2) button", text="›")
    assert "page 5 of 6" in opened.texts(".side:nth-child(2)")[0]
    assert opened.errors() == []


def test_a_missing_text_is_said(chromium, folder, tmp_path):
    shutil.copy(folder / "index.html", tmp_path)
    chromium.get(f"file://{tmp_path}/index.html")
    page = Page(chromium)
    page.wait(lambda: any("is not beside this page" in text for text in page.texts(".facts")))


def test_a_text_that_was_left_out_of_an_archive_is_said(opened):
    opened.driver.execute_script("choose(0)")
    opened.wait(lambda: "This completion was packed without its text." in opened.texts(".side .hint"))
    assert opened.all(".text-page") == []
    assert opened.texts(".side .facts")[0].startswith("score 1 · 2,000 tokens")


def test_methods_can_be_hidden_in_the_charts(opened):
    opened.driver.execute_script("document.getElementById('charts').scrollIntoView()")
    points = lambda: len(opened.all(".plot:nth-child(1) .scatterlayer .trace"))  # noqa: E731
    opened.wait(lambda: points() == 3)
    opened.click(".chip", text="snapkv")
    opened.wait(lambda: points() == 2)


def test_a_large_report_opens_in_two_seconds(chromium, write, tmp_path, record, dense):
    """The page holds no text, so 20 of 100 runs' worth of records a task stands for any length of completions."""
    nothing_said = {"completion": "", "token_ids": [], **repetition([], "")._asdict()}
    for run in range(20):
        rows = [record(sample=f"p{i}", score=float((i * run) % 3 == 0), **nothing_said) for i in range(500)]
        write(f"r{run}", rows, samples=500, **(dense if run == 0 else {"method": f"m{run}"}))
    write_report(tmp_path, tmp_path / "report")
    chromium.get(f"file://{tmp_path}/report/index.html")
    drawn = "const [mark] = performance.getEntriesByName('drawn'); return mark ? mark.startTime : null"
    page = Page(chromium)
    assert page.wait(lambda: chromium.execute_script(drawn)) < 2000  # ms
    assert len(page.all("#table tbody tr")) == 20
    assert chromium.execute_script("return document.querySelectorAll('#cells td').length") == 20 * 200
