#!/bin/sh
# No proxy: the first application server itself. Shows what the generator and the demo servers cost alone.
echo "PROXY=${BACKENDS_HTTP%%,*}"
echo "PROXY_TCP=${BACKENDS_TCP%%,*}"
echo "PIDS=$APP_PID1"
