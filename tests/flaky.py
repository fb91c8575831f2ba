"""A real S3 server on loopback, and a proxy before it that fails now and then."""

import http.client
import itertools
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

_NOT_FORWARDED = {"connection", "transfer-encoding", "keep-alive", "content-length", "expect"}


class FlakyProxy(ThreadingHTTPServer):
    """Forwards requests, one a connection; every ``drop``th is dropped, every ``refuse``th gets a 503.

    Some connections are dropped before the request reaches the server, some after it has taken effect, and some in
    the middle of the answer.
    """

    daemon_threads = True

    def __init__(self, target: str, drop: int = 10, refuse: int = 7) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(target).netloc
        self.drop, self.refuse = drop, refuse
        self.numbers = itertools.count(1)
        self.dropped = self.refused = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of connections that the client closed."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FlakyProxy

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""

    def _forward(self) -> None:
        self.close_connection = True
        number = next(self.server.numbers)
        body = self._body()
        drop = number % self.server.drop == 0
        if drop:
            self.server.dropped += 1
            if number // self.server.drop % 3 == 0:
                self._hang_up()
                return
        elif number % self.server.refuse == 0:
            self.server.refused += 1
            self._answer(503, [], b"<Error><Code>ServiceUnavailable</Code><Message>later</Message></Error>")
            return
        connection = http.client.HTTPConnection(self.server.target, timeout=30)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _NOT_FORWARDED}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _NOT_FORWARDED]
        length = answer.headers.get("content-length", "0") if self.command == "HEAD" else str(len(content))
        connection.close()
        if drop:
            if number // self.server.drop % 3 == 1 and content:
                self._answer(answer.status, kept, content[: len(content) // 2], length)
            self._hang_up()
            return
        self._answer(answer.status, kept, content, length)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = _forward

    def _body(self) -> bytes:
        if self.headers.get("transfer-encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("content-length", 0)))
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, length: str | None = None) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", length or str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        self.wfile.flush()

    def _hang_up(self) -> None:
        self.connection.shutdown(socket.SHUT_RDWR)


@contextmanager
def flaky_proxy(target: str, **settings: int) -> Iterator[FlakyProxy]:
    """Run a proxy in a thread."""
    proxy = FlakyProxy(target, **settings)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
