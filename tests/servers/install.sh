#!/usr/bin/env bash
# Makes sure that the servers the tests start are there. tox calls it before the tests.
set -euo pipefail

PATH=$PATH:/usr/sbin

install_nginx() {
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo -n)
  fi
  if ! command -v apt-get >/dev/null || ! "${sudo[@]}" true 2>/dev/null; then
    echo "The tests need nginx on PATH (Debian: nginx-light), and this user cannot install it." >&2
    exit 1
  fi
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends nginx-light >/dev/null
}

# Into a folder of its own, which all working copies share: it takes a minute and 370 MB.
install_azurite() {
  if ! command -v npm >/dev/null; then
    echo "The tests need node and npm on PATH (Debian: nodejs, npm), for azurite." >&2
    exit 1
  fi
  npm install --silent --no-audit --no-fund --no-save --prefix "$1" azurite@3.37.0 >/dev/null
}

command -v nginx >/dev/null || install_nginx

azurite=${XDG_CACHE_HOME:-$HOME/.cache}/asyncwds/azurite
[ -e "$azurite/node_modules/azurite/dist/src/blob/main.js" ] || install_azurite "$azurite"
