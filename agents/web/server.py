"""Serving the page: Solara's own server with our rules in front of it.

Who may ask: only requests that name this host are answered, so that no other web site can reach a page on
127.0.0.1 through its visitor's browser. What may be loaded: nothing but what this process serves.
"""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
import time
import warnings
from collections.abc import Iterable
from contextlib import nullcontext
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

from agents.errors import ConfigurationError, WorkError
from agents.run_folder import RunFolder
from agents.supervisor import StopSignal

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8_765
PORTS_TRIED: Final = 50
STOP_LOOK_S: Final = 0.2

_SOLARA: Final = {
    "SOLARA_MODE": "production",
    "SOLARA_TELEMETRY_MIXPANEL_ENABLE": "False",
    "SOLARA_THEME_SHOW_BANNER": "False",
    "SOLARA_THEME_LOADER": "plain",
    "SOLARA_THEME_TITLE": "Gridbazaar",
    "SOLARA_ASSETS_PROXY": "True",
    # The page itself is completed on its way out, which compressed bytes cannot be.
    "SOLARA_SERVER_HTTP_GZIP": "False",
    # A closed tab's session is dropped soon: it can hold nothing that a new one has not.
    "SOLARA_KERNEL_CULL_TIMEOUT": "2m",
}

_POLICY: Final = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' ws: wss:; "
    "style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; frame-ancestors 'none'; "
    "base-uri 'self'; form-action 'none'"
)
"""Vue compiles templates in the browser, which needs `unsafe-eval`; that no other host is named is the point."""

_THEME_SCRIPT: Final = """
(function () {
  var dark = window.matchMedia('(prefers-color-scheme: dark)');
  function kept() { try { return localStorage.getItem('gridbazaar.theme'); } catch (error) { return null; } }
  function show() {
    document.documentElement.dataset.theme = kept() || (dark.matches ? 'dark' : 'light');
    window.dispatchEvent(new Event('gridbazaar-theme'));
  }
  window.gridbazaarTheme = function (name) {
    try { localStorage.setItem('gridbazaar.theme', name); } catch (error) { /* For this page only, then. */ }
    document.documentElement.dataset.theme = name;
    window.dispatchEvent(new Event('gridbazaar-theme'));
  };
  dark.addEventListener('change', show);
  show();
})();
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """Where to serve a page. `port` None takes the first free one from `DEFAULT_PORT` on.

    `names` are other names under which browsers may ask for this host.
    """

    host: str = DEFAULT_HOST
    port: int | None = None
    names: tuple[str, ...] = ()


def check_libraries() -> None:
    """Raises ConfigurationError when the page's libraries are not installed."""
    missing = [name for name in ("solara", "ipyvuetify") if find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the web page needs {', '.join(missing)}; expected an installation with them: gridbazaar[web]"
        )


def bind(options: Listening) -> socket.socket:
    """A listening socket. Raises ConfigurationError for a port that was asked for and is taken."""
    ports = range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED) if options.port is None else (options.port,)
    problem = "none is free"
    for port in ports:
        try:
            family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
            listener = socket.socket(family, socket.SOCK_STREAM)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((options.host, port))
        except OSError as error:
            problem = error.strerror or str(error)
            listener.close()
        else:
            listener.listen(128)
            return listener
    raise ConfigurationError(f"--port {ports[0]}: cannot listen on {options.host}: {problem}")


def url_of(listener: socket.socket, host: str) -> str:
    """The address to open in a browser."""
    port = listener.getsockname()[1]
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    return f"http://[{shown}]:{port}/" if ":" in shown else f"http://{shown}:{port}/"


def _configure(module: str) -> None:
    check_libraries()
    os.environ.update({**_SOLARA, "SOLARA_APP": module})


def make_app(module: str, allowed_hosts: Iterable[str]) -> ASGIApp:
    """The ASGI application around the Solara application in `module`. One for each process."""
    _configure(module)
    # Solara warns that its cookie cannot go into frames of other sites, which our policy forbids anyway.
    warnings.filterwarnings("ignore", message="Cookies with samesite=none")
    from solara.server import starlette as solara_server

    for chatty in ("reacton", "solara", "MESA"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    return PageRules(solara_server.app, allowed_hosts)


def serve_run(folder: RunFolder, options: Listening, listener: socket.socket) -> None:
    """Serve a run's page until SIGTERM, Ctrl-C, or the end of the runner that started us. Raises WorkError."""
    from agents.web.feed import Feed
    from agents.web.hub import Hub, install

    hub = Hub(folder, folder.read_deployment())
    install(hub)
    feed = Feed(hub)
    feed.start()
    try:
        _serve("agents.web.app", options, listener)
    finally:
        feed.stop()
        feed.join(timeout=2.0)


def serve_watch(scenario: Path, options: Listening, listener: socket.socket) -> None:
    """Serve a scenario's model to step through. Raises WorkError."""
    _configure("agents.web.watch_app")  # Before its import: Solara reads these when it is imported.
    from agents.web.watch_app import install

    install(scenario)
    _serve("agents.web.watch_app", options, listener)


def _serve(module: str, options: Listening, listener: socket.socket) -> None:
    import uvicorn

    app = make_app(module, (*_own_names(options.host), *options.names))
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=1, ws_max_size=1 << 20
    )
    server = uvicorn.Server(config)
    # Uvicorn would end us by the signal it was sent; whoever asks this process to end is to see that it did well.
    server.capture_signals = nullcontext
    watcher = threading.Thread(target=_stop_when_asked, args=(server, StopSignal()), name="web-stop", daemon=True)
    watcher.start()
    try:
        server.run(sockets=[listener])
    except OSError as error:
        raise WorkError(f"the page cannot be served: {error}") from None


def _stop_when_asked(server: uvicorn.Server, stop: StopSignal) -> None:
    while not stop:
        time.sleep(STOP_LOOK_S)
    server.should_exit = True


def _own_names(host: str) -> tuple[str, ...]:
    if host in ("0.0.0.0", "::"):
        # Asked to serve everybody: they may use any address of this machine, and no name that others control.
        return ("localhost", socket.gethostname(), "*address*")
    return (host, "localhost", "127.0.0.1", "::1")


class PageRules:
    """ASGI middleware: refuses other hosts' names and other sites' sockets, and completes the HTML page."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._allowed = {host.lower() for host in allowed_hosts}
        self._head = _head()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer or refuse one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not self._allows(headers.get(b"host", ""), headers.get(b"origin", "")):
            await _refuse(scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        await self._app(scope, receive, _Completed(send, self._head))

    def _allows(self, host: str, origin: str) -> bool:
        if not self._is_ours(host):
            return False
        # A browser names the site that a request comes from; programs that do not are no browsers.
        return not origin or origin == "null" or origin.split("://", 1)[-1].lower() == host.lower()

    def _is_ours(self, host: str) -> bool:
        name = host.rsplit(":", 1)[0] if re.search(r":\d+$", host) else host
        name = name.strip("[]").lower()
        return name in self._allowed or ("*address*" in self._allowed and _is_address(name))


class _Completed:
    """Collects an HTML page to put our head into it; everything else passes with our headers."""

    def __init__(self, send: Send, head: bytes) -> None:
        self._send = send
        self._head = head
        self._start: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Take one message of the answer."""
        if message["type"] == "http.response.start":
            headers = [*message["headers"], *_HEADERS]
            message = {**message, "headers": headers}
            found = dict(message["headers"])
            is_page = found.get(b"content-type", b"").startswith(b"text/html")
            if is_page and b"content-encoding" not in found:
                self._start = message
                return
        elif message["type"] == "http.response.body" and self._start is not None:
            self._body += message.get("body", b"")
            if message.get("more_body"):
                return
            body = _complete(self._body, self._head)
            headers = [item for item in self._start["headers"] if item[0] != b"content-length"]
            headers.append((b"content-length", str(len(body)).encode()))
            await self._send({**self._start, "headers": headers})
            self._start = None
            message = {"type": "http.response.body", "body": body}
        await self._send(message)


_HEADERS: Final = (
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)


def _head() -> bytes:
    style = (Path(__file__).parent / "app.css").read_text(encoding="utf-8")
    return f"<style>{style}</style><script>{_THEME_SCRIPT}</script></head>".encode()


def _complete(page: bytes, head: bytes) -> bytes:
    """Language and names for screen readers, zoom for those who need it, colours before the first frame."""
    page = page.replace(b"<v-progress-linear", b'<v-progress-linear aria-label="Busy"')
    page = page.replace(b"<html>", b'<html lang="en">', 1)
    page = re.sub(rb",\s*maximum-scale=1, user-scalable=no, minimal-ui", b"", page, count=1)
    return page.replace(b"</head>", head, 1)


def _is_address(name: str) -> bool:
    import ipaddress

    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": 421, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": b"This page does not answer to that name.\n"})
