#!/usr/bin/env python3
"""Shows one nlb with very many users: memory and CPU for each, and how soon a slot is free after the presence server said that its user
is gone. The presence server and the application servers are played by `nlbbench users`, so that only the nlb is measured."""
import argparse
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request

from run import save
from world import build

PORT = 20200
# Each takes some 28,000 connections from one address.
APPS = 8
MILLION = 1_000_000


def configuration(work):
    servers = "".join(f'[[server]]\nname = "a{i}"\naddress = "127.0.0.1:{PORT + 10 + i}"\n' for i in range(APPS))
    return (f'domain = "bench.example"\npresence = "udp:127.0.0.1:{PORT}"\nsip = "127.0.0.1:{PORT + 1}"\nstore = "sqlite:{work}/nlb.db"\n'
            f'admin = "127.0.0.1:{PORT + 2}"\nuser = [{{ header = "X-User" }}]\n'
            f'[[listen]]\nkind = "http"\naddress = "127.0.0.1:{PORT + 3}"\n'
            f'[[listen]]\nkind = "tcp"\naddress = "127.0.0.1:{PORT + 4}"\nfirst_word = "USER"\n{servers}[timeouts]\nadmit_ms = 30000\n')


def wait_up():
    for _ in range(100):
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{PORT + 2}/healthz", timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("the nlb did not start")


def metrics():
    """What the nlb counted itself, without the zeros."""
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT + 2}/metrics", timeout=10) as answer:
        lines = (line.split() for line in answer.read().decode().splitlines() if line.startswith("nlb_"))
    return {words[0]: float(words[1]) for words in lines if len(words) == 2 and float(words[1])}


def table(found):
    users, million = found["users"], MILLION
    number = lambda value: f"{value:,.0f}"
    leaving = [
        ("users who left", number(found["freed_count"])),
        ("NOTIFY sent → good-bye received, ms (grace included): p50 / p99 / max",
         " / ".join(number(found[f"freed_{key}_ms"]) for key in ("p50", "p99", "max"))),
        (f"NOTIFY sent → tunnel closed at the application server, ms, of {number(found['tunnel_closed_count'])}: p50 / p99 / max",
         " / ".join(number(found[f"tunnel_closed_{key}_ms"]) for key in ("p50", "p99", "max"))),
        ("sessions / tunnels released of users who were there", f"{number(found['wrong_sessions'])} / {number(found['wrong_tunnels'])}"),
    ]
    if found["refresh_secs"]:
        rows = [
            ("users with a session; of them with an open tunnel", f"{number(users)}; {number(found['tunnels'])}"),
            ("everything granted ends together, each s", number(found["refresh_secs"])),
            ("REGISTER, PUBLISH and SUBSCRIBE that came while users left; in s",
             f"{number(found['refreshes_meanwhile'])}; {found['leaving_s']:.1f}"),
            *leaving,
            ("feeds refreshed; after s", f"{number(found['subscribes'])}; {found['refresh_s']:.1f}"),
            ("NOTIFYs repeated; feeds begun anew; times the presence server was lost",
             " / ".join(number(found.get(key, 0)) for key in ("repeated", "anew", "nlb_presence_losses_total"))),
        ]
        return markdown(rows)
    hour = found["refresh_cpu_us"] * HOURLY + found["idle_cores"] * 3600e6 / users
    rows = [
        ("users with a session; of them with an open tunnel", f"{number(users)}; {number(found['tunnels'])}"),
        ("entering, all steps of each: users/s; CPU us a user",
         f"{number((users - found['tunnels']) / found['enter_s'])}; {number(found['enter_cpu_us'])}"),
        ("memory (RSS) MiB: before; with all", f"{number(found['rss_before_mib'])}; {number(found['rss_mib'])}"),
        ("bytes a session between two requests; a session with a tunnel",
         f"{number(found['session_bytes'])}; {number(found['tunnel_bytes'])}"),
        ("cores while nothing is refreshed", f"{found['idle_cores']:.3f}"),
        ("a round of refreshes (REGISTER, PUBLISH, SUBSCRIBE, NOTIFY, record): CPU us", number(found["refresh_cpu_us"])),
        (f"CPU ms a user and hour, at {HOURLY:.2f} rounds an hour", f"{hour / 1e3:.2f}"),
        *leaving,
        ("leaving, all steps: CPU us a user", number(found["leave_cpu_us"])),
        ("computed, a million users: memory GiB; cores for refreshes",
         f"{found['session_bytes'] * million / 2**30:.1f}; {hour * million / 3600e6:.2f}"),
    ]
    return markdown(rows)


def markdown(rows):
    return "\n".join(["| | |", "|---|---|"] + [f"| {title} | {text} |" for title, text in rows])


# What is asked for 1,800 s is refreshed after 75 to 90 % of it.
HOURLY = 3600 / (0.825 * 1800)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", help="a folder with nlbbench and presently; built when absent")
    parser.add_argument("--out", help="writes OUT.md and OUT.json")
    for name, kind, default in (("users", int, 100_000), ("tunnels", int, 8_000), ("window", int, 64), ("expires", int, 240),
                                ("refresh-secs", int, 0), ("idle", int, 10), ("leave", int, 3_000), ("rate", float, 100)):
        parser.add_argument("--" + name, type=kind, default=default)
    a = parser.parse_args()
    target = build(a.bin)
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    if a.tunnels * 2 + 500 > files:
        sys.exit(f"{a.tunnels} tunnels need more than {files} open files")
    with tempfile.TemporaryDirectory(prefix="nlbbench-") as work:
        config = pathlib.Path(work) / "nlb.toml"
        config.write_text(configuration(work))
        log = open(pathlib.Path(work) / "nlb.log", "w")
        nlb = subprocess.Popen([target / "presently", "nlb", "--config", config], stdout=log, stderr=log)
        try:
            wait_up()
            command = [target / "nlbbench", "users", "--pid", str(nlb.pid), "--sip", f"127.0.0.1:{PORT}", "--http", f"127.0.0.1:{PORT + 3}",
                       "--tcp", f"127.0.0.1:{PORT + 4}", "--apps", ",".join(f"127.0.0.1:{PORT + 10 + i}" for i in range(APPS))]
            for option in ("users", "tunnels", "window", "expires", "refresh_secs", "idle", "leave", "rate"):
                command += ["--" + option.replace("_", "-"), str(getattr(a, option))]
            text = subprocess.run(command, stdout=subprocess.PIPE, text=True).stdout
            if not text:
                sys.exit("the run failed; the nlb said:\n" + (pathlib.Path(work) / "nlb.log").read_text()[-4000:])
            found = json.loads(text) | metrics() | {"refresh_secs": a.refresh_secs}
        finally:
            nlb.kill()
            nlb.wait()
    save(a.out, table(found), found)


if __name__ == "__main__":
    main()
