# Sourced by targets that need a presence server: starts a pool and says what the users' phones are. PROFILE: udp30 | udp60 | udp120 | …
# (phones over UDP that register for so many seconds), tcp60 (over TCP), logoff (their users log them off); a slash and a number of
# seconds may follow: the nlb's grace; then `+SILENCE+GRACE`: after how many silent seconds the pool asks a phone, and how long it waits for an answer.
sip=$((PORT_ADMIN + 1)); pool_admin=$((PORT_ADMIN + 3)); kind=udp; expires=60; grace=0.5
whole() { awk "BEGIN{v=int($1/$SCALE+0.5); print (v<1?1:v)}"; }
up() { # PORT: waits for the admin port to say that its process is ready
  for _ in $(seq 100); do curl -fs -o /dev/null "http://127.0.0.1:$1/readyz" && return; sleep 0.1; done
  cat "$WORK"/*.log >&2; kill $pool; exit 1
}
silence=60; patience=30; ask=0
case $PROFILE in
  *+*+*) patience=${PROFILE##*+}; PROFILE=${PROFILE%+*}; silence=${PROFILE##*+}; PROFILE=${PROFILE%+*}; ask=$silence;;
esac
case $PROFILE in
  */*) grace=${PROFILE#*/}; PROFILE=${PROFILE%/*};;
esac
case $PROFILE in
  tcp*) kind=tcp; expires=${PROFILE#tcp};;
  udp*) expires=${PROFILE#udp};;
  logoff) kind=logoff;;
esac
cat > "$WORK/pool.toml" <<C
listen = ["udp:$BIND:$sip", "tcp:$BIND:$sip"]
domains = ["bench.example"]
servers = 2
store = "sqlite:$WORK/pool.db"
admin = "127.0.0.1:$pool_admin"
auth = "off"
[expires]
min_secs = 1
default_secs = 3600
max_secs = 3600
jitter_percent = 0
[flows]
grace_secs = $(whole "$patience")
silence_secs = $(awk "BEGIN{v=int($silence/$SCALE+0.5); print (v<6?6:v)}")
ask_secs = $ask
[limits]
connections_per_address = 20000
C
"$PRESENTLY" serve --config "$WORK/pool.toml" > "$WORK/pool.log" 2>&1 &
pool=$!
up $pool_admin
echo "BESIDE=$pool"
[ "$PROFILE" = plain ] || echo "HOOK=$BENCH phones --pool $BIND:$sip --kind $kind --expires $expires --scale $SCALE --log $WORK/phones.log"
