"""What a story came to: from the demo servers' log (the truth about slots), the users' log (the truth about users), and the phones' log
(what the presence server said). Durations are in seconds of the story, but for what is done at once by programs: in milliseconds."""
import bisect
import collections


# The nlb's window, and the two seconds by which a Date may be wrong: who sent something so shortly before is asked to come back first.
USING_S = 7


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else float("nan")


class Story:
    """One run, read once: who opened, closed, vanished and came back when."""

    def __init__(self, run, scale):
        self.scale, self.second = scale / 1000, 1000 / scale
        events = run["events"]
        self.start, self.end = next(e[0] for e in events if e[1] == "start"), events[-1][0]
        self.opened, self.closed = {}, {}
        for at, event, _, session, kind, server in run["app"]:
            (self.opened if event == "open" else self.closed)[session] = (at, kind, server)
        self.vanished, self.classes, self.spoke = {}, {}, {}
        self.glitches, self.places = collections.defaultdict(list), collections.defaultdict(list)
        for event in events:
            self.read(*event)

    def read(self, at, event, user, session, detail):
        if event == "vanish":
            # A session cut in a glitch may be unknown to its user as dead: then no slot is left to free.
            if not self.is_closed(session, at):
                self.vanished[session] = (at, detail)
        elif event == "spoke":
            self.spoke[session] = int(detail)
        elif event == "glitch":
            self.glitches[user].append([at, self.end])
        elif event == "back" and self.glitches[user]:
            self.glitches[user][-1][1] = at
        elif event == "open":
            kind, self.classes[user], server = detail.split(",")[:3]
            self.places[user].append((session, kind, server))

    def is_closed(self, session, at):
        return session in self.closed and self.closed[session][0] <= at

    def until(self, session):
        """When the session's slot was free, or the end."""
        return min(self.closed[session][0], self.end) if session in self.closed else self.end

    def in_glitch(self, user, at):
        """A glitch accounts for what happens in it, and up to two minutes after it."""
        return any(first <= at <= last + 120 * self.second for first, last in self.glitches[user])


def judge(run, scale, users):
    story = Story(run, scale)
    minutes = (story.end - story.start) * story.scale / 60
    out = {"story_min": minutes, "vanished": len(story.vanished)}
    for how in ("gone", "frozen"):
        out[how] = dead(story, how)
    out["dead_at"] = dead_at(story)
    out |= wrong(story)
    out["glitches"] = sum(map(len, story.glitches.values()))
    out["return_same"] = returns(story)
    out["dead_share"] = share(story, out)
    out |= presence(story, run["phones"])
    out |= {"rst": run["rst"], "icmp": run["icmp"], "rss_mib": run["rss"] / 1024, "beside_rss_mib": run["beside_rss"] / 1024}
    out["cpu_ms_min"] = run["cpu_s"] * 1000 / minutes
    out["beside_ms_min"] = run["beside_s"] * 1000 / minutes
    out["pkts_user_min"] = run["to_users"] / users / minutes
    out["fails"] = sum(1 for event in run["events"] if event[1] == "fail")
    return out


def dead(story, how):
    """How long the slots of those who vanished in this way were held."""
    ours = {session: at for session, (at, found) in story.vanished.items() if found == how}
    held = [(story.until(session) - at) * story.scale for session, at in ours.items()]
    never = sum(1 for session in ours if not story.is_closed(session, story.end))
    return {"n": len(held), "p50": quantile(held, .5), "p90": quantile(held, .9), "p99": quantile(held, .99),
            "max": max(held, default=0), "total": sum(held), "never": never}


def dead_at(story):
    found = {}
    for minute in (1, 2, 5, 10, 20, 30, 45, 60, 70, 80):
        when = story.start + minute * 60 * story.second
        if when <= story.end:
            found[minute] = sum(1 for session, (at, _) in story.vanished.items() if at <= when and not story.is_closed(session, when))
    return found


def wrong(story):
    """Sessions of users who were there that were cut: outside of glitches, and in or after them."""
    classes, users, glitches = collections.Counter(), set(), 0
    for session, (at, _, _) in story.closed.items():
        user = session.split(".")[0]
        if not story.start <= at <= story.end or session in story.vanished:
            continue
        if story.in_glitch(user, at):
            glitches += 1
        else:
            classes[story.classes.get(user, "?")] += 1
            users.add(user)
    return {"wrong": dict(classes), "wrong_total": classes.total(), "wrong_users": len(users), "glitch_cut": glitches}


def returns(story):
    """How many came back to the server they were on."""
    same = collections.Counter()
    for places in story.places.values():
        for (session, _, server), (_, kind, again) in zip(places, places[1:]):
            if session in story.vanished:
                same[kind, server == again] += 1
    return {kind: f"{same[kind, True]}/{same[kind, True] + same[kind, False]}" for kind in ("ws", "tcp")}


def share(story, out):
    """Dead slot-seconds of all slot-seconds."""
    spans = ((story.until(session) - max(at, story.start)) * story.scale
             for session, (at, _, _) in story.opened.items() if at < story.end and not story.is_closed(session, story.start - 1))
    held = sum(spans)
    return (out["gone"]["total"] + out["frozen"]["total"]) / held if held else 0


def presence(story, lines):
    """When the presence server knew that somebody had vanished, and how long after that the slot was free."""
    said = collections.defaultdict(list)
    for words in lines:
        if len(words) == 4 and words[1] == "seen":
            said[words[2]].append((int(words[0]), words[3]))
    found = {"is_watched": bool(said)}
    for how in ("gone", "frozen"):
        knew, freed, asked, unknown = [], [], [], 0
        for session, (at, kind) in story.vanished.items():
            if kind != how:
                continue
            later = said[session.split(".")[0]]
            later = later[bisect.bisect_left(later, (at, "")):]
            closed = next((when for when, state in later if state == "closed"), None)
            if closed is None or closed > story.end:
                unknown += 1
                continue
            knew.append((closed - at) * story.scale)
            if session in story.closed:
                was_using = closed - story.spoke[session] < USING_S * story.second
                (asked if was_using else freed).append(story.closed[session][0] - closed)
        found[f"{how}_knew"] = {"n": len(knew), "unknown": unknown} | quantiles(knew)
        found[f"{how}_freed_ms"] = {"n": len(freed)} | quantiles(freed)
        found[f"{how}_asked_ms"] = {"n": len(asked)} | quantiles(asked)
    return found | doubted(story, said)


def doubted(story, said):
    """How often the presence server took somebody for gone who was there: in or after a glitch, and otherwise."""
    gone = collections.defaultdict(list)
    for session, (at, _) in story.vanished.items():
        # Until the user's next session.
        user = session.split(".")[0]
        sessions = [place[0] for place in story.places[user]]
        place = sessions.index(session) if session in sessions else -1
        back = sessions[place + 1] if 0 <= place < len(sessions) - 1 else None
        gone[user].append((at, story.opened[back][0] if back in story.opened else story.end))
    counts = collections.Counter()
    for user, words in said.items():
        for at, state in words:
            if state == "closed" and story.start <= at <= story.end and not any(first <= at <= last for first, last in gone[user]):
                counts["glitch" if story.in_glitch(user, at) else "there"] += 1
    return {"doubted_glitch": counts["glitch"], "doubted_there": counts["there"]}


def quantiles(values):
    return {"p50": quantile(values, .5), "p90": quantile(values, .9), "p99": quantile(values, .99), "max": max(values, default=0)}


def rows():
    """Title and text of each row of the table."""
    number = lambda value: f"{value:,.0f}"
    found = [("vanished users (route gone / frozen behind a live kernel)", lambda j: f"{j['gone']['n']} / {j['frozen']['n']}")]
    for how, title in (("gone", "route gone"), ("frozen", "frozen")):
        found += [
            (f"dead-slot s, {title}: p50 / p90 / p99 / max",
             lambda j, h=how: " / ".join(number(j[h][key]) for key in ("p50", "p90", "p99", "max"))),
            (f"{title}: still held at the end", lambda j, h=how: str(j[h]["never"])),
            (f"{title}: dead-slot s in total", lambda j, h=how: number(j[h]["total"])),
            (f"{title}: presence server knew after s, p50 / p99 / max (never)",
             lambda j, h=how: watched(j, f"{h}_knew", "{p50:.1f} / {p99:.1f} / {max:.1f} ({unknown})")),
            (f"{title}: slot free after that, real ms, p50 / p99 / max (of)",
             lambda j, h=how: watched(j, f"{h}_freed_ms", "{p50:.0f} / {p99:.0f} / {max:.0f} ({n})")),
            (f"{title}, but using {USING_S} s before: slot free after that, real ms, p50 / p99 / max (of)",
             lambda j, h=how: watched(j, f"{h}_asked_ms", "{p50:.0f} / {p99:.0f} / {max:.0f} ({n})")),
        ]
    return found + [
        ("dead share of all slot-seconds", lambda j: f"{100 * j['dead_share']:.2f} %"),
        ("dead slots at story minute", lambda j: ", ".join(f"{minute}: {count}" for minute, count in j["dead_at"].items())),
        ("LIVE idle sessions cut (users hit)", lambda j: f"{j['wrong_total']} ({j['wrong_users']})"),
        ("  of these by class", lambda j: ", ".join(f"{name} {count}" for name, count in sorted(j["wrong"].items())) or "–"),
        ("cut in or after a 10–90 s glitch, of glitches", lambda j: f"{j['glitch_cut']} / {j['glitches']}"),
        ("closed said of users who were there: in or after a glitch / otherwise",
         lambda j: f"{j['doubted_glitch']} / {j['doubted_there']}" if j["is_watched"] else "–"),
        ("returned to the same server, ws / tcp", lambda j: f"{j['return_same']['ws']} / {j['return_same']['tcp']}"),
        ("proxy CPU ms per story minute", lambda j: number(j["cpu_ms_min"])),
        ("presence server CPU ms per story minute", lambda j: number(j["beside_ms_min"]) if j["beside_ms_min"] else "–"),
        ("packets to users, per user and story minute", lambda j: f"{j['pkts_user_min']:.2f}"),
        ("proxy RSS MiB at the end", lambda j: number(j["rss_mib"])),
        ("proof: RST / ICMP sent by the users' namespace", lambda j: f"{j['rst']} / {j['icmp']}"),
        ("failed connects", lambda j: str(j["fails"])),
    ]


def watched(judged, key, text):
    return text.format(**judged[key]) if judged["is_watched"] and judged[key]["n"] else "–"


def table(judged):
    """A table in Markdown: a column for each target."""
    lines = ["| | " + " | ".join(judged) + " |", "|---" * (len(judged) + 1) + "|"]
    lines += ["| " + title + " | " + " | ".join(text(one) for one in judged.values()) + " |" for title, text in rows()]
    return "\n".join(lines)
