"""What the page of `bloomnet export --web` loads, and its time for a chunk at every depth.

In headless Chromium, which has to be installed, and playwright.
"""

import shutil
import tempfile
import threading
import warnings
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from options import parser_of

WAIT_MS = 180_000


class Counting(SimpleHTTPRequestHandler):
    """Serves a folder and, in `sizes`, keeps how many bytes each file took."""

    sizes: dict[str, int] = {}

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def copyfile(self, source, outputfile) -> None:
        """Send a file."""
        super().copyfile(source, outputfile)
        self.sizes[self.path] = source.tell()


def main() -> None:
    """Export, serve, and print what the page measures when its button is pressed."""
    parser = parser_of(__doc__, source="convtasnet-causal-16k")
    parser.add_argument("--int8", action="store_true", help="weights of 8 bits")
    parser.add_argument("--runtime", help="the archive of onnxruntime-web")
    options = parser.parse_args()

    from bloomnet_sb import BloomEnhancer
    from bloomnet_sb.web.export import export_web

    enhancer = BloomEnhancer.from_hparams(source=options.source)
    with tempfile.TemporaryDirectory() as temporary:
        page = Path(temporary) / "page"
        model, rate = enhancer.mods.model, enhancer.sample_rate
        export_web(model, rate, page, options.int8, options.source, options.runtime)
        caption, rows = measured(page)
    sizes = Counting.sizes
    runtime = sum(size for path, size in sizes.items() if path.startswith("/runtime/"))
    network = sum(size for path, size in sizes.items() if path.startswith("/network/"))
    rest = sum(sizes.values()) - runtime - network
    print("| loaded | MB |\n| --- | --- |")
    for name, size in (("onnxruntime-web", runtime), ("network", network), ("page", rest)):
        print(f"| {name} | {size / 1e6:.2f} |")
    print(f"\n{caption}:\n\n| blocks | median, ms | 95 %, ms | of its length |")
    print("| --- | --- | --- | --- |")
    for row in rows:
        print(f"| {' | '.join(row)} |")


def measured(page: Path) -> tuple[str, list[list[str]]]:
    """The caption and the cells of the page's own table."""
    from playwright.sync_api import expect, sync_playwright

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Counting, directory=page))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with sync_playwright() as session:
        chromium = session.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        opened = chromium.new_page()
        opened.goto(f"http://localhost:{server.server_port}/")
        expect(opened.locator("#status")).to_have_text("Ready", timeout=WAIT_MS)
        opened.locator("#measure").click()
        expect(opened.locator("#times")).to_be_visible(timeout=WAIT_MS)
        rows = [row.locator("th, td").all_inner_texts() for row in opened.locator("tbody tr").all()]
        caption = opened.locator("#times caption").inner_text()
        chromium.close()
    server.shutdown()
    return caption, rows


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    main()
