# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking a language model behind an OpenAI-compatible endpoint: Ollama, llama.cpp, vLLM, or a service.

The key goes into the header of a request and nowhere else; no redirect is followed with it.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from ..errors import EngineError, one_line
from .answers import answer_schema

MAX_ANSWER = 2 * 2**20
"""Bytes of an answer; a plan has some thousands."""
_PIECE = 2**14
_Answer = tuple[int, bytes, float | None]
"""Status, what was sent, and for how many seconds the server wants to be left alone."""
_MOST_PATIENCE = 10.0
"""Seconds that a server may ask for before it is asked again."""


@dataclass(frozen=True)
class Endpoint:
    """Where a language model answers.

    Args:
        url: of the server, with or without "/v1" and "/chat/completions".
        model: its name there.
        key: secret; not shown by ``repr``.
        online: whether addresses beyond this machine and its own network may be asked.
        timeout: seconds for one answer.
    """

    url: str
    model: str
    key: str = field(default="", repr=False)
    online: bool = False
    timeout: float = 120.0

    @property
    def place(self) -> str:
        """The url as a sentence may have it: without a user, a password and a query, which may be secrets."""
        return re.sub(r"^(\w+://)?[^/]*@|[?#].*", r"\1", self.url.strip(), flags=re.DOTALL)


def ask(endpoint: Endpoint, messages: list[dict[str, str]]) -> str:
    """Send messages and return what the model writes.

    Raises:
        EngineError: ``endpoint_*``, each a sentence that never has the key in it.
    """
    url = _address(endpoint)
    body: dict[str, Any] = {
        "model": endpoint.model,
        "messages": messages,
        "temperature": 0.2,
        "max_tokens": 6000,
        "stream": False,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "layout", "strict": True, "schema": answer_schema()},
        },
    }
    status, answer, patience = _post(url, body, endpoint)
    if status == 429 and patience is not None and patience <= _MOST_PATIENCE:
        time.sleep(patience)
        status, answer, _ = _post(url, body, endpoint)
    if status in {400, 422} and b"response_format" in answer:  # a server that knows no schemas
        del body["response_format"]
        status, answer, _ = _post(url, body, endpoint)
    if status != 200:
        raise EngineError(*_refusal(status, answer, endpoint))
    return _content(answer, endpoint)


def _address(endpoint: Endpoint) -> str:
    try:
        parts = urlsplit(endpoint.url.strip())
        _ = parts.port  # a ValueError where it is none
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise EngineError(
            "endpoint_address",
            f'"{parts.hostname or endpoint.place}" is no address of a server: give one such as '
            f"http://localhost:11434/v1.",
        )
    local = _is_local(parts.hostname)
    if not local and not endpoint.online:
        raise EngineError(
            "endpoint_offline",
            f'"{parts.hostname}" is on the internet and online access is off: allow it in Blender\'s '
            "preferences, or take a model on this machine, or the built-in planner.",
        )
    if not local and parts.scheme == "http" and endpoint.key:
        raise EngineError(
            "endpoint_address", f'The key would go to "{parts.hostname}" unencrypted: give an https address.'
        )
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path = (path or "/v1") + "/chat/completions"
    return urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))


def _is_local(host: str) -> bool:
    """Whether a host is this machine or in its own network; a name is looked up."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        addresses = {ipaddress.ip_address(host)}
    except ValueError:
        try:
            found = socket.getaddrinfo(host, None)
        except (OSError, UnicodeError):  # or no name that can be asked for
            return False
        addresses = {ipaddress.ip_address(str(entry[4][0]).split("%")[0]) for entry in found}
    return all(address.is_loopback or address.is_private for address in addresses)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """The key is for the address that the user gave."""

    def redirect_request(self, *arguments):
        return None


def _post(url: str, body: dict[str, Any], endpoint: Endpoint) -> _Answer:
    headers = {"Content-Type": "application/json", "User-Agent": "Peekaboo"}
    if endpoint.key:
        if not endpoint.key.isascii() or not endpoint.key.isprintable():
            raise EngineError("endpoint_key", "The key has characters that no key has: type it again.")
        headers["Authorization"] = f"Bearer {endpoint.key}"
    handlers: list[Any] = [_NoRedirect]
    if _is_local(urlsplit(url).hostname or ""):
        handlers.append(urllib.request.ProxyHandler({}))
    try:
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        opener = urllib.request.build_opener(*handlers)
        return _in_time(lambda: _exchange(opener, request, endpoint), endpoint.timeout)
    except TimeoutError:
        raise EngineError(*_too_slow(endpoint)) from None
    except http.client.HTTPException:  # its text is the server's, which may have sent back the key
        raise EngineError(*_no_server(endpoint)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, TimeoutError):
            raise EngineError(*_too_slow(endpoint)) from None
        raise EngineError(
            "endpoint_unreachable",
            f'Nothing answers at "{endpoint.place}" ({_reason(reason)}): start the server, or correct the '
            "address.",
        ) from None


def _in_time(exchange: Callable[[], _Answer], seconds: float) -> _Answer:
    """What an exchange returns or raises; TimeoutError if it takes longer.

    A socket's own limit is for each piece: a server that sends a byte of a header now and then never meets
    it. So the exchange has a thread of its own, which ends with the process if it must.
    """
    answer: Future[_Answer] = Future()

    def run() -> None:
        try:
            answer.set_result(exchange())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=run, daemon=True, name="endpoint").start()
    return answer.result(seconds)


def _exchange(
    opener: urllib.request.OpenerDirector, request: urllib.request.Request, endpoint: Endpoint
) -> _Answer:
    try:
        with opener.open(request, timeout=endpoint.timeout) as response:
            return 200, _read(response, endpoint), None
    except urllib.error.HTTPError as error:
        with error:
            wait = error.headers.get("Retry-After", "2")
            patience = float(wait) if wait.isascii() and wait.isdigit() else None
            return error.code, error.read(_PIECE), patience


def _reason(reason: Any) -> str:
    return getattr(reason, "strerror", None) or one_line(
        reason if isinstance(reason, Exception) else Exception(str(reason))
    )


def _too_slow(endpoint: Endpoint) -> tuple[str, str]:
    return (
        "endpoint_slow",
        f'"{endpoint.model}" did not answer within {endpoint.timeout:.0f} s: try again, or take a '
        "smaller model.",
    )


def _read(response, endpoint: Endpoint) -> bytes:
    """All of an answer, if it is not too long."""
    pieces, size = [], 0
    while piece := response.read1(_PIECE):
        size += len(piece)
        pieces.append(piece)
        if size > MAX_ANSWER:
            raise EngineError(
                "endpoint_answer",
                f'The answer of "{endpoint.model}" is longer than {MAX_ANSWER // 2**20} MB: take '
                "another model.",
            )
    return b"".join(pieces)


def _refusal(status: int, answer: bytes, endpoint: Endpoint) -> tuple[str, str]:
    said = _said(answer, endpoint)
    if status in {401, 403}:
        return (
            "endpoint_key",
            f'"{endpoint.place}" refuses the key: correct it in the preferences of the add-on.',
        )
    if status == 404:
        return (
            "endpoint_model",
            f'"{endpoint.place}" has no model "{endpoint.model}"{said}: correct its name or the address.',
        )
    if status == 429:
        return "endpoint_busy", f'"{endpoint.place}" takes no more requests now{said}: try again later.'
    if 300 <= status < 400:
        return "endpoint_address", f'"{endpoint.place}" sends us on to another address: give that one.'
    return (
        "endpoint_failed",
        f'"{endpoint.place}" answers with the error {status}{said}: try again, or look at its log.',
    )


def _said(answer: bytes, endpoint: Endpoint) -> str:
    """What a server says of its error, in brackets, without the key."""
    try:
        error = json.loads(answer)["error"]
        said = str(error["message"] if isinstance(error, dict) else error)
    except (ValueError, KeyError, TypeError, RecursionError):
        return ""
    if endpoint.key:
        said = said.replace(endpoint.key, "...")
    return f" ({' '.join(said.split())[:200].rstrip('.')})"


def _content(answer: bytes, endpoint: Endpoint) -> str:
    """The text of an answer, sent whole or in a stream."""
    text = answer.decode("utf-8", "replace")
    try:
        if text.lstrip().startswith("data:"):
            return _streamed(text)
        choice = json.loads(text)["choices"][0]
        content = choice["message"]["content"]
        if isinstance(content, str) and content.strip():
            return content
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError):
        pass
    raise EngineError(*_no_server(endpoint))


def _no_server(endpoint: Endpoint) -> tuple[str, str]:
    return (
        "endpoint_answer",
        f'"{endpoint.place}" does not answer as an OpenAI-compatible server: correct the address, or take '
        "another model.",
    )


def _streamed(text: str) -> str:
    pieces = []
    for line in text.splitlines():
        data = line.removeprefix("data:").strip()
        if not line.startswith("data:") or data == "[DONE]":
            continue
        choice = json.loads(data)["choices"]
        if choice:
            pieces.append(choice[0].get("delta", {}).get("content") or "")
    return "".join(pieces)
