"""The pages in a real browser: Debian's headless Chromium, opened from the disk; one browser for all of them."""

import json
import shutil
from dataclasses import replace

import pandas as pd
import pytest
from kvarena.analysis.report import write_report
from kvarena.runners.record import write_questions
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

DRIVER = shutil.which("chromedriver")
HEALTHY = " ".join(f"word{i}" for i in range(2000))
LOOPING = " ".join(f"start{i}" for i in range(1500)) + " so\nwait <b>again</b>" * 400
SHORT = ("go left then up and stop", [1, 2, 3, 4, 5, 6]), ("go left then down and stop", [1, 2, 3, 9, 5, 6])


@pytest.fixture(scope="session")
def chromium():
    if DRIVER is None:
        pytest.skip("no chromedriver: apt-get install chromium chromium-driver")
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

    def one(self, selector, *, text=None):
        (found,) = [e for e in self.all(selector) if text is None or e.text == text]
        return found

    def texts(self, selector):
        return [element.text for element in self.all(selector)]

    def run(self, script, *given):
        return self.driver.execute_script(script, *given)

    def wait(self, condition):
        return WebDriverWait(self.driver, 20).until(lambda _: condition())

    def reload_until(self, condition):
        """What a page keeps reaches the next one a moment later: another process may have it."""

        def reloaded():
            self.driver.refresh()
            return condition()

        return self.wait(reloaded)

    def errors(self):
        return [line for line in self.driver.get_log("browser") if line["level"] == "SEVERE"]

    def column(self, label):
        at = self.texts("#table th").index(label) + 1
        return self.texts(f"#table tbody td:nth-child({at})")

    def link(self, row, label):
        """In the table of runs."""
        at = self.texts("#table th").index(label) + 1
        return f"#table tbody tr:nth-child({row}) td:nth-child({at}) a"

    def click(self, selector, *, text=None):
        found = self.one(selector, text=text)
        self.run("arguments[0].scrollIntoView({block: 'center'})", found)
        found.click()

    def press(self, *keys):
        self.driver.switch_to.active_element.send_keys(*keys)

    @property
    def focused(self):
        return self.driver.switch_to.active_element

    @property
    def hash(self):
        return self.run("return decodeURIComponent(location.hash)")

    def screen(self, width=1400, scheme="light"):
        sizes = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", sizes)
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})


@pytest.fixture(scope="session")
def folder(writer, tmp_path_factory, record, dense, config):
    """The report of dense and two methods on one task, one of them again on another, and two that were forced."""
    root = tmp_path_factory.mktemp("runs")
    write = writer(root)
    problems = [f"p{i}" for i in range(6)]
    right = {"completion": HEALTHY, "token_ids": [], "num_tokens": 2000}
    looped = {"completion": LOOPING, "score": 0.0, "stop": "length", "num_tokens": 3100, "loop_onset": 1500}
    looped |= {"loop_period": 4, "loop_character": LOOPING.index(" so\n"), "num_evictions": 46}
    ours, theirs = ({"completion": text, "token_ids": ids, "num_tokens": 6, "num_evictions": 0} for text, ids in SHORT)
    full = [record(sample=p, num_evictions=0, **right) for p in problems[1:]]
    write("full", [record(sample="p0", **ours), *full], samples=6, **dense)
    halves = [record(sample=p, **(looped if p in ("p4", "p5") else right)) for p in problems[1:]]
    snap = write("snap", [record(sample="p0", score=0.0, **theirs), *halves], samples=6, config=config(128))
    write_questions(snap.path, {"p0": "Which <b>way</b>?\nSay.", "p3": "How?"})
    write("vase", [record(sample=p, **right) for p in problems[:3]], samples=6, method="vase_dkv", ratio=2.0)
    write(
        "aime",
        [record(sample="p9", **right | {"completion": ""})],
        samples=1,
        task="aime25",
        difficulty=None,
        model="Qwen3-4B",
    )
    drift = {"score": None, "note": "forced", "completion": "a b c", "pieces": ["a", "b", "c"], "num_tokens": 3}
    for name, kl in (("knorm", [0.0, 0.5, 0.1]), ("tova", [0.0, 0.0, 0.0])):
        text = record(**drift, kl=kl, nll=kl, mass=[0.5] * 3, other=[1] if max(kl) else [], eviction_steps=[2])
        if name == "tova":
            text = replace(text, attention_error=[0.0, 0.25, 0.5])
        write(f"forced-{name}", [text], samples=1, method=name, config={"reference": "runs/full"})
    remember(root / "span")
    write_report(root, root / "report")
    return root / "report"


def remember(folder):
    """What kvarena-forget and kvarena-probe leave, of two texts."""
    folder.mkdir()
    labels = {"task": "sums", "difficulty": "easy", "model": "reasoner", "ratio": 1.0}
    (folder / "forget.json").write_text(json.dumps({"labels": labels}))
    text = {"span": "clause", "eraser": "drop", "after": 16, "recomputed": 0, "tokens": 16, "kl_closing": 0.0}
    sums = [{"sample": name, "since": 0, "kl_dense": 2.0, "kl_erased": kl} for name, kl in (("a", 1.0), ("b", 0.2))]
    pd.DataFrame([text | each for each in sums]).to_csv(folder / "forget.csv", index=False)
    same = {"task": "sums", "method": "h2o", "ratio": 4.0, "layer": 0, "head": 0, "right": 3}
    shares = {"features": "both", "back": 0, "of": "all", "asked": 4, "chance": 0.1, "shuffled": 0.1, "text": 0.2}
    pd.DataFrame([same | shares | {"right": 0.75}]).to_csv(folder / "probe.csv", index=False)
    counts = {"evicted": 8, "reached": 4, "by_text": 1, "nowhere": 0.5}
    pd.DataFrame([same | counts]).to_csv(folder / "prompt.csv", index=False)


@pytest.fixture
def at(chromium, folder):
    """at(address): a page at that address, opened anew."""

    def open_page(address="", name="index.html"):
        page = Page(chromium)
        page.screen()
        page.errors()  # of pages before
        chromium.get("about:blank")
        chromium.get(f"file://{folder}/{name}{address}")
        return page

    return open_page


@pytest.fixture
def opened(at):
    """The page of the runs at its second task."""
    page = at()
    page.run("localStorage.clear(); choose(1)")
    return page
