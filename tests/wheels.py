# SPDX-License-Identifier: GPL-3.0-or-later
"""A package index of tiny wheels, for a real pip: what the set-up installs without gigabytes."""

import hashlib
import os
import threading
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

TORCH = """
__version__ = "{version}"
class cuda:
    is_available = staticmethod(lambda: {cuda})
    get_device_name = staticmethod(lambda: "a card")
class backends:
    class mps:
        is_available = staticmethod(lambda: False)
"""
OTHERS = (
    "diffusers", "transformers", "accelerate", "safetensors", "numpy", "imageio", "imageio_ffmpeg",
    "pydantic", "rich", "typer",
)  # fmt: skip


def write(folder: Path, name: str, version: str, code: str = "", megabytes: int = 0, needs: str = "") -> Path:
    """Write a wheel of one module, and of some megabytes that cannot be compressed.

    Args:
        folder: that it is written into.
        name: of the package and its module.
        version: its own.
        code: of the module.
        megabytes: its size.
        needs: a package that it asks for.
    """
    folder.mkdir(parents=True, exist_ok=True)
    about = f"{name}-{version}.dist-info"
    path = folder / f"{name}-{version}-py3-none-any.whl"
    files = {
        f"{name}.py": code.encode(),
        f"{name}_data.bin": os.urandom(megabytes << 20),
        f"{about}/METADATA": "\n".join(
            ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
            + ([f"Requires-Dist: {needs}"] if needs else [])
        ).encode(),
        f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{about}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in {**files, f"{about}/RECORD": record.encode()}.items():
            wheel.writestr(file, content)
    return path


def entry(file: Path, equals: str = "==") -> str:
    """A lock's entry for the package in a file."""
    name, version = file.name.removesuffix(".tar.gz").split("-")[:2]
    return f"{name}{equals}{version} --hash=sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}\n"


def lock(wheels: Path, folder: Path) -> Path:
    """Write the locks of what :func:`engine` wrote, as the extension has them."""
    folder.mkdir(parents=True, exist_ok=True)
    files = {path.name.rpartition("-py3")[0]: path for path in wheels.iterdir()}
    texts = {
        "engine": "".join(entry(files[f"{name}-1.0"]) for name in OTHERS),
        "torch": entry(files["torch-2.13.0"], "==="),
        "torch-cpu": entry(files["torch-2.13.0+cpu"]),
        "pip": f"pip==99 --hash=sha256:{'0' * 64}\n",  # which the index does not have
    }
    for name, text in texts.items():
        (folder / f"{name}.txt").write_text(text)
    return folder


def engine(folder: Path, megabytes: int = 0) -> Path:
    """Write wheels of all that the engine is checked for: torch's builds for CPUs and for CUDA."""
    for version, cuda in (("2.13.0+cpu", False), ("2.13.0", True)):
        write(folder, "torch", version, TORCH.format(version=version, cuda=cuda), megabytes)
    for name in OTHERS:
        write(folder, name, "1.0")
    return folder


class Server(ThreadingHTTPServer):
    """Serves a folder of wheels as a package index, and can get stuck or hang up.

    Attributes:
        stuck: set once it is: it has sent half of a file, and sends no more of it.
        sent: the names of the files that it has sent whole.
        hangs_up: whether it ends the connection in the middle of each file.
    """

    daemon_threads = True

    def __init__(self, folder: Path, stuck_at: str = ""):
        """Serve at once; the first request of a file whose name starts with ``stuck_at`` gets stuck."""
        super().__init__(("127.0.0.1", 0), lambda *about: _Handler(*about, directory=str(folder)))
        self.folder, self.stuck_at, self.hangs_up = folder, stuck_at, False
        self.stuck, self.released, self.sent = threading.Event(), threading.Event(), []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def index(self) -> str:
        """For pip's ``--index-url``."""
        return f"http://127.0.0.1:{self.server_address[1]}/simple"

    def close(self) -> None:
        """End."""
        self.released.set()
        self.shutdown()
        self.server_close()


class _Handler(SimpleHTTPRequestHandler):
    server: Server

    def do_GET(self):
        """Answer with a wheel, or with the links of a package."""
        name = self.path.strip("/").rpartition("/")[2]
        if self.path.startswith("/simple/"):
            wheels = [path.name for path in self.server.folder.glob(f"{name.replace('-', '_')}-*")]
            page = "".join(f'<a href="/{wheel}">{wheel}</a>\n' for wheel in wheels).encode()
            self._answer(page, "text/html")
            return
        content = (self.server.folder / name.replace("%2B", "+")).read_bytes()
        if self.server.stuck_at and name.startswith(self.server.stuck_at) and not self.server.stuck.is_set():
            self._answer(content, "application/octet-stream", part=len(content) // 2)
            self.server.stuck.set()
            self.server.released.wait()
            return
        if self.server.hangs_up:
            self._answer(content, "application/octet-stream", part=len(content) // 2)
            self.close_connection = True
            return
        self._answer(content, "application/octet-stream")
        self.server.sent.append(name)

    def _answer(self, content: bytes, kind: str, part: int | None = None) -> None:
        self.send_response(200 if content else 404)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        if kind != "text/html":
            self.send_header("Cache-Control", "max-age=31536000, immutable")  # as PyPI does
        self.end_headers()
        self.wfile.write(content[:part])
        self.wfile.flush()

    def log_message(self, *_about):
        """Say nothing."""
