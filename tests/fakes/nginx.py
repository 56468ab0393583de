"""Debian's nginx in front of a port, without rights or files of its own. In: servers in its words. Out: a running process; `Nginx.stop` ends it."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAM = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIG = """
daemon off;
master_process off;
worker_processes 1;
error_log stderr error;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  {http}
}}
"""
DEADLINE_S = 20.0


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def proxied(port: int, upstream: int) -> str:
    """A server that hands everything on, over connections that are kept."""
    return f"""
upstream gateway {{ server 127.0.0.1:{upstream}; keepalive 8; }}
server {{
  listen 127.0.0.1:{port};
  location / {{ proxy_pass http://gateway; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }}
}}"""


class Nginx:
    """Lives until `stop`."""

    def __init__(self, folder: Path, http: str, port: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "nginx.conf"
        path.write_text(CONFIG.format(folder=folder, http=http))
        self._log = (folder / "log").open("wb")
        self.port = port
        argv = [PROGRAM, "-p", str(folder), "-e", str(folder / "early"), "-c", str(path)]
        self._process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log)
        self._wait(folder)

    def _wait(self, folder: Path) -> None:
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until and self._process.poll() is None:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError(f"nginx did not start: {(folder / 'log').read_text()}")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE_S)
        self._log.close()
