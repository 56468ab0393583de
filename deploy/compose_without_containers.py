"""Starts what compose.yaml describes from Debian's programs, without containers: `python deploy/compose_without_containers.py FOLDER`.

In: compose.yaml, nginx.conf and trunkline.toml as they are here; a folder for data. Out: the same commands with the same variables, on free
ports of this machine, until SIGTERM or Ctrl-C. Needs PyYAML, PostgreSQL, redis-server (Debian has no Valkey 8) and nginx.
"""

import argparse
import glob
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).resolve().parent
DEADLINE_S = 60.0
SERVERS_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/bin"))
VARIABLE = re.compile(r"\$\{(\w+)(?::\?[^}]*)?\}")


@dataclass
class Service:
    """One service of compose.yaml, as it runs here."""

    name: str
    asked: Mapping[str, Any]
    """Its words in compose.yaml, variables put in."""
    port: int
    folder: Path
    argv: list[str] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    process: "subprocess.Popen[bytes] | None" = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_compose(variables: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    """The services, with `${NAME}` put in. KeyError for a variable that is not there."""
    text = VARIABLE.sub(lambda found: variables[found[1]], (HERE / "compose.yaml").read_text())
    services: dict[str, Mapping[str, Any]] = yaml.safe_load(text)["services"]
    return services


class Compose:
    """Everything that runs. Lives until `stop`."""

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None, more_toml: str = "") -> None:
        """`more_toml` is put behind trunkline.toml: providers and models."""
        self.folder = folder.absolute()
        self.variables = variables or {
            "POSTGRES_PASSWORD": secrets.token_urlsafe(24),
            "TRUNKLINE_MASTER_KEY": f"sk-tl-{secrets.token_urlsafe(32)}",
        }
        self.services = {
            name: Service(name, asked, free_port(), self.folder / name)
            for name, asked in read_compose(self.variables).items()
        }
        for service in self.services.values():
            service.folder.mkdir(parents=True, exist_ok=True)
        self._more_toml = more_toml

    @property
    def address(self) -> str:
        """Where callers come in."""
        return f"http://127.0.0.1:{self.services['nginx'].port}"

    def start(self) -> None:
        """Everything, in the order of `depends_on`; returns when it answers."""
        self.start_postgres(self.services["postgres"])
        self.start_valkey(self.services["valkey"])
        gateways = [service for name, service in self.services.items() if name.startswith("gateway")]
        for gateway in gateways:
            self.start_gateway(gateway)
        for gateway in gateways:
            self._until_it_answers(gateway, "/readyz")
        self.start_nginx(self.services["nginx"])
        self._until_it_answers(self.services["nginx"], "/healthz")

    def stop(self) -> None:
        """In the other order; the gateways, which drain, at once."""
        gateways = [service for name, service in self.services.items() if name.startswith("gateway")]
        self.end(self.services["nginx"])
        for gateway in gateways:
            if gateway.process is not None:
                gateway.process.send_signal(signal.SIGTERM)
        for gateway in gateways:
            self._until_ended(gateway)
        self.end(self.services["valkey"])
        self.end(self.services["postgres"], signal.SIGINT)

    def end(self, service: Service, number: int = signal.SIGTERM) -> None:
        """One service."""
        if service.process is None:
            return
        if number == signal.SIGKILL:
            # Children of PostgreSQL end by themselves once it is gone, but not at once.
            os.killpg(service.process.pid, signal.SIGKILL)
        else:
            service.process.send_signal(number)
        self._until_ended(service)

    def _until_ended(self, service: Service) -> None:
        process, service.process = service.process, None
        if process is None:
            return
        try:
            process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    # --- what each image does with its command and variables

    def start_postgres(self, service: Service) -> None:
        """As its image's entry point: a cluster at the first start, with user, password and database of the variables."""
        asked, data, binaries = service.asked["environment"], service.folder / "data", _postgres_binaries()
        as_user: dict[str, Any] = {}
        if os.geteuid() == 0:
            as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
            shutil.chown(service.folder, "postgres", "postgres")
            _let_through(service.folder)
        if not (data / "PG_VERSION").exists():
            password = service.folder / "password"
            password.touch(0o600)
            password.write_text(asked["POSTGRES_PASSWORD"])
            if as_user:
                shutil.chown(password, "postgres", "postgres")
            initdb = [str(binaries / "initdb"), "-D", str(data), "-U", asked["POSTGRES_USER"], f"--pwfile={password}"]
            initdb += ["--auth=scram-sha-256", *asked["POSTGRES_INITDB_ARGS"].split()]
            subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, cwd="/", **as_user)
            password.unlink()
        program, *options = service.asked["command"]
        service.argv = [str(binaries / program), "-D", str(data), *options, "-p", str(service.port)]
        service.argv += ["-h", "127.0.0.1", "-k", str(service.folder)]
        self._run(service, cwd=Path("/"), **as_user)
        self._until_it_takes_connections(service)
        self._make_database(service, binaries)

    def start_valkey(self, service: Service) -> None:
        _, *options = service.asked["command"]
        service.argv = [_program("redis-server"), *options, "--bind", "127.0.0.1", "--port", str(service.port)]
        self._run(service)
        self._until_it_takes_connections(service)

    def start_gateway(self, service: Service) -> None:
        """`trunkline COMMAND` with this configuration, the paths and host names of containers put to where they are here."""
        config = service.folder / "trunkline.toml"
        config.write_text(self._here((HERE / "trunkline.toml").read_text(), service) + self._more_toml)
        (self.folder / "secrets").mkdir(exist_ok=True)
        asked = {name: self._here(str(value), service) for name, value in service.asked["environment"].items()}
        service.env = {**asked, "TRUNKLINE_CONFIG": str(config), "TRUNKLINE_HOST": "127.0.0.1"}
        service.env |= {"TRUNKLINE_PORT": str(service.port), "PYTHONUNBUFFERED": "1", "HOME": str(service.folder)}
        service.argv = [sys.executable, "-P", "-m", "trunkline.cli.main", *service.asked["command"]]
        self._run(service)

    def start_nginx(self, service: Service) -> None:
        text = (HERE / "nginx.conf").read_text()
        text = re.sub(r"\b(gateway-\d+):8080", lambda found: f"127.0.0.1:{self.services[found[1]].port}", text)
        text = text.replace("listen 8080", f"listen 127.0.0.1:{service.port}").replace(
            "worker_processes auto", "worker_processes 1"
        )
        paths = "".join(f"{kind}_temp_path {service.folder}/{kind}; " for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
        text = text.replace("http {", f"http {{ client_body_temp_path {service.folder}/body; {paths}", 1)
        path = service.folder / "nginx.conf"
        path.write_text(f"daemon off; pid {service.folder}/pid; error_log stderr warn;\n{text}")
        service.argv = [
            _program("nginx"),
            "-p",
            str(service.folder),
            "-e",
            str(service.folder / "early"),
            "-c",
            str(path),
        ]
        self._run(service)

    # --- underneath

    def _here(self, text: str, service: Service) -> str:
        """Words of a container, for this machine."""
        for host, port in (("postgres", 5432), ("valkey", 6379)):
            text = text.replace(f"{host}:{port}", f"127.0.0.1:{self.services[host].port}")
        text = text.replace("/var/lib/trunkline-secrets", str(self.folder / "secrets"))
        return text.replace("/var/lib/trunkline", str(service.folder))

    def _run(self, service: Service, cwd: Path | None = None, **as_user: Any) -> None:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "VIRTUAL_ENV", "PYTHONPATH") if name in os.environ}
        with (service.folder / "log").open("ab") as log:
            service.process = subprocess.Popen(
                _ending_with_us(service.argv), cwd=cwd or service.folder, env=kept | service.env, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, **as_user,
            )  # fmt: skip

    def _make_database(self, service: Service, binaries: Path) -> None:
        asked = service.asked["environment"]
        where = ["-h", "127.0.0.1", "-p", str(service.port), "-U", asked["POSTGRES_USER"]]
        env = {**os.environ, "PGPASSWORD": asked["POSTGRES_PASSWORD"]}
        done = subprocess.run(
            [str(binaries / "createdb"), *where, asked["POSTGRES_DB"]],
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode and "already exists" not in done.stderr:
            raise RuntimeError(done.stderr)

    def _until_it_takes_connections(self, service: Service) -> None:
        def takes() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", service.port)) == 0

        self._until(service, takes)
        if service.name == "postgres":
            ready = [str(_postgres_binaries() / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(service.port)]
            self._until(service, lambda: subprocess.run(ready, check=False).returncode == 0)

    def _until_it_answers(self, service: Service, path: str) -> None:
        request = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()

        def answers() -> bool:
            try:
                with socket.create_connection(("127.0.0.1", service.port), timeout=5) as client:
                    client.sendall(request)
                    return client.recv(64).startswith(b"HTTP/1.1 200")
            except OSError:
                return False

        self._until(service, answers)

    def _until(self, service: Service, ready: Any) -> None:
        until = time.monotonic() + DEADLINE_S
        while time.monotonic() < until and service.process is not None and service.process.poll() is None:
            if ready():
                return
            time.sleep(0.05)
        raise RuntimeError(f"{service.name} did not start:\n{(service.folder / 'log').read_text()[-4000:]}")


def _ending_with_us(argv: Sequence[str]) -> list[str]:
    """setpriv(1), --pdeathsig: it does not outlive this program, however that ends."""
    return [_program("setpriv"), "--pdeathsig", "TERM", *argv]


def _program(name: str) -> str:
    found = shutil.which(name, path=SERVERS_PATH)
    if found is None:
        raise RuntimeError(f"{name} is not on this system; as root: python3 scripts/debian.py postgresql redis nginx")
    return found


def _postgres_binaries() -> Path:
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: int(path.split("/")[4]))
    if not found:
        raise RuntimeError("PostgreSQL is not on this system; as root: python3 scripts/debian.py postgresql")
    return Path(found[-1])


def _let_through(folder: Path) -> None:
    """PostgreSQL's user must be able to reach its folder."""
    for parent in folder.parents:
        if parent.stat().st_uid == os.geteuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for the data of all services")
    compose = Compose(parser.parse_args().folder)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        compose.start()
        print(f"Trunkline is ready at {compose.address}; logs are in {compose.folder}/*/log", flush=True)
        print(f"Master key: {compose.variables['TRUNKLINE_MASTER_KEY']}", flush=True)
        while True:
            signal.pause()
    except KeyboardInterrupt:
        return 0
    finally:
        compose.stop()


if __name__ == "__main__":
    sys.exit(main())
