# The only door a person needs: `make run`, `make test`, `make build`. Meson does the work behind it.

BUILD ?= build
# Which build of the tests `make asan` and `make tsan` run.
SANITIZED_SUITES = --suite unit --suite scenario

# Schedules of `make sim`; those of a gate, and of a night.
SIM_SEEDS ?= 3000
SIM_GATE_SEEDS = 30000
SIM_LONG_SEEDS = 1000000

.PHONY: build run test unit e2e chaos siege asan tsan sim sim-gate sim-long crash-points sim-build sim-hash mutants gate bench bench-baseline bench-floor fuzz tidy analyze format install clean setup sbom reproducible

# Progress on a terminal, silence elsewhere. Only the program: the tests are built when they are run.
build: $(BUILD)/build.ninja
	@[ -t 1 ] && quiet= || quiet=--quiet; ninja -C $(BUILD) $$quiet conclave

run: build
	@$(BUILD)/conclave cluster run

# What CI runs, and what the README promises: everything that must hold for a commit.
test: build
	@tools/run-tests $(BUILD)

unit: build
	@meson test -C $(BUILD) --suite unit --suite scenario --print-errorlogs

e2e: build
	@tools/run-tests $(BUILD) e2e

# A normal workload beside attacks and overloads: an hour (SIEGE_MINUTES, SIEGE_SEED).
siege: build
	@CONCLAVE="$${CONCLAVE:-$(CURDIR)/$(BUILD)/conclave}" python3 test/siege/campaign.py

# Every live fault, on clusters of three, five and one: minutes (CHAOS_ROUNDS, CHAOS_SEED).
chaos: build
	@ninja -C $(BUILD) --quiet test/chaos/libdisk_shim.so
	@CONCLAVE="$${CONCLAVE:-$(CURDIR)/$(BUILD)/conclave}" python3 test/chaos/campaign.py

asan: build-asan/build.ninja
	@ninja -C build-asan --quiet
	@meson test -C build-asan $(SANITIZED_SUITES) --print-errorlogs

tsan: build-tsan/build.ninja
	@ninja -C build-tsan --quiet
	@meson test -C build-tsan $(SANITIZED_SUITES) --print-errorlogs

# The deterministic simulator (docs/TESTING.md): `make sim SEED=42` plays one story and tells it.
sim: sim-build
ifdef SEED
	@build-sim/sim/sim --seed $(SEED) --trace
else
	@build-sim/sim/sim --replay sim/regressions/*.schedule
	@build-sim/sim/sim --seeds $(SIM_SEEDS)
endif

sim-gate: sim-build
	@build-sim/sim/sim --seeds $(SIM_GATE_SEEDS)

# From another first seed every time.
sim-long: sim-build
	@build-sim/sim/sim --seeds $(SIM_LONG_SEEDS) --first $$(date +%s)000

# Every crash point of the workloads in sim/crash_points.
crash-points: sim-build
	@build-sim/sim/sim --crash-points sim/crash_points/*.schedule

# One story is the same in every build.
sim-hash:
	@tools/sim-hash

# Bugs planted on purpose: the simulator must find each of them.
mutants:
	@tools/run-mutants

sim-build: build-sim/build.ninja
	@ninja -C build-sim --quiet sim/sim

# Instructions per operation, against bench/gate/baseline.json.
gate: build
	@tools/run-tests $(BUILD) bench

# After a change that is meant to cost more, or that costs less; on this compiler.
bench-baseline: build
	@ninja -C $(BUILD) --quiet bench/gate/gate
	@python3 tools/gate.py $(BUILD) --write

# Three members beside three of Debian's etcd: an hour or two, QUICK=1 some minutes. Raw results go to
# bench/results/ (BENCH_FLAGS: bench/side.py --help).
bench: build
	@./setup --if-needed --bench
	@python3 bench/side.py --binary $(BUILD)/conclave $(if $(QUICK),--quick) $(BENCH_FLAGS)

# What of a request's CPU is the kernel's, and that of HTTP/2, whoever answers it: some minutes
# (FLOOR_FLAGS: bench/floor.py --help).
bench-floor: build
	@ninja -C $(BUILD) --quiet bench/floor/floor
	@python3 bench/floor.py --build $(BUILD) $(FLOOR_FLAGS)

fuzz: build-fuzz/build.ninja
	@ninja -C build-fuzz --quiet
	@tools/run-fuzzers build-fuzz

tidy:
	@tools/run-tests $(BUILD) tidy format

analyze: build
	@tools/run-analyzers $(BUILD)

# What the build is made of, as CycloneDX (docs/DEPENDENCIES.md).
sbom: build
	@tools/sbom.py $(BUILD) > $(BUILD)/conclave.cdx.json
	@echo $(BUILD)/conclave.cdx.json

# Two builds in other places and times are the same, byte by byte: minutes.
reproducible:
	@tools/check-reproducible

format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i

install: build
	@meson install -C $(BUILD) --quiet

setup:
	@./setup

$(BUILD)/build.ninja:
	@./setup --if-needed
	@meson setup $(BUILD) --buildtype=debugoptimized >/dev/null

# gcc's warnings are not to be trusted under sanitizers (null formats that are none), so there they are
# no errors. With -O1 and lines alone in the debug information it is built in half the time.
build-asan/build.ninja:
	@./setup --if-needed
	@meson setup build-asan -Doptimization=1 -Ddebug=true -Dc_args=-g1 -Db_sanitize=address,undefined \
		-Db_lundef=false -Dwerror=false -Ddchecks=true >/dev/null

build-tsan/build.ninja:
	@./setup --if-needed
	@meson setup build-tsan --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false \
		-Dwerror=false >/dev/null

build-sim/build.ninja:
	@./setup --if-needed
	@meson setup build-sim -Doptimization=3 -Ddebug=true >/dev/null

build-fuzz/build.ninja:
	@./setup --if-needed --dev
	@CC=clang meson setup build-fuzz --buildtype=debugoptimized -Dfuzzers=true \
		-Db_sanitize=address,undefined -Db_lundef=false -Ddchecks=true >/dev/null

clean:
	@rm -rf build build-sim build-sim-* build-mutants build-asan build-tsan build-fuzz
