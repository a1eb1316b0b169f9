# make test   everything: set-up of a fresh Debian machine, vet, format, all tests
# make check  vet and format alone
# make bench  the benchmarks beside each package

.PHONY: test check setup bench

test: setup check
	BULLA_REQUIRE=1 go test -race ./...

check:
	go vet ./...
	@unformatted="$$(gofmt -l .)"; test -z "$$unformatted" || { echo "not gofmt'ed: $$unformatted"; exit 1; }

setup:
	@.ci/setup

bench:
	go test -run '^$$' -bench . ./...
