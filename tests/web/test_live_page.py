"""The exported page in a browser, with a file in place of the microphone."""

import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from bloomnet_sb.streaming.onnx_stream import OnnxEngine
from bloomnet_sb.streaming.resampled_stream import ResampledStream
from tests.helpers.pages import check_colour_schemes, demo
from tests.helpers.web import RATE, page

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no browser (the command chromium)"),
    pytest.mark.xdist_group("export"),
]
LINE_ON_SECURITY = "A microphone needs a secure page: serve this one from localhost or by https."
LINE_ON_FILES = (
    "This page must be served from localhost or by https; opened from a file it cannot run."
)

# What is heard but for the bypass; how fast this machine is at the time is not what is tested.
ENHANCED = re.compile("^(the enhanced signal|the noisy signal: the network is late)$")

# What the page makes and asks for is kept, to be looked at.
SPY = """
window.asked = [];
window.gains = [];
if (navigator.mediaDevices) {
  const getUserMedia = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    window.asked.push(constraints.audio);
    const stream = await getUserMedia(constraints);
    window.tracks = stream.getAudioTracks();
    return stream;
  };
}
window.GainNode = class extends GainNode {
  constructor(...options) {
    super(...options);
    window.gains.push(this);
  }
};
"""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder: Path) -> Iterator[int]:
    """The port of a server such as that of `python -m http.server`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def port():
    with served(page("BandRNN")) as port:
        yield port


@pytest.fixture(scope="module")
def spoken(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("spoken") / "noisy.wav"
    sf.write(path, np.tile(demo("noisy", 5.0).numpy(), 6), RATE, "PCM_16")
    return path


@pytest.fixture(scope="module")
def browser(spoken):
    # As root, and in a container, Chromium has no sandbox.
    arguments = [
        "--no-sandbox", "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={spoken}%noloop",
        "--host-resolver-rules=MAP plain.test 127.0.0.1",
    ]  # fmt: skip
    with playwright.sync_playwright() as session:
        chromium = session.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def visit(browser):
    """Opens a page, which may have no errors."""
    opened = []

    def open_page(address: str, **options):
        page = browser.new_context(**options).new_page()
        troubles: list[str] = []
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.on("console", lambda message: troubles.append(message.text))
        page.add_init_script(SPY)
        page.goto(address)
        opened.append((page, troubles))
        return page

    yield open_page
    for visited, troubles in opened:
        visited.context.close()
        assert troubles == []


def wait_for(page, element: str, text: str | re.Pattern) -> None:
    playwright.expect(page.locator(element)).to_contain_text(text, timeout=30_000)


def wait_until(page, expression: str) -> None:
    """Playwright's own way, wait_for_function, is refused by the page's security policy."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never: {expression}")


def downloaded(page, name: str) -> Path:
    with page.expect_download() as waiting:
        page.get_by_role("link", name=name).click()
    return waiting.value.path()


def pythons(record: Path, signal: np.ndarray, changes: list[dict]) -> np.ndarray:
    """What Python's stream makes of a recorder's input, with its changes."""
    rate = json.loads(record.read_text())["sample_rate"]
    engine = OnnxEngine(page("BandRNN") / "network")
    stream = ResampledStream(engine, RATE, rate, blocks=changes[0]["blocks"])
    stream.strength = changes[0]["strength"]
    stream.attenuation_limit_db = changes[0]["limitDb"]
    pieces = []
    ends = [change["at"] for change in changes[1:]] + [len(signal)]
    for change, end in zip(changes, ends, strict=True):
        stream.blocks, stream.strength = change["blocks"], change["strength"]
        stream.attenuation_limit_db = change["limitDb"]
        pieces.append(stream.process(signal[change["at"] : end]))
    return np.concatenate([*pieces, stream.flush()])


def test_a_microphone_is_enhanced_as_python_would(visit, port):
    page = visit(f"http://localhost:{port}/")
    wait_for(page, "#status", "Ready")
    assert page.evaluate("crossOriginIsolated") is False
    assert page.get_by_role("alert").is_hidden()
    page.get_by_role("button", name="Start the microphone").click()
    wait_for(page, "#time", "ms of 1")
    off = {"echoCancellation": False, "noiseSuppression": False, "autoGainControl": False}
    assert page.evaluate("asked") == [{**off, "channelCount": 1}]
    assert page.locator("#settings").is_hidden()  # the browser says that all are off
    # Nothing is heard until headphones are confirmed.
    wait_for(page, "#heard", "nothing, until headphones are confirmed")
    assert page.evaluate("gains.map((node) => node.gain.value)") == [0]
    page.get_by_role("checkbox", name="I wear headphones").check()
    wait_for(page, "#heard", ENHANCED)
    wait_until(page, "gains[0].gain.value > 0.99")
    page.get_by_role("button", name="Record", exact=True).click()
    wait_until(page, "parseFloat(recorded.textContent) >= 0.5")
    page.get_by_role("slider", name="Depth").fill("1")
    wait_until(page, "parseFloat(recorded.textContent) >= 1")
    page.get_by_role("slider", name="Strength").fill("80")
    page.get_by_role("slider", name="At most taken away").fill("12")
    page.get_by_role("slider", name="Depth").fill("2")
    wait_until(page, "parseFloat(recorded.textContent) >= 3")
    playwright.expect(page.locator("#blocks")).to_have_text("2 of 2 blocks", timeout=30_000)
    page.get_by_role("button", name="Stop recording").click()
    wait_for(page, "#recorded", "s recorded")
    (noisy, rate), (enhanced, _) = (
        sf.read(downloaded(page, f"{name}.wav"), dtype="float32") for name in ("input", "output")
    )
    record = downloaded(page, "changes.json")
    changes = json.loads(record.read_text())["changes"]
    assert len(noisy) == len(enhanced) and abs(noisy).max() > 0.05
    settings = [(c["blocks"], c["strength"], c["limitDb"]) for c in changes]
    assert (1, 1, None) in settings and settings[-1] == (2, pytest.approx(0.8), 12)
    expected = pythons(record, noisy, changes)
    np.testing.assert_allclose(enhanced, expected, atol=1e-3)
    assert abs(expected - noisy).max() > 0.01
    page.get_by_role("button", name="Stop", exact=True).click()
    wait_for(page, "#status", "Ready")


def test_a_recording_plays_and_is_measured(visit, port, spoken):
    page = visit(f"http://localhost:{port}/")
    wait_for(page, "#status", "Ready")
    page.get_by_label("or a file").set_input_files(spoken)
    wait_for(page, "#heard", ENHANCED)
    page.get_by_role("checkbox", name="Noisy, for comparison").check()
    wait_for(page, "#heard", re.compile("^the noisy signal$"))
    wait_for(page, "#delay", " here, ")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.get_by_role("button", name="Measure each depth here").click()
    playwright.expect(page.locator("#times tbody tr")).to_have_count(2, timeout=30_000)


def test_without_the_worker_the_sound_is_only_delayed(visit, port):
    page = visit(f"http://localhost:{port}/")
    left, right = np.random.default_rng(0).uniform(-1, 1, (2, 8192)).astype(np.float32)
    rendered = page.evaluate(
        """async ([left, right]) => {
          const context = new OfflineAudioContext(1, left.length, 44100);
          await context.audioWorklet.addModule("worklet.mjs");
          const node = new AudioWorkletNode(context, "live", {
            outputChannelCount: [1], channelCount: 1, channelCountMode: "explicit",
            processorOptions: { chunk: 512, delay: 1000, fade: 200 },
          });
          const buffer = context.createBuffer(2, left.length, 44100);
          const channels = [left, right].map((samples) => Float32Array.from(samples));
          channels.forEach((samples, n) => buffer.copyToChannel(samples, n));
          const source = new AudioBufferSourceNode(context, { buffer });
          source.connect(node).connect(context.destination);
          source.start();
          return [...(await context.startRendering()).getChannelData(0)];
        }""",
        [left.tolist(), right.tolist()],
    )
    assert not any(rendered[:1000])
    np.testing.assert_allclose(rendered[1000:], ((left + right) / 2)[:-1000], atol=1e-6)


def test_a_microphone_that_is_unplugged_ends_it(visit, port):
    page = visit(f"http://localhost:{port}/")
    wait_for(page, "#status", "Ready")
    page.get_by_role("button", name="Start the microphone").click()
    wait_for(page, "#time", "ms of 1")
    page.evaluate("tracks[0].dispatchEvent(new Event('ended'))")
    wait_for(page, "#trouble", "The microphone is gone.")
    wait_for(page, "#status", "Ready")
    # And it may be started again.
    page.get_by_role("button", name="Start the microphone").click()
    wait_for(page, "#time", "ms of 1")
    assert page.get_by_role("alert").is_hidden()


ASKED_FIRST = """
const ask = navigator.mediaDevices.getUserMedia;
navigator.mediaDevices.getUserMedia = async (constraints) => {
  await new Promise((allow) => { window.allow = allow; });
  return ask(constraints);
};
"""


def test_what_is_chosen_while_the_browser_asks_is_what_runs(visit, port):
    page = visit(f"http://localhost:{port}/")
    wait_for(page, "#status", "Ready")
    page.evaluate(f"() => {{ {ASKED_FIRST} }}")
    page.get_by_role("checkbox", name="I wear headphones").check()
    page.get_by_role("button", name="Start the microphone").click()
    wait_until(page, "window.allow !== undefined")
    page.get_by_role("checkbox", name="Noisy, for comparison").check()
    page.get_by_role("slider", name="Depth").fill("1")
    page.evaluate("allow()")
    wait_for(page, "#heard", re.compile("^the noisy signal$"))
    playwright.expect(page.locator("#blocks")).to_have_text("1 of 2 blocks", timeout=30_000)


def test_a_microphone_that_is_refused_is_said(visit, port):
    page = visit(f"http://localhost:{port}/")
    wait_for(page, "#status", "Ready")
    refuse = "async () => { throw new Error('Permission denied'); }"
    page.evaluate(f"void (navigator.mediaDevices.getUserMedia = {refuse})")
    page.get_by_role("button", name="Start the microphone").click()
    wait_for(page, "#trouble", "The microphone cannot be used: Permission denied.")
    wait_for(page, "#status", "Ready")


def test_what_is_no_sound_is_said(visit, port, tmp_path):
    (tmp_path / "notes.wav").write_text("no sound")
    page = visit(f"http://localhost:{port}/")
    wait_for(page, "#status", "Ready")
    page.get_by_label("or a file").set_input_files(tmp_path / "notes.wav")
    wait_for(page, "#trouble", "notes.wav: this browser cannot decode it")
    assert page.get_by_role("button", name="Start the microphone").is_enabled()


def test_a_secure_page_is_asked_for(visit, port):
    page = visit(f"http://plain.test:{port}/")
    wait_for(page, "#trouble", LINE_ON_SECURITY)
    assert page.get_by_role("button", name="Start the microphone").is_disabled()


def test_opened_from_the_disk_it_says_what_it_needs(browser):
    opened = browser.new_page()
    opened.goto((page("BandRNN") / "index.html").as_uri())
    assert opened.get_by_role("alert").inner_text() == LINE_ON_FILES
    opened.close()


@pytest.mark.parametrize("controls", [["strength"], ["depth", "auto", "limit"]])
def test_controls_that_the_network_has_no_use_for_are_left_out(visit, port, browser, controls):
    about = json.loads((page("BandRNN") / "web.json").read_text())
    opened = browser.new_context().new_page()
    opened.route("**/web.json", lambda route: route.fulfill(json={**about, "controls": controls}))
    opened.goto(f"http://localhost:{port}/")
    wait_for(opened, "#status", "Ready")
    shown = [
        name
        for name in ("depth", "auto", "strength", "limit")
        if opened.locator(f"#{name}").is_visible()
    ]
    assert shown == controls
    opened.context.close()


def test_a_phone(visit, port):
    page = visit(f"http://localhost:{port}/", viewport={"width": 360, "height": 740})
    wait_for(page, "#status", "Ready")
    wide = (
        "[...document.querySelectorAll('*')].filter((e) => e.getBoundingClientRect().right > 360)"
    )
    assert page.evaluate(f"{wide}.map((e) => e.outerHTML.slice(0, 80))") == []
    check_colour_schemes(page)
