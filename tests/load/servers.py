"""Servers under load for the scripts beside this file: a pool of processes, Kamailio, the played phones, and what is read of them."""
import json
import os
import pathlib
import re
import signal
import socket
import sqlite3
import subprocess
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
PORT = 15080


def build():
    """Builds what is run, for release as the gate does, and gives where it is."""
    command = ["cargo", "build", "--release", "--quiet", "--workspace", "--all-features", "--bins"]
    subprocess.run(command, cwd=ROOT, check=True)
    asked = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    text = subprocess.run(asked, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    return pathlib.Path(json.loads(text)["target_directory"]) / "release"


class Pool:
    """A balancer and servers, a process each, over one SQLite file."""

    name = "presently"

    def __init__(self, target, place, servers=3, relay=None):
        self.target, self.place, self.relay = target, pathlib.Path(place), relay
        self.names = ["b1"] + [f"s{number + 1}" for number in range(servers)]
        self.processes = {}
        # Nothing ends by itself during a run.
        (self.place / "pool.toml").write_text("[expires]\nmax_secs = 86400\n")
        for name in self.names:
            self.start(name)
        self.wait_ready()

    def start(self, name):
        """Starts one member, or starts it again."""
        at = self.names.index(name)
        command = [self.target / "presently", "serve", "--store", f"sqlite:{self.place}/pool.db", "--name", name,
                   "--admin", f"127.0.0.1:{PORT + 20 + at}", "--config", self.place / "pool.toml"]
        oob = f"127.0.0.1:{PORT + 40 + at}"
        if self.relay == name:
            oob += f",advertise=127.0.0.1:{PORT + 60}"
        command += ["--oob", oob]
        if name == "b1":
            command += ["--role", "balancer", "--listen", f"udp:127.0.0.1:{PORT}"]
        else:
            command += ["--role", "server", "--sip", "127.0.0.1:0"]
        with open(self.place / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def pids(self):
        return [process.pid for process in self.processes.values()]

    def signal(self, name, number):
        self.processes[name].send_signal(number)
        if number == signal.SIGKILL:
            self.processes[name].wait()

    def is_ready(self, name):
        try:
            at = PORT + 20 + self.names.index(name)
            with urllib.request.urlopen(f"http://127.0.0.1:{at}/readyz", timeout=1) as answer:
                return answer.status == 200
        except OSError:
            return False

    def wait_ready(self):
        wait("the pool to be ready", 30, lambda: all(map(self.is_ready, self.names)))

    def metric(self, name, metric):
        """One number of one member; 0 when it does not answer."""
        try:
            at = PORT + 20 + self.names.index(name)
            with urllib.request.urlopen(f"http://127.0.0.1:{at}/metrics", timeout=2) as answer:
                text = answer.read().decode()
        except OSError:
            return 0
        return sum(float(value) for value in re.findall(rf"^{metric}(?:_total)?(?:{{[^}}]*}})? ([0-9.e+]+)$", text, re.M))

    def sum(self, metric):
        return sum(self.metric(name, metric) for name in self.names)

    def read(self, query, *values):
        """Rows of the store; waits while it is locked."""
        store = sqlite3.connect(f"file:{self.place}/pool.db?mode=ro", uri=True, timeout=5)
        try:
            return store.execute(query, values).fetchall()
        finally:
            store.close()

    def life(self, name):
        """Id, incarnation and state of a member."""
        return self.read("select id, incarnation, state from members where name = ?", name)[0]

    def clients_of(self, name):
        rows = self.read("select aor from clients where server = (select id from members where name = ?)", name)
        return {row[0] for row in rows}

    def stop(self):
        for process in self.processes.values():
            process.kill()
            process.wait()


class Kamailio:
    """Kamailio as one presence server, in memory or with its subscriptions written back to SQLite every 10 s."""

    def __init__(self, place, variant):
        self.place, self.variant = pathlib.Path(place), variant
        self.name = {"memory": "Kamailio, memory", "write-back": "Kamailio, SQLite written back"}[variant]
        if variant == "write-back":
            database = sqlite3.connect(self.place / "kamailio.db")
            database.execute("pragma journal_mode=wal")
            for table in ("standard", "usrloc", "presence"):
                schema = pathlib.Path(f"/usr/share/kamailio/db_sqlite/{table}-create.sql").read_text()
                database.executescript(f"begin;{schema};commit;")
            database.close()
        self.start()

    def start(self):
        settings, flags = {"PORT": PORT}, []
        if self.variant == "memory":
            settings |= {"CHILDREN": 4, "SUBS_DB_MODE": 0, "PUBL_CACHE": 2, "UL_DB_MODE": 0}
        else:
            # One child: the module has no handling of a busy file.
            settings |= {"CHILDREN": 1, "SUBS_DB_MODE": 2, "PUBL_CACHE": 1, "UL_DB_MODE": 2}
            file = self.place / "kamailio.db"
            settings |= {"DBURL": f'"sqlite:///{file}"', "JOURNAL": f'"{file}=WAL"'}
            flags = ["-A", "WITH_SQLITE"]
        for name, value in settings.items():
            flags += ["-A", f"{name}={value}"]
        command = ["kamailio", "-DD", "-E", "-f", HERE / "kamailio/kamailio.cfg", "-m", "1024", "-M", "16", "-b", "4194304",
                   "-w", self.place, "-Y", self.place, "-P", self.place / "kamailio.pid", *flags]
        with open(self.place / "kamailio.log", "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        self.wait_ready()

    def wait_ready(self):
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.bind(("127.0.0.1", 0))
        asking.settimeout(0.1)
        at = f"127.0.0.1:{asking.getsockname()[1]}"

        def is_answered():
            text = (
                f"OPTIONS sip:127.0.0.1:{PORT} SIP/2.0\r\nVia: SIP/2.0/UDP {at};branch=z9hG4bK{time.monotonic_ns()}\r\n"
                f"Max-Forwards: 70\r\nFrom: <sip:ready@127.0.0.1>;tag=1\r\nTo: <sip:127.0.0.1:{PORT}>\r\n"
                f"Call-ID: ready{time.monotonic_ns()}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
            )
            try:
                asking.sendto(text.encode(), ("127.0.0.1", PORT))
                return bool(asking.recv(4096))
            except (TimeoutError, ConnectionRefusedError):
                return False

        wait("Kamailio to answer", 30, is_answered)

    def pids(self):
        return [self.process.pid]

    def kill(self):
        """SIGKILL to all of its processes: the group is only this Kamailio's."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    stop = kill


class Load:
    """The played phones of one presently-load, running beside the script."""

    def __init__(self, target, place, line, is_logged=True):
        Load.count = getattr(Load, "count", 0) + 1
        self.log = pathlib.Path(place) / f"load{Load.count}.log"
        command = [target / "presently-load", *line.split(), "--server", f"127.0.0.1:{PORT}"]
        if is_logged:
            command += ["--log", self.log]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)

    def wait_phase(self, name):
        """Waits until a phase is about to begin (its rest comes first); gives the number of the run."""
        for line in self.process.stderr:
            words = line.split()
            if words and words[0] == name:
                threading.Thread(target=self.process.stderr.read, daemon=True).start()
                return int(words[1])
        raise SystemExit(f"presently-load did not come to {name}")

    def result(self, timeout):
        """The report of the last phase, its answers and its NOTIFYs."""
        out, _ = self.process.communicate(timeout=timeout)
        if self.process.returncode:
            raise SystemExit("presently-load failed")
        answers, notifies = [], []
        if self.log.exists():
            with open(self.log) as lines:
                for line in lines:
                    kind, *numbers = line.split()
                    (answers if kind == "answer" else notifies).append(tuple(map(int, numbers)))
            self.log.unlink()
        return json.loads(out)["phases"][-1], answers, notifies


def wait(what, seconds, look, pause=0.02):
    """Looks until it is so; gives when that was, in nanoseconds of the clock that the phones read too."""
    end = time.monotonic() + seconds
    while not look():
        if time.monotonic() > end:
            raise SystemExit(f"{what}: not within {seconds} s")
        time.sleep(pause)
    return time.monotonic_ns()
