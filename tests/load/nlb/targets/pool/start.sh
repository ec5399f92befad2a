#!/bin/sh
# HAProxy, tuned, and a pool beside it that it does not ask: what a presence server knows of the users' phones, and when. What is handed
# in and printed: README.md.
set -eu
cd "$(dirname "$0")/.."
. ./pool.sh
PROFILE=tuned exec haproxy/start.sh
