"""A hub on this machine: an HTTP server with models and data sets of the test's, which fails when it is told to.

It answers what huggingface_hub asks (HF_ENDPOINT points to it): what a repository is and holds, and its files.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

COMMIT = "5" * 40
#: Longer than the client waits, see `environment`.
STALL_SECONDS = 4.0
CLIENT_SECONDS = 1


@dataclass
class Fault:
    """What happens to requests whose `METHOD /path` matches. how: a status code, `stall` or `half`. times: how often; None: always."""

    matching: str
    how: int | str
    times: int | None = None
    retry_after: int | None = None
    met: int = 0

    def strikes(self, request: str) -> bool:
        """Whether it meets this request; counts it."""
        if re.search(self.matching, request) is None or (self.times is not None and self.met >= self.times):
            return False
        self.met += 1
        return True


@dataclass
class Hub:
    """The server's repositories (`models/<owner>/<name>` or `datasets/<owner>/<name>` to folder), faults, and what it was asked."""

    folders: dict[str, Path]
    faults: list[Fault] = field(default_factory=list)
    asked: Counter[str] = field(default_factory=Counter)
    address: str = ""

    def environment(self, home: Path) -> dict[str, str]:
        """What makes huggingface_hub and its like ask this hub, with an empty cache in `home` and little patience."""
        seconds = str(CLIENT_SECONDS)
        return {
            "HF_ENDPOINT": self.address, "HF_HOME": str(home), "HF_HUB_OFFLINE": "0", "HF_HUB_ETAG_TIMEOUT": seconds, "HF_HUB_DOWNLOAD_TIMEOUT": seconds,
            "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
        }  # fmt: skip


@contextmanager
def hub(folders: dict[str, Path]) -> Iterator[Hub]:
    """The server while this holds, on a port of this machine."""
    served = Hub(folders)

    class Handler(_Handler):
        hub = served

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    served.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """The test reads `asked` instead."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer()

    def _answer(self) -> None:
        request = f"{self.command} {self.path}"
        self.hub.asked[request] += 1
        fault = next((fault for fault in self.hub.faults if fault.strikes(request)), None)
        if fault is not None and isinstance(fault.how, int):
            self._send(fault.how, b"the test says so", {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)})
            return
        if fault is not None and fault.how == "stall":
            time.sleep(STALL_SECONDS)
        self._serve(half=fault is not None and fault.how == "half")

    def _serve(self, half: bool) -> None:
        path = self.path.partition("?")[0]
        api = re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/(revision|tree|paths-info)/[^/]+(?:/(.*))?)?", path)
        file = re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/[^/]+/(.+)", path)
        if api is not None:
            folder = self.hub.folders.get(f"{api[1]}/{api[2]}")
            if folder is not None and api[3] in (None, "revision", "tree"):
                below = folder / (api[4] or "")
                listed = below.rglob("*") if api[3] != "tree" or "recursive=true" in self.path else below.glob("*")
                entries = [_entry(each, folder) for each in sorted(listed)]
                siblings = [{"rfilename": entry["path"]} for entry in entries if entry["type"] == "file"]
                info = {"id": api[2], "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}
                self._send(200, json.dumps(entries if api[3] == "tree" else info).encode(), {"Content-Type": "application/json"})
                return
        if file is not None:
            folder = self.hub.folders.get(f"{'datasets' if file[1] else 'models'}/{file[2]}")
            if folder is not None and (folder / file[3]).is_file():
                content = (folder / file[3]).read_bytes()
                self._send(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{hashlib.sha256(content).hexdigest()}"'}, half)
                return
        self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": COMMIT})

    def _send(self, status: int, content: bytes, headers: dict[str, str], half: bool = False) -> None:
        try:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content[: len(content) // 2] if half else content)
        except (BrokenPipeError, ConnectionResetError):  # who asked has lost patience
            self.close_connection = True
        if half:
            self.close_connection = True


def _entry(path: Path, folder: Path) -> dict[str, Any]:
    if path.is_dir():
        return {"type": "directory", "path": str(path.relative_to(folder)), "oid": COMMIT}
    content = path.read_bytes()
    return {"type": "file", "path": str(path.relative_to(folder)), "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
