#!/usr/bin/env bash
# Makes sure that what the tests need of the system is there: the servers that they start, and FFmpeg for TorchCodec, the tests of
# which are left out where it is missing. tox calls it before the tests.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin
missing=()
command -v nginx >/dev/null || missing+=(nginx-light)
ldconfig -p 2>/dev/null | grep 'libavdevice\.so' >/dev/null || missing+=(ffmpeg)
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" -ne 0 ]; then
  sudo=(sudo -n)
fi
if command -v apt-get >/dev/null && "${sudo[@]}" true 2>/dev/null; then
  "${sudo[@]}" apt-get update -qq
  "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
elif ! command -v nginx >/dev/null; then
  echo "The tests need nginx on PATH (Debian: nginx-light), and this user cannot install it." >&2
  exit 1
fi
