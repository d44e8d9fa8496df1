"""By keyboard, in the dark, on a phone, and as axe sees it."""

from importlib.util import find_spec
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

PAGES = ("index.html", "fidelity.html", "memory.html")
BEGAN = """new MutationObserver((_, watch) => {
  if (document.body) { window.began = document.documentElement.dataset.theme; watch.disconnect(); }
}).observe(document, {childList: true, subtree: true});"""


def test_the_skip_link_is_first_and_the_arrows_go_through_the_tables(at):
    page = at("#graph_search/p0")
    page.run("location.hash = ''; document.activeElement.blur(); window.scrollTo(0, 0)")
    page.one("body").send_keys(Keys.TAB)
    assert (page.focused.text, page.focused.rect["y"] >= 0) == ("Skip to the results", True)
    page.press(Keys.ENTER)
    for _ in range(30):
        if page.run("return document.activeElement.closest('#table tbody') !== null"):
            break
        page.press(Keys.TAB)
    assert page.focused.text == "full"
    page.press(Keys.DOWN)
    page.press(Keys.RIGHT)
    assert page.focused.text == "4x"
    page.press(Keys.END)
    page.press(Keys.HOME)
    assert page.focused.text == "snapkv"
    page.press(Keys.TAB)
    assert page.focused.text == "vase_dkv"  # Tab goes from row to row
    page.press(Keys.ENTER)
    assert page.hash.endswith("/vase_dkv 2x")


def test_the_matrix_is_one_stop_of_tab(opened):
    stops = "return [...document.querySelectorAll('#cells a')].filter((link) => link.tabIndex === 0).length"
    opened.run("document.querySelector('#cells a').focus()")
    for key, said in (
        (Keys.RIGHT, "full, p2: 1.00"),
        (Keys.DOWN, "snapkv 4x, p2: 1.00"),
        (Keys.END, "snapkv 4x, p5: 0.00, loops 100.0%"),
        (Keys.RIGHT, "snapkv 4x, p5: 0.00, loops 100.0%"),
    ):
        opened.press(key)
        assert opened.focused.get_attribute("aria-label") == said
    assert opened.run(stops) == 1
    opened.press(Keys.ENTER)
    assert opened.hash == "#graph_search (hard)/p5/1/snapkv 4x"


def test_chips_are_pressed_by_keyboard(opened):
    opened.run("document.querySelectorAll('.chip')[1].focus()")
    opened.press(Keys.SPACE)
    assert opened.focused.get_attribute("aria-pressed") == "false"  # and it keeps the focus
    opened.press(Keys.SPACE)
    assert opened.focused.get_attribute("aria-pressed") == "true"


@pytest.mark.parametrize("name", PAGES)
def test_dark_is_as_the_system_has_it_or_as_the_switch_says(at, name):
    back = "return getComputedStyle(document.body).backgroundColor"
    light, dark = "rgb(246, 247, 249)", "rgb(15, 19, 26)"
    page = at(name=name)
    page.run("localStorage.clear()")
    page.reload_until(lambda: page.run("return document.documentElement.dataset.theme") is None)
    assert page.run(back) == light
    page.screen(scheme="dark")
    page.wait(lambda: page.run(back) == dark)
    page.wait(lambda: page.one("#theme").get_attribute("aria-pressed") == "true")
    page.click("#theme")
    assert page.run(back) == light
    page.driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": BEGAN})

    def began_light():
        """Remembered before anything is drawn; what a page keeps can be lost where it is left at once."""
        if (began := page.run("return window.began")) != "light" and page.run(back) == dark:
            page.click("#theme")
        return began == "light"

    page.reload_until(began_light)
    assert page.run(back) == light
    page.click("#theme")
    assert page.run(back) == dark
    page.screen(scheme="light")
    page.wait(lambda: page.run(back) == light)  # as the system has it again


@pytest.mark.parametrize("name", PAGES)
def test_a_phone_does_not_scroll_sideways(at, name):
    page = at("#graph_search/p4/1/snapkv" if name == "index.html" else "", name)
    page.screen(width=390)
    page.run("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    page.run("document.getElementById('charts').scrollIntoView()")
    page.wait(lambda: name != "index.html" or page.all(".plot .scatterlayer"))
    page.wait(lambda: name == "memory.html" or page.all(".text-page"))
    assert page.run("return document.documentElement.scrollWidth") == 390
    assert page.run("return document.documentElement.clientWidth") == 390


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(at, name, scheme):
    axe = find_spec("axe_core_python")
    if axe is None or axe.origin is None:
        pytest.skip("no axe-core-python: pip install 'kvarena[dev]'")
    page = at("#graph_search/p4/1/snapkv" if name == "index.html" else "", name)
    page.screen(scheme=scheme)
    page.run("document.querySelectorAll('details').forEach((details) => { details.open = true; })")
    page.wait(lambda: name == "memory.html" or page.all(".text-page"))
    page.run((Path(axe.origin).parent / "axe.min.js").read_text(encoding="utf-8"))
    found = page.driver.execute_async_script("axe.run().then(arguments[0])")
    assert len(found["passes"]) > 30
    assert [(fault["id"], [node["target"] for node in fault["nodes"]]) for fault in found["violations"]] == []
