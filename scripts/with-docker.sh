#!/bin/sh
# Runs a command with what the tests of test/**/*.docker.test.ts need: a Docker daemon, and an image of Debian bookworm.
#
# Takes the daemon that answers. Where none does and this is root, it installs Debian's docker.io if that is missing,
# starts a daemon, and stops it again at the end. The image is made with debootstrap, from Debian's own archive.
#
# TEST_BASE_IMAGE  an image to build on instead; default outrigger-base:bookworm, made when it is missing
# DOCKER_OPTIONAL  1: where this cannot be had, say why and run the command all the same; its Docker tests are skipped
set -eu
cd "$(dirname "$0")/.."

base=${TEST_BASE_IMAGE:-outrigger-base:bookworm}
daemon=
scratch=$(mktemp -d)

answers() { docker version >/dev/null 2>&1; }

clean_up() {
  [ -z "$daemon" ] || kill "$daemon" 2>/dev/null || true
  [ -z "$daemon" ] || wait "$daemon" 2>/dev/null || true
  rm -rf "$scratch"
}
trap clean_up EXIT
trap 'exit 143' INT TERM

# Each of these answers with 1 and a sentence when it cannot be had.
missing() {
  echo "$1" >&2
  return 1
}

install() { # PROGRAM PACKAGE
  command -v "$1" >/dev/null 2>&1 && return
  [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1 ||
    missing "$1 is not in PATH. Install it, or run this as root on Debian, where it installs $2." || return
  echo "Installing $2 ..."
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends "$2" >/dev/null ||
    missing "$2 could not be installed."
}

have_daemon() {
  install docker docker.io || return
  ! answers || return 0
  [ "$(id -u)" -eq 0 ] || missing 'No Docker daemon answers, and only root can start one. Start it, or set DOCKER_HOST.' || return
  install dockerd docker.io || return
  echo 'Starting a Docker daemon ...'
  dockerd >"$scratch/dockerd.log" 2>&1 &
  daemon=$!
  tries=60
  until answers; do
    tries=$((tries - 1))
    if [ "$tries" -eq 0 ] || ! kill -0 "$daemon" 2>/dev/null; then
      tail -n 20 "$scratch/dockerd.log" >&2
      missing 'The Docker daemon does not come up; the end of its log is above.'
      return
    fi
    sleep 1
  done
}

have_base() {
  ! docker image inspect "$base" >/dev/null 2>&1 || return 0
  if [ -n "${TEST_BASE_IMAGE:-}" ]; then
    docker pull "$base" || missing "$base cannot be pulled."
    return
  fi
  install debootstrap debootstrap || return
  echo 'Making a base image of Debian bookworm ...'
  if ! debootstrap --variant=minbase bookworm "$scratch/root" >"$scratch/debootstrap.log" 2>&1; then
    tail -n 20 "$scratch/debootstrap.log" >&2
    missing 'debootstrap failed; the end of its log is above.'
    return
  fi
  rm -rf "$scratch"/root/var/cache/apt/archives/*.deb "$scratch"/root/var/lib/apt/lists/*
  tar -C "$scratch/root" -c . | docker import - "$base" >/dev/null || missing 'The base image could not be imported.'
}

if have_daemon && have_base; then
  export OUTRIGGER_TEST_DOCKER=1 OUTRIGGER_TEST_BASE_IMAGE="$base"
elif [ "${DOCKER_OPTIONAL:-}" = 1 ]; then
  echo 'Going on without the tests that need Docker.' >&2
else
  exit 2
fi
"$@"
