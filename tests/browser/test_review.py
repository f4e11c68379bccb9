"""The pages as a real browser shows them."""

import pytest

from tests.browser.chromium import CONTRAST, Tab
from tests.relaying import wait_until
from tests.review.calls import id_of

HARM = f"/review/calls/{id_of(10)}"


def test_hostile_content_opens_nothing_runs_nothing_and_asks_nobody(
    tab: Tab, site_url: str
) -> None:
    for path in ("/review", HARM, "/review?where=<script>alert(1)</script>", "/review/calls/<b>"):
        tab.open(site_url + path)
    complaints = [text for text in tab.complaints if "status of 40" not in text]
    assert complaints == []
    assert {url[: len(site_url)] for url in tab.requested if not url.startswith("data:")} == {
        site_url
    }


def test_images_that_a_message_carries_are_seen(tab: Tab, site_url: str) -> None:
    tab.open(site_url + HARM)
    tab.value("document.querySelector('img').scrollIntoView()")
    wait_until(lambda: tab.value("document.querySelector('img').naturalWidth") == 1)


@pytest.mark.parametrize("width", [360, 800, 1200, 2000])
@pytest.mark.parametrize("path", ["/review", HARM, "/review?where=modle", "/review?project=none"])
def test_no_page_is_wider_than_its_window(tab: Tab, site_url: str, path: str, width: int) -> None:
    tab.size(width)
    tab.open(site_url + path)
    assert tab.value("document.scrollingElement.scrollWidth") <= width


def test_calls_are_read_with_the_keyboard_alone(tab: Tab, site_url: str) -> None:
    tab.open(site_url + "/review")
    tab.press("j", "j", "j", "k")
    tab.loads(lambda: tab.press("Enter"))
    assert id_of(9) in tab.value("location.pathname")
    tab.loads(lambda: tab.press("j"))
    assert id_of(8) in tab.value("location.pathname")
    tab.loads(lambda: tab.press("["))
    assert id_of(7) in tab.value("location.pathname")
    tab.loads(lambda: tab.press("k"))
    assert id_of(8) in tab.value("location.pathname")
    tab.loads(lambda: tab.press("u"))
    assert tab.value("location.pathname") == "/review"


def test_a_row_opens_wherever_it_is_clicked(tab: Tab, site_url: str) -> None:
    tab.open(site_url + "/review")
    place = tab.value(
        "(() => { const cell = document.querySelector('.calls tbody .tokens');"
        " const box = cell.getBoundingClientRect();"
        " return document.elementFromPoint(box.x + 3, box.y + 3).className; })()"
    )
    assert place == "open"


def test_keys_do_nothing_while_one_is_typing(tab: Tab, site_url: str) -> None:
    tab.open(site_url + "/review")
    tab.press("/", *"jku n")
    assert tab.value("document.querySelector('#where').value") == "jku n"
    assert tab.value("document.activeElement.id") == "where"


def test_the_filter_works_without_a_script(tab: Tab, site_url: str) -> None:
    tab.ask("Emulation.setScriptExecutionDisabled", value=True)
    tab.open(site_url + "/review")
    tab.ask("DOM.enable")
    root = tab.ask("DOM.getDocument")["root"]["nodeId"]
    box = tab.ask("DOM.querySelector", nodeId=root, selector="#where")["nodeId"]
    tab.ask("DOM.focus", nodeId=box)
    tab.press(*"tags['n'] = '3'")
    tab.loads(lambda: tab.press("Enter"))
    root = tab.ask("DOM.getDocument")["root"]["nodeId"]
    rows = tab.ask("DOM.querySelectorAll", nodeId=root, selector=".calls .open")["nodeIds"]
    assert len(rows) == 1


@pytest.mark.parametrize("path", ["/review", HARM, "/review?where=modle"])
def test_everything_one_can_use_has_a_name_for_those_who_listen(
    tab: Tab, site_url: str, path: str
) -> None:
    tab.open(site_url + path)
    tab.ask("Accessibility.enable")
    nodes = tab.ask("Accessibility.getFullAXTree")["nodes"]
    used = [
        node for node in nodes
        if node.get("role", {}).get("value") in ("link", "button", "textbox", "combobox", "image")
    ]  # fmt: skip
    assert len(used) > 3
    assert [node for node in used if not node.get("name", {}).get("value")] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", ["/review", HARM])
def test_texts_stand_out_from_what_is_behind_them(
    tab: Tab, site_url: str, path: str, scheme: str
) -> None:
    tab.ask(
        "Emulation.setEmulatedMedia",
        features=[{"name": "prefers-color-scheme", "value": scheme}],
    )
    tab.open(site_url + path)
    # WCAG 2.2, 1.4.3: 4.5 to 1, of every text that is seen.
    weak = tab.value(CONTRAST)
    assert weak == []


def test_an_answer_is_corrected_and_accepted_on_its_page(tab: Tab, site_url: str) -> None:
    tab.open(f"{site_url}/review/calls/{id_of(3)}")
    fill = "document.querySelector('textarea[name=text]').value += ' Or so.'"
    press = "document.querySelector('form.answer button[value=answer]').click()"
    tab.value("document.querySelector('details.correct').open = true")
    tab.value(fill)
    tab.loads(lambda: tab.value(press))
    assert tab.value("document.querySelector('.history ins').textContent") == " Or so."
    assert tab.value("location.hash") == "#said"
    tab.loads(lambda: tab.value("document.querySelector('.history button[value=reject]').click()"))
    assert tab.value("document.querySelector('.history .mark').textContent") == "rejected"
    tab.loads(lambda: tab.value("document.querySelector('button[value=up]').click()"))
    assert "thumbs = true" in tab.value("document.querySelector('.history').textContent")
    assert [text for text in tab.complaints if "Security Policy" in text] == []


def test_answers_are_corrected_with_the_keyboard_alone(tab: Tab, site_url: str) -> None:
    tab.open(f"{site_url}/review/calls/{id_of(4)}")
    tab.press("c", *"So: ")
    tab.press("Tab", "Tab", *"ada", "Tab")
    assert tab.value("document.activeElement.value") == "answer"
    tab.value("document.querySelector('textarea[name=text]').focus()")
    pressed = {"type": "keyDown", "key": "Enter", "windowsVirtualKeyCode": 13, "modifiers": 2}
    tab.loads(lambda: tab.ask("Input.dispatchKeyEvent", **pressed))
    assert tab.value("document.querySelector('.history ins').textContent").startswith("So:")
    assert "ada" in tab.value("document.querySelector('.history').textContent")
    tab.loads(lambda: tab.press("j"))
    assert id_of(3) in tab.value("location.pathname")
    assert tab.value("document.querySelector('input[name=author]').value") == "ada"
