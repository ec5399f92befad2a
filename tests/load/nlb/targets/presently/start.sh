#!/bin/sh
# Starts a pool and an nlb in front of the application servers; what is handed in and printed: README.md. PROFILE: plain (the nlb is told
# no user, and asks nobody), or as in ../pool.sh. SCALE divides every duration of the configuration.
set -eu
cd "$(dirname "$0")/.."
. ./pool.sh
millis() { awk "BEGIN{v=int($1*1000/$SCALE+0.5); print (v<1?1:v)}"; }
nlb_sip=$((PORT_ADMIN + 2)); user='{ header = "X-User" }'; anonymous=refuse; first_word='first_word = "USER"'
[ "$PROFILE" != plain ] || { user=; anonymous=pass; first_word=; }
servers() { i=0; for b in $(echo "$1" | tr , ' '); do i=$((i+1)); printf '[[server]]\nname = "s%s"\naddress = "%s"\n' "$i" "$b"; done; }
cat > "$WORK/nlb.toml" <<C
name = "nlb"
domain = "bench.example"
presence = "udp:$BIND:$sip"
sip = "$BIND:$nlb_sip"
store = "sqlite:$WORK/pool.db"
admin = "127.0.0.1:$PORT_ADMIN"
threads = ${THREADS:-2}
user = [$user]
anonymous = "$anonymous"
[[listen]]
kind = "http"
address = "$BIND:$PORT_HTTP"
[[listen]]
kind = "tcp"
address = "$BIND:$PORT_TCP"
$first_word
$(servers "$BACKENDS_BOTH")
[decision]
using_ms = $(millis 5)
grace_ms = $(millis $grace)
[resume]
every_ms = $(millis 2)
within_ms = $(millis 10)
[guard]
within_secs = $(whole 10)
hold_secs = $(whole 300)
[timeouts]
path_idle_secs = $(whole 3600)
session_idle_secs = $(whole 1800)
C
"$PRESENTLY" nlb --config "$WORK/nlb.toml" > "$WORK/nlb.log" 2>&1 &
nlb=$!
up "$PORT_ADMIN"
echo "PROXY=$BIND:$PORT_HTTP"
echo "PROXY_TCP=$BIND:$PORT_TCP"
echo "ADMIN=127.0.0.1:$PORT_ADMIN"
echo "PIDS=$nlb"
