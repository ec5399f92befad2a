"""Demo servers and one load balancer on a block of ports of their own, and the network namespace of their users."""
import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent


def build(target):
    """Where the bench and the program are, built for release unless `target` says that they are in that folder."""
    if not target:
        target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
        packages = ["-p", "presently-load-nlb", "-p", "presently"]
        subprocess.run(["cargo", "build", "--release", "--quiet", *packages], cwd=ROOT, check=True)
    return pathlib.Path(target).resolve()


class World:
    """Application servers and one target; everything started here is ended here, by pid."""

    def __init__(self, target, name, profile, k, bind="127.0.0.1", scale=1.0, threads="2", ping=0, servers=2):
        self.bench, base = target / "nlbbench", 18000 + 60 * k
        self.work = pathlib.Path(tempfile.mkdtemp(prefix="nlbbench-"))
        self.apps, self.pids, self.beside, self.said, self.hook = [], [], [], {}, None
        self.logs = []
        http, tcp, both = [], [], []
        for i in range(1, servers + 1):
            http.append(f"127.0.0.1:{base + 10 + i}")
            tcp.append(f"127.0.0.1:{base + 30 + i}")
            both.append(f"127.0.0.1:{base + 50 + i}")
            self.logs.append(self.work / f"app{i}.log")
            command = [self.bench, "app", "--name", f"s{i}", "--http", http[-1], "--tcp", tcp[-1], "--both", both[-1],
                       "--ping-s", str(ping / scale), "--log", self.logs[-1]]
            app = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            self.apps.append(app)
            assert app.stdout.readline().startswith("READY")
        self.env = dict(
            os.environ, BACKENDS_HTTP=",".join(http), BACKENDS_TCP=",".join(tcp), BACKENDS_BOTH=",".join(both), BIND=bind,
            PORT_HTTP=str(base), PORT_TCP=str(base + 1), PORT_ADMIN=str(base + 2), PROFILE=profile, SCALE=f"{scale:g}", WORK=str(self.work), THREADS=threads,
            APP_PID1=str(self.apps[0].pid), BENCH=str(self.bench), PRESENTLY=str(target / "presently"))
        self.start(name)

    def start(self, name):
        """Starts the target and reads what it says."""
        # A file, not a pipe: what it leaves running would hold a pipe open.
        with open(self.work / "said", "w+") as said:
            code = subprocess.run([HERE / "targets" / name / "start.sh"], env=self.env, stdout=said).returncode
            said.seek(0)
            self.said = dict(line.rstrip("\n").split("=", 1) for line in said if "=" in line)
        pids = lambda key: [int(pid) for pid in self.said.get(key, "").replace(",", " ").split()]
        self.pids, self.beside = pids("PIDS"), pids("BESIDE")
        if code:
            self.close()
            sys.exit(f"{name}/start.sh failed")
        time.sleep(0.7)

    def start_hook(self, command=None, namespace=None):
        """Starts the users' phones, or whatever else is told what happens to the users."""
        command = command or self.said.get("HOOK")
        if command:
            inside = ["ip", "netns", "exec", namespace] if namespace else []
            env = dict(self.env, ADMIN=self.said.get("ADMIN", ""))
            self.hook = subprocess.Popen([*inside, "sh", "-c", f"exec {command}"], stdin=subprocess.PIPE, text=True, bufsize=1, env=env)

    def tell(self, event, user, session, at, detail):
        """Tells the hook, if there is one."""
        if self.hook:
            try:
                self.hook.stdin.write(f"{event} {user} {session} {at} {detail}\n")
            except BrokenPipeError:
                self.hook = None
                print("the hook ended", file=sys.stderr)

    def phones(self):
        """The lines of the phones' log, as words."""
        path = self.work / "phones.log"
        return [line.split() for line in open(path)] if path.exists() else []

    def cpu_s(self, pids):
        nanos = 0
        for pid in pids:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{thread}/schedstat") as file:
                    nanos += int(file.read().split()[0])
        return nanos / 1e9

    def rss_kib(self, pids):
        lines = (line for pid in pids for line in open(f"/proc/{pid}/status"))
        return sum(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

    def close(self):
        if self.hook:
            self.hook.stdin.close()
            self.hook.terminate()
            self.hook.wait()
        if self.said.get("STOP"):
            subprocess.run(self.said["STOP"], shell=True)
        apps = [app.pid for app in self.apps]
        own = [pid for pid in self.pids + self.beside if pid not in apps]
        for number, rest in ((signal.SIGTERM, 0.3), (signal.SIGKILL, 0)):
            for pid in own:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(rest)
        for app in self.apps:
            app.terminate()
            app.wait()
        if os.environ.get("NLBBENCH_KEEP"):
            print(f"kept: {self.work}", file=sys.stderr)
        else:
            shutil.rmtree(self.work, ignore_errors=True)


class Users:
    """The network namespace of one target's users, joined to the host by a pair of devices."""

    def __init__(self, k):
        self.name, self.octet, self.device = f"nlbb{k}", 101 + k, f"nlbb{k}a"
        self.host, self.peer = f"10.98.{k}.1", f"10.98.{k}.2"
        self.close()
        self.net, name, peer = f"10.{self.octet}.0.0/16", self.name, f"nlbb{k}b"
        self.inner = peer
        for command in (
            f"ip netns add {name}",
            f"ip link add {self.device} type veth peer name {peer} netns {name}",
            f"ip addr add {self.host}/30 dev {self.device}",
            f"ip link set {self.device} up",
            f"ip -n {name} link set lo up",
            f"ip -n {name} addr add {self.peer}/30 dev {peer}",
            f"ip -n {name} link set {peer} up",
            f"ip -n {name} route add default via {self.host}",
            f"ip -n {name} route add blackhole {self.net}",
            f"ip route add {self.net} via {self.peer}",
            f"ip netns exec {name} sysctl -qw net.ipv4.ip_forward=0",
        ):
            subprocess.run(command.split(), check=True)

    def snmp(self):
        """The namespace's counters: `TcpOutRsts` and so on."""
        lines = self.run("cat", "/proc/net/snmp").splitlines()
        counters = {}
        for head, values in zip(lines[::2], lines[1::2]):
            names = zip(head.split()[1:], values.split()[1:])
            counters.update({head.split(":")[0] + name: int(value) for name, value in names})
        return counters

    def packets(self):
        """How many packets went to the users."""
        return int((pathlib.Path("/sys/class/net") / self.device / "statistics/tx_packets").read_text())

    def run(self, *command):
        return subprocess.run(["ip", "netns", "exec", self.name, *command], stdout=subprocess.PIPE, text=True).stdout

    def close(self):
        # A proxy's closed sockets to vanished users would go on sending into the next run on this k.
        for command in (f"ss -K dst 10.{self.octet}.0.0/16", f"ip netns del {self.name}", f"ip link del {self.device}",
                        f"ip route del 10.{self.octet}.0.0/16"):
            subprocess.run(command.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
