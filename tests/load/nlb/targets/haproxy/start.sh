#!/bin/sh
# Starts HAProxy for the bench; what is handed in and printed: README.md.
# PROFILE: leastconn | cookie | header (throughput); typical | aggressive | keepalive | tuned (vanish). SCALE divides every duration.
set -eu
sec() { awk "BEGIN{v=$1/$SCALE; print (v*1000)\"ms\"}"; }
whole() { awk "BEGIN{v=int($1/$SCALE+0.5); print (v<1?1:v)\"s\"}"; }
tunnel=$(sec 3600); ka=""; ut=""; http_stick=""; cookie=""
[ "$PROFILE" = tuned ] && ut="tcp-ut $(sec 60)"
case $PROFILE in
  aggressive) tunnel=$(sec 60);;
esac
case $PROFILE in
  aggressive|keepalive|tuned) ka="option clitcpka
  clitcpka-idle $(whole 30)
  clitcpka-intvl $(whole 10)
  clitcpka-cnt 3";;
esac
case $PROFILE in
  cookie) http_stick="cookie SRV insert indirect nocache"; cookie=1;;
  header|typical|aggressive|keepalive|tuned) http_stick="stick-table type string len 32 size 100k expire $(sec 1800)
  stick on req.hdr(X-User)";;
esac
servers() { i=0; for b in $(echo "$1" | tr , ' '); do i=$((i+1)); echo "  server s$i $b check inter 2s${2:+ cookie s$i}"; done; }
cat > "$WORK/haproxy.cfg" <<C
global
  maxconn 8000
  nbthread ${THREADS:-2}
  stats socket ipv4@127.0.0.1:$PORT_ADMIN level admin
defaults
  timeout connect 5s
  timeout client $(sec 60)
  timeout server $(sec 60)
  timeout tunnel $tunnel
  timeout client-fin 5s
  timeout server-fin 5s
  $ka
listen web
  mode http
  bind $BIND:$PORT_HTTP $ut
  balance leastconn
  $http_stick
$(servers "$BACKENDS_HTTP" "$cookie")
listen raw
  mode tcp
  bind $BIND:$PORT_TCP $ut
  balance leastconn
$(servers "$BACKENDS_TCP" "")
C
haproxy -D -q -f "$WORK/haproxy.cfg" -p "$WORK/haproxy.pid"
echo "PROXY=$BIND:$PORT_HTTP"
echo "PROXY_TCP=$BIND:$PORT_TCP"
echo "ADMIN=127.0.0.1:$PORT_ADMIN"
echo "PIDS=$(tr '\n' ' ' < "$WORK/haproxy.pid")"
