#!/usr/bin/env python3
"""Measures load balancers: throughput and CPU, what presence costs, and how long slots stay dead after users vanish silently. See README.md."""
import argparse
import collections
import json
import math
import pathlib
import random
import statistics
import subprocess
import sys
import threading
import time

from judge import judge, table
from world import Users, World, build

CASES = {  # options of the generator
    "http 64": "--mode http --conns 64",
    "http 512": "--mode http --conns 512",
    "new connection each": "--mode conn --conns 64",
    "ws 64 B ping-pong": "--mode ws --conns 64 --bytes 64",
    "ws 16 KiB echo": "--mode ws --conns 32 --bytes 16384",
    "tcp 64 B ping-pong": "--mode tcp --conns 64 --bytes 64",
    "tcp 16 KiB echo": "--mode tcp --conns 32 --bytes 16384",
}
USERS = 512


def load_average():
    return pathlib.Path("/proc/loadavg").read_text().split()[0]


def play(world, name, secs):
    """One case against one target: what the generator says."""
    to = world.said["PROXY_TCP" if name.startswith("tcp") else "PROXY"]
    join = lambda pids: ",".join(map(str, pids))
    command = [world.bench, "load", *CASES[name].split(), "--to", to, "--secs", str(secs), "--pids", join(world.pids),
               "--apps", join(app.pid for app in world.apps)]
    if world.beside:
        command += ["--beside", join(world.beside)]
    text = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return json.loads(text)


def open_phones(world):
    """A phone for each user of the generator, at the address the generator connects from; waits until they are registered."""
    world.start_hook()
    if not world.hook:
        return
    for user in range(USERS):
        world.tell("open", f"u{user}", f"u{user}.0", 0, f"-,-,-,127.0.{1 + user // 250}.{1 + user % 250}")
    for _ in range(100):
        registered = {words[2] for words in world.phones() if words[1] == "registered"}
        if len(registered) == USERS:
            return
        time.sleep(0.1)
    sys.exit(f"only {len(registered)} of {USERS} phones are registered")


def chosen(a):
    wanted = a.cases.split(",") if a.cases else [""]
    return [name for name in CASES if any(part in name for part in wanted)]


def throughput(a):
    target, runs = build(a.bin), collections.defaultdict(list)
    plan = [spec.split(":") for spec in a.targets.split(",")]
    for repetition in range(a.reps):
        for k, spec in enumerate(plan):
            name, profile, threads = (spec + ["leastconn", "2"][len(spec) - 1:])[:3]
            world = World(target, name, profile, k + a.k, threads=threads)
            try:
                open_phones(world)
                for case in chosen(a):
                    if profile in ("cookie", "header") and not case.startswith("http"):
                        continue
                    result = play(world, case, a.secs) | {"load": load_average()}
                    runs[case, ":".join(spec)].append(result)
                    print(f"# {repetition} {case} {':'.join(spec)} {json.dumps(result)}", file=sys.stderr, flush=True)
            finally:
                world.close()
    text = throughput_table(chosen(a), [":".join(spec) for spec in plan], runs)
    save(a.out, text, {"|".join(key): value for key, value in runs.items()})


def throughput_table(cases, targets, runs):
    lines = ["| case | target | ops/s | MiB/s one way | p50 ms | p99 ms | p99.9 ms | proxy CPU us/op (min–max) | x direct server | "
             "proxy cores used | presence server us/op | errors |", "|---" * 12 + "|"]
    for case in cases:
        for target in targets:
            results = runs.get((case, target))
            if not results:
                continue
            middle = lambda key: statistics.median(result[key] for result in results)
            cpu = [result["proxy_us"] for result in results]
            errors = sum(result["errors"] for result in results)
            lines.append(
                f"| {case} | {target} | {middle('ops_s'):,.0f} | {middle('mib_s'):,.1f} | {middle('p50_us') / 1e3:.2f} | "
                f"{middle('p99_us') / 1e3:.2f} | {middle('p999_us') / 1e3:.2f} | {middle('proxy_us'):.1f} ({min(cpu):.1f}–{max(cpu):.1f}) | "
                f"{ratio(runs.get((case, 'direct')), results)} | {middle('proxy_cores'):.2f} | {middle('beside_us'):.2f} | {errors} |")
    return "\n".join(lines)


def ratio(direct, results):
    """Median, over the repetitions, of this target's CPU per operation to the bare demo server's in the same repetition."""
    if not direct:
        return "–"
    return f"{statistics.median(r['proxy_us'] / d['proxy_us'] for r, d in zip(results, direct)):.2f}"


def cost(a):
    """CPU per operation of one target against another, in pairs of which every second is turned round."""
    target, (one, other) = build(a.bin), a.targets.split(",")
    ratios, raw = collections.defaultdict(list), collections.defaultdict(list)
    for pair in range(a.pairs):
        worlds = []
        try:
            for k, spec in enumerate((one, other)):
                world = World(target, *spec.split(":")[:2], k + a.k)
                worlds.append(world)
                open_phones(world)
            for case in chosen(a):
                order = (0, 1) if pair % 2 == 0 else (1, 0)
                found = {place: play(worlds[place], case, a.secs) for place in order}
                if found[0]["errors"] or found[1]["errors"]:
                    print(f"# errors: {found}", file=sys.stderr)
                ratios[case].append(found[0]["proxy_us"] / found[1]["proxy_us"])
                raw[case].append([found[0], found[1], load_average()])
                print(f"# {pair} {case} {found[0]['proxy_us']:.2f} {found[1]['proxy_us']:.2f} {ratios[case][-1]:.4f} load {load_average()}",
                      file=sys.stderr, flush=True)
        finally:
            for world in worlds:
                world.close()
    lines = [f"| case | pairs | {one} us/op | {other} us/op | ratio: mean | 95 % interval | median |", "|---" * 7 + "|"]
    for case, found in ratios.items():
        mean, low, high = interval(found)
        middle = lambda place: statistics.median(pair[place]["proxy_us"] for pair in raw[case])
        lines.append(f"| {case} | {len(found)} | {middle(0):.2f} | {middle(1):.2f} | {mean:.4f} | {low:.4f}–{high:.4f} | "
                     f"{statistics.median(found):.4f} |")
    save(a.out, "\n".join(lines), raw)


def interval(ratios):
    """The mean of ratios, and where it lies with 95 %: drawn again 10,000 times, on the logarithms."""
    logs, rng = [math.log(ratio) for ratio in ratios], random.Random(1)
    means = sorted(statistics.fmean(rng.choices(logs, k=len(logs))) for _ in range(10_000))
    return tuple(math.exp(value) for value in (statistics.fmean(logs), means[250], means[9_750]))


def vanish_one(a, target, spec, k, results):
    name, profile = (spec.split(":") + ["typical"])[:2]
    users, world = Users(k), None
    try:
        world = World(target, name, profile, k, bind=users.host, scale=a.scale, ping=a.server_ping, threads=a.threads)
        world.start_hook(a.hook, users.name)
        results[spec] = tell(a, world, users)
    finally:
        if world:
            world.close()
        users.close()


def tell(a, world, users):
    """The story against one target: everything that was logged, and what it cost."""
    command = ["ip", "netns", "exec", users.name, world.bench, "vanish", "--http", world.said["PROXY"], "--tcp", world.said["PROXY_TCP"],
               "--octet", str(users.octet), "--linger-s", "600"]
    for option in ("scale", "users", "minutes", "vanish_minutes", "vanish_pct", "glitch_pct", "frozen_pct", "seed"):
        command += [f"--{option.replace('_', '-')}", str(getattr(a, option))]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    read = lambda: (users.snmp(), world.cpu_s(world.pids), world.cpu_s(world.beside), users.packets())
    events, before, told = [], None, open(world.work / "users.log", "w")
    for line in process.stdout:
        told.write(line)
        at, event, user, session, detail = line.rstrip("\n").split(" ", 4)
        events.append((int(at), event, user, session, detail))
        if event == "start":
            before = read()
        if event in ("open", "vanish", "return", "glitch", "back"):
            world.tell(event, user, session, at, detail)
        if event == "end":
            break
    if not before or events[-1][1] != "end":
        process.kill()
        sys.exit("the users ended early")
    after = read()
    told.close()
    rss = [world.rss_kib(pids) for pids in (world.pids, world.beside)]
    app = []
    for log in world.logs:
        lines = (line.split() for line in open(log))
        app += [(int(at), event, user, session, kind, server) for at, event, user, session, kind, server in lines]
    process.kill()
    process.wait()
    return {"events": events, "app": app, "phones": world.phones(), "rst": after[0]["TcpOutRsts"] - before[0]["TcpOutRsts"],
            "icmp": after[0]["IcmpOutMsgs"] - before[0]["IcmpOutMsgs"], "cpu_s": after[1] - before[1], "beside_s": after[2] - before[2],
            "to_users": after[3] - before[3], "rss": rss[0], "beside_rss": rss[1]}


def vanish(a):
    target, results, threads = build(a.bin), {}, []
    specs = a.targets.split(",")
    for k, spec in enumerate(specs):
        thread = threading.Thread(target=vanish_one, args=(a, target, spec, k + a.k, results))
        thread.start()
        threads.append(thread)
        time.sleep(0.5)
    began = load_average()
    for thread in threads:
        thread.join()
    if len(results) != len(specs):
        sys.exit("a run failed")
    judged = {spec: judge(results[spec], a.scale, a.users) for spec in specs}
    head = (f"Scale 1:{a.scale:g}, {a.users} users, {a.minutes:g} story minutes, {a.vanish_pct:g} %/min vanish in the first "
            f"{a.vanish_minutes:g}, server ping {a.server_ping or 'none'}; load average {began} at the start, {load_average()} at the end.\n\n")
    save(a.out, head + table(judged), judged)


def save(path, text, raw):
    print(text)
    if path:
        pathlib.Path(path + ".md").write_text(text + "\n")
        pathlib.Path(path + ".json").write_text(json.dumps(raw, indent=0))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parts = parser.add_subparsers(dest="what", required=True)
    for work, targets in ((throughput, "direct,haproxy:leastconn,haproxy:cookie,haproxy:header"), (cost, "presently:presence,presently:plain"),
                          (vanish, "haproxy:typical,haproxy:tuned,presently:udp60")):
        part = parts.add_parser(work.__name__, help=work.__doc__)
        part.set_defaults(work=work)
        part.add_argument("--targets", default=targets, help="TARGET[:PROFILE[:THREADS]],...")
        part.add_argument("--k", type=int, default=1, help="the first of the blocks of ports")
        part.add_argument("--out", help="writes OUT.md and OUT.json")
        part.add_argument("--bin", help="a folder with nlbbench and presently; built when absent")
        if work is vanish:
            for name, kind, default in (("users", int, 1000), ("scale", float, 10), ("minutes", float, 70), ("vanish-minutes", float, 20),
                                        ("vanish-pct", float, 5), ("glitch-pct", float, 1), ("frozen-pct", float, 50), ("seed", int, 7),
                                        ("server-ping", float, 0)):
                part.add_argument("--" + name, type=kind, default=default)
            part.add_argument("--hook", help='command; gets "EVENT USER SESSION EPOCH_MS DETAIL" lines on stdin, in the users\' namespace')
            part.add_argument("--threads", default="2")
        else:
            part.add_argument("--secs", type=float, default=4)
            part.add_argument("--cases", default="", help="parts of their names, with commas")
            part.add_argument("--reps" if work is throughput else "--pairs", type=int, default=3 if work is throughput else 10)
    a = parser.parse_args()
    a.work(a)


if __name__ == "__main__":
    main()
