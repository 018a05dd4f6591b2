# An executor that says where repositories go and which part of one is worked on.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ENV GIT_ROOT=/workspace/src GIT_LINK=repo GIT_REPO_SUBPATH=packages/api
