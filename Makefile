# Only the door: every target is in ./run, which also works without make.
# Variables of images (AGENT=devbox VERSION=v1.0.0 …) reach ./run as its environment.
TARGETS = help demo test check run templates cdktf bench acceptance \
	build buildx agent-build executor-test test-docker test-images

.PHONY: $(TARGETS)

$(TARGETS):
	@./run $@
