#!/bin/sh
# Builds one tool of ./tools into /out: build-tools.sh kubectl|helm|yq|golangci-lint
# go.mod holds their versions, go.sum the checksums of everything in them.
set -eu

cd "$(dirname "$0")/tools"
export CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath' GOTOOLCHAIN=local
version_of() { go list -m -f '{{.Version}}' "$1"; }
build() { # FLAGS PACKAGE
  go build -o "/out/$tool" -ldflags "-s -w $1" "$2"
}

tool=$1
case $tool in
  # Kubernetes v1.N.P publishes its modules as v0.N.P.
  kubectl) build "-X k8s.io/component-base/version.gitVersion=$(version_of k8s.io/kubectl | sed 's/^v0/v1/')" ./kubectl ;;
  helm) build "-X helm.sh/helm/v3/internal/version.version=$(version_of helm.sh/helm/v3)" helm.sh/helm/v3/cmd/helm ;;
  yq) build '' github.com/mikefarah/yq/v4 ;;
  golangci-lint) build '' github.com/golangci/golangci-lint/v2/cmd/golangci-lint ;;
  *) echo "There is no tool $tool." >&2 && exit 2 ;;
esac
