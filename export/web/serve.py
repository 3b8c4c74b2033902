"""``python -m edgedeblur.export.web.serve DIR``: the site on this machine, with threads."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

# Browsers give pages shared memory, which threads need, only where these are set.
ISOLATION = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}


class SiteHandler(SimpleHTTPRequestHandler):
    """Files of one folder, each with the headers that isolate the page."""

    isolated = True

    def end_headers(self) -> None:
        """Add the headers to every answer."""
        for name, value in ISOLATION.items() if self.isolated else ():
            self.send_header(name, value)
        super().end_headers()


def main(argv: list[str] | None = None) -> int:
    """Serve until interrupted; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m edgedeblur.export.web.serve",
        description="Serve a folder that deblur-export --web wrote, on this machine only.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR")
    parser.add_argument("--port", type=int, default=8000, help="(default: 8000; 0: any free one)")
    arguments = parser.parse_args(argv)
    if not (arguments.folder / "index.html").is_file():
        sys.stderr.write(
            f"{parser.prog}: error: {arguments.folder} has no index.html; write the site with "
            "deblur-export --web\n"
        )
        return 1
    handler = partial(SiteHandler, directory=str(arguments.folder))
    try:
        server = ThreadingHTTPServer(("127.0.0.1", arguments.port), handler)
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"{parser.prog}: error: port {arguments.port}: {error}; try --port 0\n")
        return 1
    with server:
        sys.stdout.write(f"http://127.0.0.1:{server.server_port}/ (Ctrl+C ends it)\n")
        sys.stdout.flush()
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
