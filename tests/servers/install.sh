#!/usr/bin/env bash
# Makes sure that the servers the tests start are there. tox calls it before the tests.
set -euo pipefail

PATH=$PATH:/usr/sbin
command -v nginx >/dev/null && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  sudo=(sudo -n)
fi
if ! command -v apt-get >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
  echo "The tests need nginx on PATH (Debian: nginx-light), and this user cannot install it." >&2
  exit 1
fi
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light >/dev/null
