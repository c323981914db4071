# What a contributor types, and what the gate and CI call. PYTHON chooses the interpreter.

PYTHON ?= python
ASAN_TESTS := $(wildcard tests/core tests/compat/test_cachetools.py \
	tests/compat/test_cachetools_hostile.py tests/memory/test_*pool*.py tests/memory/test_compact*.py \
	tests/similarity/test_copies.py tests/concurrency/test_drive.py tests/concurrency/test_futures.py \
	tests/analysis/test_text*.py tests/analysis/test_figures.py tests/similarity/test_sketches.py)
TSAN_TESTS := $(wildcard tests/core/test_threads.py tests/core/test_memo.py tests/core/test_histogram.py \
	tests/concurrency/test_drive.py tests/concurrency/test_workers_threads.py \
	tests/similarity/test_search.py tests/analysis/test_text_kernels.py)
FUZZ_SECONDS ?= 5
LEAK_OPERATIONS ?= 5000
CORE_MODULES = $(patsubst src/raudo/_core/%.pyx,raudo._core.%,$(wildcard src/raudo/_core/*.pyx))

.PHONY: build test test-isas test-fast monitoring-e2e queues-e2e soak behaviour bench bench-check lint floors workflows types c-test portable asan tsan fuzz leaks harden docs wheel wheels clean

build:  ## compile what changed, in place
	$(PYTHON) setup.py -q build_ext --inplace

test: build
	$(PYTHON) -m pytest

ISA_TESTS ?= tests/similarity tests/analysis tests/core
test-isas: build  ## once with each instruction set that this processor has; ISA_TESTS=tests: the whole suite
	for isa in $$($(PYTHON) -c "from raudo._core import kernels; print(*kernels.available_isas())"); do \
		echo "RAUDO_ISA=$$isa"; RAUDO_ISA=$$isa $(PYTHON) -m pytest -q $(ISA_TESTS) || exit 1; done

test-fast: build
	$(PYTHON) -m pytest -m "not slow"

soak: build  ## mixed work at full load with faults, on caches and processors, a minute for each
	RAUDO_SOAK_SECONDS=$${RAUDO_SOAK_SECONDS:-60} $(PYTHON) -m pytest -s \
		tests/core/test_soak.py tests/soak --timeout 1800

behaviour: build  ## what happens when things go wrong, beside the other pools, into the README
	cd tests && PYTHONPATH=. $(PYTHON) -m behaviour.table

bench: build  ## the comparison runs; quiet machine, please
	$(PYTHON) -m raudo bench cache
	$(PYTHON) benchmarks/claims.py
	$(PYTHON) -m pytest benchmarks --benchmark-only

bench-check: build  ## every benchmark runs, once and small; the core takes no more instructions
	$(PYTHON) -m pytest benchmarks --benchmark-disable -q
	$(PYTHON) benchmarks/claims.py --quick
	$(PYTHON) benchmarks/bench_cache_hit_ratio.py --quick
	$(PYTHON) benchmarks/bench_cache_prefetch.py --quick
	$(PYTHON) benchmarks/bench_cache_levels.py --quick
	$(PYTHON) benchmarks/bench_cache_weights.py --quick
	$(PYTHON) benchmarks/bench_cache_advisor.py --quick
	$(PYTHON) benchmarks/bench_cache_curves.py --quick
	$(PYTHON) -m raudo bench cache --quick
	$(PYTHON) benchmarks/instructions.py --check

monitoring-e2e: build  ## against the real Prometheus, Alertmanager, an OTLP collector, a browser
	for each in prometheus promtool prometheus-alertmanager amtool chromium; do \
		command -v $$each > /dev/null || { apt-get update -qq && apt-get install -y -qq \
			--no-install-recommends prometheus prometheus-alertmanager chromium; break; }; done
	$(PYTHON) -m pip install -q rotel opentelemetry-exporter-otlp-proto-http \
		playwright 'grafana-foundation-sdk==1769699998!10.1.0'
	CI=1 $(PYTHON) -m pytest -q $(wildcard tests/monitoring/test_e2e_*.py)

queues-e2e: build  ## queues on real brokers that are killed, cut off and shared
	CI=1 $(PYTHON) -m pytest -q tests/integrations/test_kafka.py \
		tests/integrations/test_redis_streams.py tests/integrations/test_server_examples.py

lint: floors workflows
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	cython-lint src/raudo/_core

floors:  ## imports go downwards only
	lint-imports

workflows:  ## of .github, by their schemas; by actionlint and shellcheck too where they are installed
	check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml
	check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	check-jsonschema --builtin-schema vendor.github-issue-forms \
		$(filter-out %/config.yml,$(wildcard .github/ISSUE_TEMPLATE/*.yml))
	if command -v actionlint; then actionlint; else echo "no actionlint here: the schemas alone"; fi
	if command -v shellcheck; then shellcheck .ci/run; else echo "no shellcheck here"; fi

types:  ## mypy strict, and the stubs of the compiled floor against what it really has
	$(PYTHON) -m mypy
	$(PYTHON) -m mypy.stubtest $(CORE_MODULES) --allowlist .ci/stubtest-allowlist.txt

c-test:  ## the C code alone, under ASan and UBSan
	$(MAKE) -C csrc/test

portable:  ## the C for each system whose compiler is here, its tests where they can run; SYSTEMS=musl: one
	$(MAKE) -C csrc/test portable

# A build with a sanitizer is made in a copy of the tree, so that the release build in place stays as it
# is. Only files whose content changed are copied, and with a new time, so that the second run compiles
# these and no others; the C that Cython made of the present sources too, as it is the same for every build.
build/%/.copied: force
	mkdir -p build/$*
	git ls-files -z --cached --others --exclude-standard | xargs -0 sh -c 'for f; do \
		[ ! -e "$$f" ] || cmp -s "$$f" "build/$*/$$f" \
		|| { mkdir -p "build/$*/$$(dirname "$$f")" && cp "$$f" "build/$*/$$f"; }; done' sh
	newest=$$(ls -t src/raudo/_core/*.pyx src/raudo/_core/*.pxd setup.py | head -n 1); \
	for c in src/raudo/_core/*.c; do [ ! "$$c" -nt "$$newest" ] || cmp -s "$$c" "build/$*/$$c" \
		|| cp "$$c" "build/$*/$$c"; done
	cd build/$* && RAUDO_BUILD=$* $(PYTHON) setup.py -q build_ext --inplace
.PHONY: force
force:
# --capture=sys leaves the sanitizer's own report on standard error, where it ends the process.
PYTEST_SANITIZED = PYTHONPATH="$$PWD/src" PYTHONMALLOC=malloc RAUDO_SANITIZED=1 \
	$(PYTHON) -m pytest -q -p no:cacheprovider --capture=sys --timeout 900

# libstdc++ comes along for the exceptions of other packages' C++, which the sanitizer looks for at its start;
# hnswlib frees by `delete` what it took by `new[]`.
asan: build/asan/.copied  ## with AddressSanitizer and UBSan; ASAN_TESTS=tests: the whole suite
	cd build/asan && LD_PRELOAD="$$(gcc -print-file-name=libasan.so) $$(gcc -print-file-name=libstdc++.so.6)" \
		ASAN_OPTIONS=detect_leaks=0:alloc_dealloc_mismatch=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
		$(PYTEST_SANITIZED) $(ASAN_TESTS)

# Python itself is not instrumented: what its lock orders is seen by the locks and conditions it is made of.
tsan: build/tsan/.copied  ## with ThreadSanitizer, what runs in threads
	cd build/tsan && LD_PRELOAD="$$(gcc -print-file-name=libtsan.so)" \
		TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 suppressions=$(CURDIR)/.ci/tsan-suppressions.txt" \
		$(PYTEST_SANITIZED) $(TSAN_TESTS)

fuzz:  ## libFuzzer on csrc, FUZZ_SECONDS for each target
	$(MAKE) -C csrc/test/fuzz PYTHON=$(PYTHON) FUZZ_SECONDS=$(FUZZ_SECONDS)

# LEAKS="caches: levels:" for some groups; a million of every kind take about half an hour.
leaks: build  ## LEAK_OPERATIONS of each kind leave objects, blocks and memory as they were: a table
	$(PYTHON) -m pytest -q tests/isolated
	PYTHONPATH=src RAUDO_LEAK_OPERATIONS=$(LEAK_OPERATIONS) $(PYTHON) tests/isolated/leak_each_kind.py $(LEAKS)

harden: c-test  ## all of it: some hours on two cores; what CI does in short form
	$(MAKE) asan ASAN_TESTS=tests
	$(MAKE) tsan
	$(MAKE) fuzz FUZZ_SECONDS=$${FUZZ_SECONDS:-120}
	$(MAKE) leaks LEAK_OPERATIONS=1000000
	HYPOTHESIS_PROFILE=deep $(PYTHON) -m pytest -q tests/test_hostile_input.py --timeout 3600

docs:  ## the reference of all public names, from their docstrings, into build/api
	$(PYTHON) docs/build_api.py

wheel:
	$(PYTHON) -m build --wheel

WHEEL_TESTS ?= -m "not slow"
wheels:  ## for each Python that is here: manylinux2014, checked, and tested outside of the tree
	$(PYTHON) building/wheels.py --test $(WHEEL_TESTS)

clean:
	rm -rf build dist src/raudo/_core/*.c src/raudo/_core/*.so
