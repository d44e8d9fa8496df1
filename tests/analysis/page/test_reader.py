import shutil

from selenium.webdriver.common.keys import Keys


def two_texts(page):
    page.wait(lambda: len(page.all(".text-page")) == 2)


def test_a_completion_beside_dense_with_its_loop(opened):
    assert len(opened.all("#cells td")) == 18
    assert len(opened.all("#cells a.none")) == 3
    opened.run("document.querySelector('#cells a.loop').click()")
    two_texts(opened)
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
    assert opened.texts(".side:nth-child(2) mark.looped")[0].strip().startswith("so")
    assert opened.all(".side:nth-child(2) .text-page b") == []  # a completion is text, never markup
    assert len(opened.all(".side:nth-child(2) .strip .evicted")) == 46
    opened.click(".side:nth-child(2) button", text="›")
    assert "page 5 of 6" in opened.texts(".side:nth-child(2)")[0]
    assert opened.errors() == []


def test_an_address_opens_a_completion_with_its_question_and_where_it_leaves_dense(at):
    page = at("#graph_search%20(hard)/p0/1/snapkv%204x")
    two_texts(page)
    assert page.one(".asked").text == "Which <b>way</b>?\nSay."
    assert page.texts("#question b") == ["a"]
    assert "leaves dense at token 3" in page.texts(".facts")[1]
    left, right = page.texts(".text-page")
    assert (left, right) == ("go left then differsup and stop", "go left then differsdown and stop")
    assert page.texts(".text-page mark.differs") == ["up", "down"]
    page.click("#next")
    assert page.hash == "#graph_search (hard)/p3/1/snapkv 4x"
    page.wait(lambda: page.texts(".asked") == ["How?"])
    page.click("#next")
    page.wait(lambda: page.texts(".asked") == ["The question is not recorded in these runs."])


def test_an_address_may_be_short_and_a_wrong_one_is_said(at):
    page = at("#graph_search/p4/1/snapkv")
    two_texts(page)
    assert "loop from token 1500" in page.texts(".facts")[1]
    for address, said in (
        ("nothing/p0/1/full", "There is no task nothing in this report."),
        ("graph_search/p99", "There is no sample p99 of graph_search in this report."),
        ("graph_search/p0/7/full", "full has no draw 7 of p0."),
        ("graph_search/p0/1/%E0%A4%A/x", "There is no run of %E0%A4%A/x on graph_search in this report."),
    ):
        page.run("location.hash = arguments[0]", address)
        page.wait(lambda said=said: page.texts("#wrong") == [said])
    page.run("location.hash = 'graph_search/p0/1/full'")
    page.wait(lambda: page.texts("#wrong") == [""])
    assert page.errors() == []


def test_every_cell_is_a_link_to_a_completion(opened):
    links = opened.run("return [...document.querySelectorAll('#table tbody td')].map((cell) => cell.firstChild.hash)")
    assert len(links) == 3 * 13
    assert all(link.startswith("#graph_search%20(hard)/p") for link in links)
    opened.click(opened.link(2, "loops"))  # where it loops most
    assert opened.hash == "#graph_search (hard)/p4/1/snapkv 4x"
    opened.click(opened.link(2, "vs dense"))  # where it loses most
    assert opened.hash == "#graph_search (hard)/p0/1/snapkv 4x"
    assert opened.focused.get_attribute("id") == "reader-title"
    cells = opened.run("return [...document.querySelectorAll('#cells td a')].map((link) => link.hash)")
    assert len(set(cells)) == 18
    published = opened.run("return [...document.querySelectorAll('#beside tbody a')].map((link) => link.hash)")
    assert set(published) == {"#aime25/p9/1/snapkv%204x"}
    assert len(published) == 12


def test_words_are_found_in_both_texts(at):
    page = at("#graph_search%20(hard)/p4/1/snapkv%204x")
    two_texts(page)
    page.one("#find").send_keys("WAIT <B>")
    assert page.texts("#found") == ["0 left, 400 right"]
    assert "page 4 of 6" in page.texts(".side:nth-child(2)")[0]
    assert page.texts("mark.now") == ["wait <b>"]
    page.one("#find").send_keys(Keys.SHIFT, Keys.ENTER)
    assert "page 6 of 6" in page.texts(".side:nth-child(2)")[0]
    page.one("#find").clear()
    page.one("#find").send_keys("word7")
    assert page.texts("#found") == ["111 left, 0 right"]
    assert page.errors() == []


def test_texts_that_are_far_apart_differ_from_there_on(opened):
    far = "return differences(arguments[0], arguments[1])"
    a, b = ("same " + " ".join(f"{sign}{i}" for i in range(1000)) for sign in "ab")
    assert opened.run(far, a, b) == {
        "start": 5,
        "ranges": [[{"from": 5, "to": len(a)}], [{"from": 5, "to": len(b)}]],
    }
    assert opened.run(far, "a b", "a b") == {"start": None, "ranges": [[], []]}
    assert opened.run(far, "a b", "a b c d") == {"start": 3, "ranges": [[], [{"from": 4, "to": 7}]]}
    words = [[{"from": 2, "to": 4}], [{"from": 2, "to": 5}]]
    assert opened.run(far, "a 57 b", "a 574 b") == {"start": 2, "ranges": words}  # whole words
    assert opened.run(far, "x one y two", "one two z") == {
        "start": 0,
        "ranges": [[{"from": 0, "to": 1}, {"from": 6, "to": 7}], [{"from": 8, "to": 9}]],
    }


def test_a_missing_text_is_said(at, folder, tmp_path):
    shutil.copy(folder / "index.html", tmp_path)
    page = at(name=f"../../../../../../../..{tmp_path}/index.html")
    page.wait(lambda: any("is not beside this page" in text for text in page.texts(".facts")))


def test_a_text_that_was_left_out_of_an_archive_is_said(opened):
    opened.run("choose(0)")
    opened.wait(lambda: "This completion was packed without its text." in opened.texts(".side .hint"))
    assert opened.all(".text-page") == []
    assert opened.texts(".side .facts")[0].startswith("score 1 · 2,000 tokens")


def test_how_far_attention_is_off_stands_below_each_token(at):
    page = at("#graph_search/s0/1/tova", "fidelity.html")
    page.wait(lambda: "another top token at 0" in page.texts("#facts")[0])
    assert page.texts("#facts")[0].endswith("attention off by 25.0% on average, as its method states (bars)")
    assert [token.value_of_css_property("border-bottom-width") for token in page.all(".drifted")] == [
        "0px",
        "2px",
        "4px",
    ]
    assert page.all(".drifted")[2].get_attribute("title").endswith("nats, attention off by 50.0%, as stated")
    page.run("location.hash = 'graph_search/s0/1/knorm%204x'")
    page.wait(lambda: "another top token at 1" in page.texts("#facts")[0])
    assert "attention" not in page.texts("#facts")[0]
    assert page.errors() == []


def test_a_forced_text_is_read_by_its_address(at):
    page = at("#graph_search/s0/1/knorm%204x", "fidelity.html")
    page.wait(lambda: page.all(".drifted"))
    assert page.one("#facts").text.startswith(
        "3 tokens, mean KL 0.2 nats, another top token at 1, the first is token 1"
    )
    assert page.one("#paper").text == "a b1 c"  # an eviction before the third token
    assert page.texts("#question b") == ["a"]
    page.one("#find").send_keys("a b", Keys.ENTER)
    assert page.run("return [...document.querySelectorAll('.now')].map((token) => token.textContent)") == ["a", " b"]
    page.run("location.hash = 'graph_search/s0/1/tova'")
    page.wait(lambda: "another top token at 0" in page.texts("#facts")[0])
    page.run("location.hash = 'graph_search/s9/1/tova'")
    page.wait(lambda: page.texts("#wrong") == ["There is no text #graph_search/s9/1/tova in this report."])
    assert page.errors() == []
