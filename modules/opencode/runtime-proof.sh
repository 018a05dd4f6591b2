#!/bin/sh
# Says whether this container really runs where its label claims, from what the kernel shows: runtime-proof COMMAND
#
#   check        ends with 0 when it is proven (or nothing is claimed), else with 1 and one sentence
#   kernel       the kernel that this container sees
#   hypervisor   what the isolation is, "not proven" where it is not
#   verified_at  the time, when it is proven right now
#
# OUTRIGGER_RUNTIME           what is claimed: kata, gvisor or standard (default)
# OUTRIGGER_NODE_KERNELS      kernels of the nodes, from the admin, with commas; one of them here means: no virtual machine
# OUTRIGGER_RUNTIME_UNPROVEN  "allow" lets `check` pass with a warning
# PROC_DIR, SYS_DIR           where the kernel shows itself; default /proc and /sys
#
# Each sign alone can be missing or shared with another set-up, so Kata needs two that differ in kind: a kernel that no
# node has, and a mark that only Kata's guest bears. Being root in the container forges neither without CAP_SYS_ADMIN.
# Sources: kata-containers src/runtime/virtcontainers (kernel parameters of a guest, mount tag kataShared),
# gvisor pkg/sentry (kernel log, version it reports).
# -f: a list of kernels is no pattern of file names.
set -euf

claimed=${OUTRIGGER_RUNTIME:-standard}
proc=${PROC_DIR:-/proc}
sys=${SYS_DIR:-/sys}
kernel=$(cat "$proc/sys/kernel/osrelease" 2>/dev/null || uname -r)

add() {
  missing=${missing:+$missing, and }$1
}

# Compares whole names: 6.1.0-1 is not 6.1.0-10.
is_of_a_node() {
  for name in $(printf '%s' "${OUTRIGGER_NODE_KERNELS:-}" | tr ',' ' '); do
    [ "$name" != "$kernel" ] || return 0
  done
  return 1
}

bears_mark_of_kata() {
  grep -q -E '(^| )systemd\.unit=kata-containers\.target( |$)|(^| )agent\.(log|log_vport|debug_console)(=| |$)' \
    "$proc/cmdline" 2>/dev/null ||
    grep -q -E '^kataShared [^ ]+ (virtiofs|9p) ' "$proc/self/mounts" 2>/dev/null
}

# Only x86 says so; where the processor has no "flags" line there is nothing to miss.
is_on_bare_metal() {
  grep -q '^flags' "$proc/cpuinfo" 2>/dev/null && ! grep -q -E '^flags.* hypervisor( |$)' "$proc/cpuinfo"
}

bears_mark_of_gvisor() {
  grep -q -E '^Linux version (4\.4\.0|[0-9.]+-gvisor) #1 SMP Sun Jan 10 15:06:54 PST 2016' "$proc/version" 2>/dev/null ||
    dmesg 2>/dev/null | grep -q 'Starting gVisor'
}

# Sets `missing` to what speaks against the claim; empty means proven.
examine() {
  missing=
  case $claimed in
    standard) ;;
    kata)
      if [ -z "$(printf '%s' "${OUTRIGGER_NODE_KERNELS:-}" | tr -d ', ')" ]; then
        add 'the kernels of the nodes are not known (variable node_kernels)'
      elif is_of_a_node; then
        add "it runs on kernel $kernel, which is a node's own"
      fi
      bears_mark_of_kata || add 'nothing here bears the mark of a Kata guest'
      ! is_on_bare_metal || add 'its processor is not a virtual one'
      ;;
    gvisor)
      ! is_of_a_node || add "it runs on kernel $kernel, which is a node's own"
      bears_mark_of_gvisor || add 'the kernel here is not that of gVisor'
      ;;
    *)
      printf "runtime-proof: OUTRIGGER_RUNTIME is '%s'. Use kata, gvisor or standard.\n" "$claimed" >&2
      exit 2
      ;;
  esac
}

remedy() {
  case $claimed in
    kata) echo "Ask the template's admin to set runtime_class to a class of Kata whose handler the nodes have, and node_kernels to what 'kubectl get nodes -o wide' shows" ;;
    *) echo "Ask the template's admin to choose a runtime that the nodes have" ;;
  esac
}

check() {
  if [ -z "$missing" ]; then
    if [ "$claimed" = standard ]; then
      echo 'runtime-proof: no isolation beyond a container is claimed.'
    else
      echo "runtime-proof: $claimed is proven, with guest kernel $kernel."
    fi
  elif [ "${OUTRIGGER_RUNTIME_UNPROVEN:-}" = allow ]; then
    echo "runtime-proof: $claimed is not proven, and the admin allows that: $missing." >&2
  else
    echo "runtime-proof: this workspace claims $claimed, and that is not proven: $missing. $(remedy), or to accept it with allow_unproven_runtime." >&2
    return 1
  fi
}

hypervisor() {
  if [ -n "$missing" ]; then echo 'not proven'; return; fi
  case $claimed in
    kata) echo "Kata ($(cat "$sys/class/dmi/id/sys_vendor" 2>/dev/null || echo 'vendor unknown'))" ;;
    gvisor) echo 'gVisor' ;;
    *) echo 'none' ;;
  esac
}

verified_at() {
  if [ -n "$missing" ]; then echo 'not proven'; return; fi
  case $claimed in
    standard) echo 'nothing to prove' ;;
    *) date -u +%Y-%m-%dT%H:%M:%SZ ;;
  esac
}

examine
case ${1:-} in
  check) check ;;
  kernel) printf '%s\n' "$kernel" ;;
  hypervisor) hypervisor ;;
  verified_at) verified_at ;;
  *)
    echo 'runtime-proof: use check, kernel, hypervisor or verified_at.' >&2
    exit 2
    ;;
esac
