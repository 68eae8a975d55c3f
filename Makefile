# The only door a person needs: `make run`, `make test`, `make build`. Meson does the work behind it.

BUILD ?= build
# Which build of the tests `make asan` and `make tsan` run.
SANITIZED_SUITES = --suite unit --suite scenario

.PHONY: build run test unit e2e chaos asan tsan fuzz tidy analyze format install clean setup

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

fuzz: build-fuzz/build.ninja
	@ninja -C build-fuzz --quiet
	@tools/run-fuzzers build-fuzz

tidy:
	@tools/run-tests $(BUILD) tidy format

analyze: $(BUILD)/build.ninja
	@tools/run-analyzers $(BUILD)

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
# no errors.
build-asan/build.ninja:
	@./setup --if-needed
	@meson setup build-asan --buildtype=debugoptimized -Db_sanitize=address,undefined \
		-Db_lundef=false -Dwerror=false -Ddchecks=true >/dev/null

build-tsan/build.ninja:
	@./setup --if-needed
	@meson setup build-tsan --buildtype=debugoptimized -Db_sanitize=thread -Db_lundef=false \
		-Dwerror=false >/dev/null

build-fuzz/build.ninja:
	@./setup --if-needed --dev
	@CC=clang meson setup build-fuzz --buildtype=debugoptimized -Dfuzzers=true \
		-Db_sanitize=address,undefined -Db_lundef=false >/dev/null

clean:
	@rm -rf build build-asan build-tsan build-fuzz
