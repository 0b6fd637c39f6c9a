"""HAProxy and nginx as the README puts them in front of a broker, on ports that are free and in a folder that goes."""

import pathlib
import re
import shutil
import socket
import subprocess

from cluster import ROOT, wait_until


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def quoted(name):
    """The configuration of that name in the README."""
    return re.search(rf"<!-- {re.escape(name)} -->\n```\w+\n(.*?)```\n<!-- /", (ROOT / "README.md").read_text(), re.S).group(1)


class Proxy:
    """One of them, in front of the HTTP port of a broker; `address` is where it listens."""

    name = ""

    def __init__(self, folder, behind, changes=None):
        self.folder = folder
        self.address = f"127.0.0.1:{free_port()}"
        text = quoted(self.name)
        for before, now in {"127.0.0.1:8000": self.address, "127.0.0.1:8080": behind, **(changes or {})}.items():
            assert before in text, f"{self.name} in the README has no {before}"
            text = text.replace(before, now)
        self.configuration = folder / self.name
        self.configuration.write_text(text)
        self.log = folder / f"{self.name}.log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        wait_until(self._listens, why=f"{self.name} listens")

    def command(self):
        raise NotImplementedError

    def _listens(self):
        assert self.process.poll() is None, f"{self.name} has ended: {self.log.read_text()}"
        host, port = self.address.split(":")
        with socket.socket() as one:
            return one.connect_ex((host, int(port))) == 0

    def end(self):
        self.process.terminate()
        self.process.wait(20)


class Haproxy(Proxy):
    name = "haproxy.cfg"

    def command(self):
        return [where("haproxy"), "-db", "-f", self.configuration]


class Nginx(Proxy):
    """What Debian's has compiled in (a log and temporary files in /var) is the folder's here."""

    name = "nginx.conf"

    def command(self):
        # Directives of http, for which there is no option: in front of what is quoted.
        paths = "".join(f"  {kind}_temp_path {self.folder / kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        self.configuration.write_text(self.configuration.read_text().replace("http {\n", "http {\n" + paths, 1))
        main = f"daemon off; master_process off; error_log stderr; pid {self.folder / 'nginx.pid'};"
        return [where("nginx"), "-p", self.folder, "-c", self.configuration, "-e", "stderr", "-g", main]


def where(program):
    """Of Debian's packages, some of which are in /usr/sbin."""
    return shutil.which(program) or str(pathlib.Path("/usr/sbin") / program)
