# Only the door: every target is in ./run, which also works without make.
.PHONY: help demo test check run templates bench acceptance

help demo test check run templates bench acceptance:
	@./run $@
