# SPDX-License-Identifier: GPL-3.0-or-later
"""A hub of the test's own: what huggingface_hub asks one for, from a folder, and what hubs do wrong."""

import hashlib
import json
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
LARGE = {".safetensors", ".bin"}
"""Ends of the names of files that lie on the other server, as large files do."""


class LocalHub:
    """What the server has, and what it does wrong.

    Attributes:
        folder: of the repository ``name``.
        status: path of a file, or ``api``, to the HTTP status that it is refused with.
        error_code: what the hub calls that refusal in ``X-Error-Code``.
        cuts: path of a file to after how many bytes the connection breaks off, one time for each number.
        before: called with the path before each answer with bytes.
        lies: path of a file to the bytes that are sent in the place of its own.
        unlisted: files that are served and not listed.
        asked: (server, method, path, headers) of all requests.
        tags: of the repository, such as that of its licence.
    """

    def __init__(self, folder: Path, name: str = "someone/tiny"):
        self.folder = folder
        self.name = name
        self.status: dict[str, int] = {}
        self.error_code = ""
        self.cuts: dict[str, list[int]] = {}
        self.lies: dict[str, bytes] = {}
        self.before: Callable[[str], None] = lambda path: None
        self.asked: list[tuple[str, str, str, dict[str, str]]] = []
        self.tags: list[str] = []
        self.address = self.cdn = ""

    def sent(self) -> list[tuple[str, str]]:
        """The files that were asked for by their bytes, and from which one on."""
        wanted = [
            (path, headers.get("Range", "")) for _, method, path, headers in self.asked if method == "GET"
        ]
        return [(path.rpartition(COMMIT + "/")[2], begin) for path, begin in wanted if "/resolve/" in path]

    def listing(self) -> dict:
        """What the hub's interface tells of the repository."""
        siblings = []
        for path in sorted(self.folder.rglob("*")):
            if path.is_file():
                content = path.read_bytes()
                git = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
                told = {"rfilename": path.relative_to(self.folder).as_posix(), "size": len(content)}
                told |= {"blobId": git}
                if path.suffix in LARGE:
                    sha256 = hashlib.sha256(content).hexdigest()
                    told["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 134}
                siblings.append(told)
        return {"_id": "1", "id": self.name, "modelId": self.name, "sha": COMMIT, "tags": self.tags} | {
            "siblings": siblings
        }

    def etag(self, path: str) -> str:
        """What the hub calls the content of a file."""
        return next(
            each.get("lfs", {}).get("sha256") or each["blobId"]
            for each in self.listing()["siblings"]
            if each["rfilename"] == path
        )


def lay_out(folder: Path, size: int = 3_000_000) -> Path:
    """A repository of the class of ZeroScope whose weights are no weights: for downloads alone."""
    index: dict[str, object] = {"_class_name": "TextToVideoSDPipeline"}
    stem = "diffusion_pytorch_model"
    for part, name in (("unet", stem), ("vae", stem), ("text_encoder", "model")):
        (folder / part).mkdir(parents=True)
        (folder / part / "config.json").write_text("{}")
        (folder / part / f"{name}.safetensors").write_bytes(random.Random(part).randbytes(size))
        index[part] = ["diffusers", "X"]
    (folder / "model_index.json").write_text(json.dumps(index))
    return folder


def _handler(hub: LocalHub, server: str):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def do_HEAD(self):
            self._answer("HEAD")

        def do_GET(self):
            self._answer("GET")

        def _answer(self, method: str) -> None:
            where = unquote(urlsplit(self.path).path)
            hub.asked.append((server, method, where, dict(self.headers)))
            path = where.rpartition(COMMIT + "/")[2] if "/resolve/" in where else "api"
            if status := hub.status.get(path):
                self._refuse(status)
            elif path == "api":
                known = where.startswith(f"/api/models/{hub.name}")
                self._send(json.dumps(hub.listing()).encode()) if known else self._refuse(404)
            elif not (hub.folder / path).is_file():
                self._refuse(404, "EntryNotFound")
            elif server == "hub" and Path(path).suffix in LARGE:
                self._redirect(path)
            else:
                self._send_file(method, path)

        def _refuse(self, status: int, code: str = "") -> None:
            self.send_response(status)
            if code or hub.error_code:
                self.send_header("X-Error-Code", code or hub.error_code)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _describe(self, path: str) -> None:
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("ETag", f'"{hub.etag(path)}"')

        def _redirect(self, path: str) -> None:
            self.send_response(302)
            self._describe(path)
            self.send_header("X-Linked-ETag", f'"{hub.etag(path)}"')
            self.send_header("X-Linked-Size", str((hub.folder / path).stat().st_size))
            self.send_header("Location", hub.cdn + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def _send(self, content: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _send_file(self, method: str, path: str) -> None:
            content = hub.lies.get(path) or (hub.folder / path).read_bytes()
            begin = int(self.headers.get("Range", "bytes=0-")[6:].split("-")[0])
            self.send_response(206 if "Range" in self.headers else 200)
            self._describe(path)
            if "Range" in self.headers:
                self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - begin))
            self.end_headers()
            if method == "HEAD":
                return
            hub.before(path)
            if cut := hub.cuts.get(path):
                self.wfile.write(content[begin : max(begin, cut.pop(0))])
                self.close_connection = True
                return
            self.wfile.write(content[begin:])

    return Handler


@contextmanager
def serving(hub: LocalHub) -> Iterator[LocalHub]:
    """Serve it on two addresses of this machine: the hub's, and that of its large files."""
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub, name)) for name in ("hub", "cdn")]
    hub.address = f"http://127.0.0.1:{servers[0].server_port}"
    hub.cdn = f"http://localhost:{servers[1].server_port}"
    threads = [threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield hub
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
