#!/bin/sh
# Builds the tools of ./tools into /out. go.mod holds their versions, go.sum the checksums of everything in them.
set -eu

cd "$(dirname "$0")/tools"
export CGO_ENABLED=0 GOFLAGS='-mod=readonly -trimpath' GOTOOLCHAIN=local
version_of() { go list -m -f '{{.Version}}' "$1"; }

# Kubernetes v1.N.P publishes its modules as v0.N.P.
kubectl=$(version_of k8s.io/kubectl | sed 's/^v0/v1/')
go build -o /out/ -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$kubectl" ./kubectl
go build -o /out/ -ldflags "-s -w -X helm.sh/helm/v3/internal/version.version=$(version_of helm.sh/helm/v3)" helm.sh/helm/v3/cmd/helm
go build -o /out/yq -ldflags '-s -w' github.com/mikefarah/yq/v4
go build -o /out/ -ldflags '-s -w' github.com/golangci/golangci-lint/v2/cmd/golangci-lint
