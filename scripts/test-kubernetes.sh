#!/bin/sh
# Runs the templates' pods and the service's on a real cluster: scripts/test-kubernetes.sh [PART OF A TEST'S PATH…]
#
# KUBECONFIG_LAB            kubeconfig of a cluster that this may use: it makes namespaces and RuntimeClasses, and removes them
# OUTRIGGER_EXECUTOR_IMAGE  executor image that the nodes have, such as the one of `make AGENT=base build`
# OUTRIGGER_OPENCODE_IMAGE  the image of `make AGENT=opencode build`, in the same way
# OUTRIGGER_SERVICE_IMAGE   the image of `make AGENT=service build`, in the same way
# OUTRIGGER_KATA_CLASS      a RuntimeClass of Kata, where the cluster has one; otherwise what needs it is skipped
# OUTRIGGER_TEST_HOST       address of this machine that pods reach: the tests' Postgres and service are there; without
#                           it the service runs only with a Postgres of its own, and no pod has a service
#
# Needed besides: kubectl and terraform. Without a registry put the images on the node first, for instance with
# `docker save IMAGE… | ctr -n k8s.io images import -`.
set -eu

cd "$(dirname "$0")/.."
for name in KUBECONFIG_LAB OUTRIGGER_EXECUTOR_IMAGE OUTRIGGER_OPENCODE_IMAGE OUTRIGGER_SERVICE_IMAGE; do
  eval "value=\${$name:-}"
  if [ -z "$value" ]; then
    echo "test-kubernetes: $name is not set. The first lines of scripts/test-kubernetes.sh say what it is." >&2
    exit 2
  fi
done
for program in kubectl terraform; do
  if ! command -v "$program" >/dev/null; then
    echo "test-kubernetes: there is no $program in PATH. Install it and run this again." >&2
    exit 2
  fi
done
[ $# -gt 0 ] || set -- test/kubernetes
exec npm run --silent jest -- "$@"
