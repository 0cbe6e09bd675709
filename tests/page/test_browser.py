"""The page in a browser, opened from the disk."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from bloomnet_sb.page import html
from bloomnet_sb.page.html import write_page
from bloomnet_sb.page.recordings import make_recording
from tests.helpers.pages import RATE, check_colour_schemes, data_of, demo, demo_page, sound_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no browser (the command chromium)"),
    pytest.mark.xdist_group("browser"),
]


@pytest.fixture(scope="module")
def browser():
    # As root, and in a container, Chromium has no sandbox.
    with playwright.sync_playwright() as session:
        chromium = session.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "page.html"
    demo_page(path)
    return path


@pytest.fixture
def visit(browser):
    """Opens a page; it may ask for nothing, and have no errors."""
    opened = []

    def open_page(path: Path, script: str = "", **options):
        page = browser.new_context(**options).new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text))
        page.on("request", lambda request: troubles.append(request.url))
        page.add_init_script(script)
        page.goto(path.as_uri())
        opened.append((page, troubles))
        return page

    yield open_page
    for page, troubles in opened:
        asked = [trouble for trouble in troubles if not trouble.startswith("data:")]
        assert asked == [page.url]
        page.context.close()


def wait_until(page, expression: str) -> None:
    """Playwright's own way, wait_for_function, is refused by the page's security policy."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {expression}")


def wait_for_place(page, least: float) -> None:
    wait_until(page, f"player.playing && player.place > {least}")


def test_it_plays_from_the_disk_and_switches_while_it_does(visit, file):
    page = visit(file)
    assert page.inner_text("#status") == "Paused: noisy"
    page.get_by_role("button", name="Play").click()
    wait_for_place(page, 0.1)
    page.keyboard.press("2")
    assert page.inner_text("#status") == "Playing: 2 blocks"
    assert page.get_by_role("radio", name="2 blocks").is_checked()
    started = page.evaluate("player.since")
    page.get_by_role("radio", name="3 blocks").check()
    page.keyboard.press("9")
    assert page.inner_text("#status") == "Playing: clean"
    # It is the same start of all tracks, which went on.
    assert page.evaluate("player.since") == started
    wait_for_place(page, 0.3)
    # The fade of the last switch ends some time.
    wait_until(page, "player.tracks.nodes.map((node) => node.gain.value).join() === '0,0,0,0,1'")
    page.locator("body").press(" ")
    assert page.inner_text("#status") == "Paused: clean"
    place = page.evaluate("player.place")
    assert 0.3 < place <= 1.5
    page.get_by_role("radio", name="another street").check()
    assert page.inner_text("#status") == "Paused: noisy"
    assert page.evaluate("player.place") == 0


def test_it_ends_where_it_is_not_to_repeat(visit, file):
    page = visit(file)
    page.get_by_role("checkbox", name="Repeat").uncheck()
    page.get_by_role("slider").fill("1.4")
    page.locator("body").press(" ")
    wait_until(page, "!player.playing && player.place === 0")
    assert page.inner_text("#play") == "Play"


# Each is begun at a time; the third while the second's fade is under way.
SWITCHES = [(0.3, 1), (0.5, 2), (0.504, 4), (0.6, 0), (0.9, 3)]


def expected_gains(count: int) -> np.ndarray:
    """[tracks, samples] by hand: straight lines of 10 ms, from wherever the gain is."""
    gains = np.zeros((count, RATE))
    gains[0] = 1
    for start, heard in SWITCHES:
        first, length = round(start * RATE), RATE // 100
        before = gains[:, first].copy()
        after = np.eye(count)[heard]
        share = np.minimum(np.arange(RATE - first) / length, 1)
        gains[:, first:] = before[:, None] + (after - before)[:, None] * share
    return gains


def test_no_sample_is_lost_at_a_switch(visit, file):
    page = visit(file)
    rendered = page.evaluate(
        """async ([rate, switches]) => {
          const context = new OfflineAudioContext(1, rate, rate);
          const buffers = await decodeAll(context, PAGE.recordings[0].tracks);
          const only = (heard) => gainsOf(PAGE.recordings[0].tracks, heard, true);
          const tracks = new Tracks(context, buffers, only(0), 0, 0.25, false);
          switches.forEach(([time, heard]) => tracks.fadeTo(only(heard), time));
          return [...(await context.startRendering()).getChannelData(0)];
        }""",
        [RATE, SWITCHES],
    )
    tracks = data_of(file)["recordings"][0]["tracks"]
    signals = np.stack([sound_of(track)[0] for track in tracks])
    signals = signals[:, RATE // 4 : RATE // 4 + RATE]
    expected = (expected_gains(len(tracks)) * signals).sum(0)
    expected[: RATE // 100] *= np.arange(RATE // 100) / (RATE // 100)  # it fades in
    np.testing.assert_allclose(rendered, expected, atol=1e-4)


def test_equal_loudness_is_switched_off(visit, file):
    page = visit(file)
    page.keyboard.press("3")
    assert page.evaluate("player.gains") == [0, 0, 0, 1, 0]
    page.get_by_role("checkbox", name="Equal loudness").uncheck()
    offset = data_of(file)["recordings"][0]["tracks"][3]["offsetDb"]
    assert page.evaluate("player.gains[3]") == pytest.approx(10 ** (-offset / 20))
    caption = page.locator(".track:visible", has_text="3 blocks")
    assert f"{offset:+.1f} dB" in caption.inner_text()


def test_a_blind_test(visit, file):
    page = visit(file)
    page.get_by_role("checkbox", name="Equal loudness").uncheck()
    page.get_by_label("A", exact=True).select_option("1 block")
    page.get_by_label("B", exact=True).select_option("1 block")
    page.get_by_role("button", name="Start the test").click()
    assert page.inner_text("#abx-status") == "Choose two tracks that differ."
    page.get_by_label("B", exact=True).select_option("clean")
    page.get_by_label("Trials").select_option("5")
    page.get_by_role("button", name="Start the test").click()
    wait_until(page, "player.playing")
    for trial in range(1, 6):
        assert page.inner_text("#abx-status") == f"Trial {trial} of 5."
        assert page.inner_text("#status") == "Playing: X"
        assert page.locator(".tracks input:visible").count() == 0
        assert page.locator("input[type=radio]:enabled:visible").count() == 0
        is_a = page.evaluate("state.test.isA[state.test.answers.length]")
        heard = {"a": [0, 1, 0, 0, 0], "b": [0, 0, 0, 0, 1]}
        heard["x"] = heard["a" if is_a else "b"]
        for key, gains in heard.items():
            page.keyboard.press(key)
            page.keyboard.press("0")  # would not be blind
            assert page.evaluate("player.gains") == gains
            assert page.inner_text("#status") == f"Playing: {key.upper()}"
        answer = is_a if trial < 5 else not is_a
        page.get_by_role("button", name="X is A" if answer else "X is B").click()
    assert page.inner_text("#abx-status") == (
        "1 block and clean: 4 of 5 right. Guessing gives as many or more in 19 % of tests "
        "(binomial, one-sided: p = 0.19)."
    )
    assert page.inner_text("#status") == "Playing: noisy"


def test_what_a_browser_cannot_decode_is_said(visit, file):
    page = visit(file, "AudioContext.prototype.decodeAudioData = () => Promise.reject();")
    alert = page.get_by_role("alert")
    assert "cannot decode FLAC" in alert.inner_text()
    page.get_by_role("button", name="Play").click()
    assert page.inner_text("#play") == "Play"


def test_opus_is_decoded_to_one_length(visit, tmp_path, monkeypatch):
    monkeypatch.setattr(html, "MOST_BYTES", 400_000)
    demo_page(tmp_path / "page.html")
    page = visit(tmp_path / "page.html")
    assert page.evaluate("ready") is True
    lengths = page.evaluate("player.buffers.map((buffer) => buffer.duration)")
    assert len(lengths) == 5 and set(lengths) == {lengths[0]}
    assert lengths[0] == pytest.approx(1.5, abs=0.01)


def test_a_phone(visit, file):
    page = visit(file, viewport={"width": 360, "height": 740}, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    check_colour_schemes(page)
    page.get_by_role("button", name="Play").tap()
    page.locator(".track:visible", has_text="2 blocks").locator(".picture").tap()
    assert page.inner_text("#status") == "Playing: 2 blocks"
    wait_for_place(page, 0.75)


def test_everything_is_reached_by_the_keyboard_and_has_a_name(visit, file):
    page = visit(file)
    reached = set()
    for _ in range(16):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.name"))
    ids = {"play", "position", "equal", "loop", "keys", "abx-a", "abx-b", "abx-trials", "abx-start"}
    assert ids | {"recording", "track-0"} <= reached
    tree = page.locator("body").aria_snapshot()
    assert 'radio "3 blocks , played' in tree or 'radio "3 blocks, played' in tree
    assert 'slider "Position, in seconds"' in tree
    page.get_by_role("radio", name="noisy").focus()
    page.keyboard.press("ArrowDown")
    assert page.inner_text("#status") == "Paused: 1 block"


def test_the_next_network(visit, tmp_path):
    networks = [html.Network(name, []) for name in ("small", "large")]
    estimates = [{n: demo("noisy")[:, None] / n for n in depths} for depths in ((1, 2), (1, 2, 3))]
    recording = make_recording("street", RATE, demo("noisy"), estimates)
    write_page([recording], networks, tmp_path / "page.html", "Two networks")
    page = visit(tmp_path / "page.html")
    said = []
    for key in "2n3n":
        page.keyboard.press(key)
        said.append(page.inner_text("#status"))
    depths = ["small, 2 blocks", "large, 2 blocks", "large, 3 blocks", "small, 2 blocks"]
    assert said == [f"Paused: {depth}" for depth in depths]
