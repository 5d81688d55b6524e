#!/usr/bin/env bash
# Makes sure that what the tests need of the system is there: the servers that they start, a browser, and FFmpeg for TorchCodec, the
# tests of which are left out where it is missing. tox calls it before the tests. What cannot be installed is said: the tests of such a server
# are skipped, or, with CI=true, nothing is.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin

do_without() {
  echo "$1" >&2
  [ "${CI:-}" != true ] || exit 1
}

install_packages() {
  local sudo=()
  if [ "$(id -u)" -ne 0 ]; then
    sudo=(sudo -n)
  fi
  if command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
    "${sudo[@]}" apt-get update -qq
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
  else
    command -v nginx >/dev/null ||
      do_without "nginx is not on PATH (Debian: nginx-light), and this user cannot install it: its tests are skipped."
    command -v chromedriver >/dev/null ||
      do_without "Chromium is not on PATH (Debian: chromium, chromium-driver), and this user cannot install it: its tests are skipped."
  fi
}

# Into a folder of its own, which all working copies share: it takes a minute and 370 MB.
install_azurite() {
  if ! command -v npm >/dev/null; then
    do_without "node and npm are not on PATH (Debian: nodejs, npm), azurite needs them: its tests are skipped."
    return
  fi
  npm install --silent --no-audit --no-fund --no-save --prefix "$1" azurite@3.37.0 >/dev/null ||
    do_without "azurite could not be installed: its tests are skipped."
}

missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
command -v chromedriver >/dev/null || missing+=(chromium chromium-driver)
ldconfig -p 2>/dev/null | grep 'libavdevice\.so' >/dev/null || missing+=(ffmpeg)
[ ${#missing[@]} -eq 0 ] || install_packages "${missing[@]}"

azurite=${XDG_CACHE_HOME:-$HOME/.cache}/asyncwds/azurite
[ -e "$azurite/node_modules/azurite/dist/src/blob/main.js" ] || install_azurite "$azurite"
