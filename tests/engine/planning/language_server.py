# SPDX-License-Identifier: GPL-3.0-or-later
"""A server that answers as those of language models do, well and badly, on a port of this machine."""

import json
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Answers each request with the next of some answers; the last one again and again.

    An answer is a function of the request's body; it returns (status, headers, pieces of bytes).
    """

    def __init__(self, answers):
        self.answers, self.requests, self.headers = list(answers), [], []

    def next(self):
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@contextmanager
def serving(*answers):
    """Yields the server and its address."""
    server = Server(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.requests.append(body)
            server.headers.append(dict(self.headers))
            status, headers, pieces = server.next()(body)
            try:
                if callable(status):
                    status(self.wfile)
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                for piece in pieces:
                    self.wfile.write(piece)
                    self.wfile.flush()
            except OSError:
                pass  # who asked has gone

        def log_message(self, *arguments):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server, f"http://127.0.0.1:{http.server_port}/v1"
    finally:
        http.shutdown()
        http.server_close()


def says(content, finish="stop"):
    """An answer of a chat."""
    whole = {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": finish}]}
    return lambda body: (200, {"Content-Type": "application/json"}, [json.dumps(whole).encode()])


def streams(content):
    """The same in pieces, though nobody asked for a stream."""
    chunks = [content[at : at + 40] for at in range(0, len(content), 40)]
    lines = [{"choices": [{"delta": {"content": chunk}}]} for chunk in chunks]
    pieces = [f"data: {json.dumps(line)}\n\n".encode() for line in [*lines, {"choices": []}]]
    return lambda body: (200, {"Content-Type": "text/event-stream"}, [*pieces, b"data: [DONE]\n\n"])


def fails(status, message="", headers=None):
    """An error as such servers state it."""
    whole = json.dumps({"error": {"message": message}}).encode()
    return lambda body: (status, headers or {}, [whole])


def trickles(seconds):
    """An answer that does not come to its end."""

    def pieces():
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            yield b" "
            time.sleep(0.05)

    return lambda body: (200, {"Content-Type": "application/json"}, pieces())


def raw(*pieces, every=0.0):
    """Bytes in the place of all that HTTP asks for, status line and headers too; then the end."""

    def write(stream):
        for piece in pieces:
            stream.write(piece)
            stream.flush()
            time.sleep(every)

    return lambda body: (write, {}, [])


def large(size):
    """An answer of so many bytes."""
    return lambda body: (200, {}, (b" " * 2**16 for _ in range(size // 2**16)))
