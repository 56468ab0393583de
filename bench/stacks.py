"""The stacks that are measured. Each is a function from the upstream's address to a `Launch`: how to start it and how
to talk to it."""

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import msgspec

from bench import gateway, install
from bench.answers import answer
from bench.bodies import PATHS, SHORT
from bench.procs import Child, free_port, wait_ready
from bench.types import Target


class Upstream(msgspec.Struct, frozen=True):
    """Where the stacks find the provider: `{scheme}://127.0.0.1:{port}/v1/chat/completions`. `ca_file` is set for
    https."""

    port: int
    ca_file: str = ""

    @property
    def url(self) -> str:
        return f"{'https' if self.ca_file else 'http'}://127.0.0.1:{self.port}/v1"


class Launch(msgspec.Struct, frozen=True):
    """How to start a stack, when it is ready, and how to call it."""

    argv: list[str]
    target: Target
    ready_path: str
    env: dict[str, str] = {}


class Stack(msgspec.Struct, frozen=True):
    """One row of the table. `launch` gets the upstream and an empty folder of its own."""

    name: str
    version: str
    launch: Callable[[Upstream, Path], Launch]


class Running:
    """A started stack; lives until `stop`."""

    def __init__(self, stack: Stack, upstream: Upstream, folder: Path, cpus: tuple[int, ...]) -> None:
        folder.mkdir(parents=True)
        self.name = stack.name
        self.folder = folder
        self.cpus = cpus
        self.launch = stack.launch(upstream, folder)
        self.target = self.launch.target
        self.ready_s = self._start()

    def _start(self) -> float:
        env = {**_plain_environment(), **self.launch.env}
        self.child = Child(self.launch.argv, log=self.folder / "log.txt", env=env, cpus=self.cpus)
        try:
            return wait_ready(self.target.port, self.launch.ready_path, self.child)
        except RuntimeError:
            self.child.stop()
            raise

    def restart(self) -> float:
        """Stops and starts it with what it has stored; seconds until ready."""
        self.child.stop()
        return self._start()

    def stop(self) -> None:
        self.child.stop()


def available(work: Path, peers: bool, python: str) -> tuple[list[Stack], list[str]]:
    """The stacks that can be had on this machine, the floor first, and a note for each that cannot."""
    stacks, notes = [], []
    nginx = install.nginx(work)
    if nginx:
        version = install.version_of([str(nginx), "-v"]).removeprefix("nginx/")
        stacks.append(Stack("nginx proxy_pass", version, partial(nginx_proxy, nginx)))
    else:
        notes.append("nginx could not be had: no floor, and the small Python upstream answers the request rows too")
    stacks.append(Stack("Trunkline", gateway.version(python), partial(trunkline_serve, python=python)))
    if not peers:
        return stacks, notes
    for name, program, version, launch in (
        ("ferrogw (Go)", install.ferrogw(work), install.FERROGW_VERSION, ferrogw_serve),
        ("Portkey gateway (Node)", install.portkey(work), install.PORTKEY_VERSION, portkey_serve),
    ):
        if program:
            stacks.append(Stack(name, version, partial(launch, program)))
        else:
            notes.append(f"{name} {version} could not be installed: see bench/.work/install.log")
    return stacks, notes


def nginx_upstream(
    nginx: Path, folder: Path, cpus: tuple[int, ...], tls: tuple[Path, Path] | None = None
) -> tuple[Child, Upstream]:
    """The upstream of the request rows: nginx answering at once with a canned chat completion, each with an id of its
    own. `tls` is the certificate (its own CA file) and the key."""
    port = free_port()
    text = answer("alpha-1", "$request_id")
    listen = f"listen 127.0.0.1:{port}{' ssl' if tls else ''} backlog=4096;"
    certificate = f"ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]};" if tls else ""
    server = f"server {{ {listen} {certificate} location / {{ default_type application/json; return 200 '{text}'; }} }}"
    child = Child(_nginx_argv(nginx, folder, server), log=folder / "log.txt", env=_plain_environment(), cpus=cpus)
    upstream = Upstream(port, str(tls[0]) if tls else "")
    if not tls:
        wait_ready(port, "/", child)
    return child, upstream


def nginx_proxy(nginx: Path, upstream: Upstream, folder: Path) -> Launch:
    """One worker, kept-alive connections to the upstream, no buffering of answers (events go out as they come), no
    access log."""
    port = free_port()
    scheme = "https" if upstream.ca_file else "http"
    verify = (
        f"proxy_ssl_verify on; proxy_ssl_trusted_certificate {upstream.ca_file}; proxy_ssl_name localhost;"
        if upstream.ca_file
        else ""
    )
    server = f"""
    upstream provider {{ server 127.0.0.1:{upstream.port}; keepalive 512; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location /ready {{ return 200 'ready'; }}
        location / {{
            proxy_pass {scheme}://provider;
            {verify}
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 600s;
        }}
    }}"""
    target = Target("127.0.0.1", port, "/v1/chat/completions", "alpha-1", {"Authorization": "Bearer bench"})
    return Launch(_nginx_argv(nginx, folder, server), target, "/ready")


def trunkline_serve(
    upstream: Upstream, folder: Path, abortable: Sequence[str] = ("one", "two"), python: str = sys.executable
) -> Launch:
    """This build: a key, two offers of the model to choose from, prices, records in SQLite on disk."""
    port = free_port()
    config = gateway.write_config(folder, upstream.url, abortable)
    key = gateway.make_key(config, python)
    target = Target("127.0.0.1", port, "/api/v1/chat/completions", gateway.MODEL, {"Authorization": f"Bearer {key}"})
    return Launch(gateway.serve_argv(config, port, python), target, "/readyz", _trust(upstream))


def trunkline_translates(upstream: Upstream, folder: Path, python: str) -> Launch:
    """The same, with models at providers of each protocol. Its target is the first direction."""
    port = free_port()
    config = gateway.write_translation_config(folder, upstream.url)
    key = gateway.make_key(config, python)
    first = direction(Target("127.0.0.1", port, "", "", {"Authorization": f"Bearer {key}"}), "chat", "messages")
    return Launch(gateway.serve_argv(config, port, python), first, "/readyz")


def direction(target: Target, client: str, provider: str) -> Target:
    """The same gateway, asked in the client's protocol for the model whose provider speaks the other one."""
    protocol = SHORT[client]
    return msgspec.structs.replace(target, path=PATHS[protocol], model=f"bench/{provider}", protocol=protocol)


def ferrogw_serve(program: Path, upstream: Upstream, folder: Path) -> Launch:
    """As it comes, with its rate limit lifted, its catalog not fetched from outside and its log at warnings: no
    request log, keys in memory. (https://github.com/ferro-labs/ai-gateway, config/README.md)"""
    port = free_port()
    master = "fgw_" + secrets.token_hex(16)
    config = folder / "config.yaml"
    config.write_text("strategy:\n  mode: single\ntargets:\n  - virtual_key: openai\n    models: [alpha-1]\n")
    env = {
        "GATEWAY_CONFIG": str(config),
        "PORT": str(port),
        "OPENAI_API_KEY": "bench",
        "OPENAI_BASE_URL": upstream.url.removesuffix("/v1"),
        "MASTER_KEY": master,
        "RATE_LIMIT_RPS": "0",
        "LOG_LEVEL": "warn",
        "FERRO_MODEL_CATALOG_URL": "http://127.0.0.1:9/",
        **_trust(upstream),
    }
    target = Target("127.0.0.1", port, "/v1/chat/completions", "alpha-1", {"Authorization": f"Bearer {master}"})
    return Launch([str(program), "serve"], target, "/readyz", env)


def portkey_serve(program: Path, upstream: Upstream, _folder: Path) -> Launch:
    """As it comes: no keys, no records; the provider is named by headers in each request."""
    port = free_port()
    headers = {"Authorization": "Bearer bench", "x-portkey-provider": "openai", "x-portkey-custom-host": upstream.url}
    target = Target("127.0.0.1", port, "/v1/chat/completions", "alpha-1", headers)
    env = {"NODE_ENV": "production", **_trust(upstream)}
    return Launch(["node", str(program), f"--port={port}", "--headless"], target, "/", env)


def _nginx_argv(nginx: Path, folder: Path, server: str) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = "\n".join(
        f"    {name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    text = f"""{user}
daemon off;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
{paths}
    {server}
}}
"""
    config = folder / "nginx.conf"
    config.write_text(text)
    return [str(nginx), "-e", str(folder / "error.log"), "-p", str(folder), "-c", str(config)]


def _trust(upstream: Upstream) -> dict[str, str]:
    """The variables by which OpenSSL, Go and Node take another certificate authority."""
    return {"SSL_CERT_FILE": upstream.ca_file, "NODE_EXTRA_CA_CERTS": upstream.ca_file} if upstream.ca_file else {}


def _plain_environment() -> dict[str, str]:
    """What a stack gets of this process's environment: nothing but where programs are, so that no key or proxy
    setting leaks in."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
