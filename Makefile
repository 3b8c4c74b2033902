# Everything runs in .venv, made from requirements.lock; nothing is installed elsewhere.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PHOTO := benchmarks/samples/blurry/mountains.png
MODEL := out/mobilenet_dsc_onnx-fp32_736x1280.onnx

.PHONY: demo test test-browser test-heavy test-slow test-wheel test-gpu test-arm test-cpp mutants lint types web web-packages web-check web-check-slow web-times readme results results-export scaling lock clean android-check android-apk have-maven

demo: $(READY)  ## a blurry photo comes back sharper through an exported artifact, with a measured table
	$(BIN)/deblur-export --backbone mobilenet_dsc --target onnx-fp32 --output out --force
	$(BIN)/deblur-run $(MODEL) $(PHOTO) --output out/demo --side-by-side --force
	$(BIN)/deblur-bench --engine $(MODEL) --runs 10 --report out/report --force
	@echo "Look at out/demo (blurry and deblurred side by side) and out/report/report.html"

test: $(READY)  ## the whole suite, without the slow full-size measurements
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest --numprocesses 2 --dist loadfile

test-heavy: $(READY)  ## long tests of single formats
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m heavy --numprocesses 2 --dist loadfile

test-slow: $(READY)  ## full-size checks: 24-megapixel memory, 720p overhead, export time
	$(BIN)/python -m pytest -m slow

test-wheel: $(READY)  ## the wheel in fresh environments without PyTorch: sizes, pixels, messages
	$(BIN)/python -m pytest -m wheel

test-browser: $(READY)  ## the pages in headless Chromium; needs chromium (apt-get install chromium)
	$(BIN)/python -m pytest -m 'browser and not slow'

test-gpu: $(READY)  ## engines and PyTorch on an NVIDIA GPU; fails where there is none
	$(BIN)/python -m pytest -m gpu

test-arm: $(READY)  ## ncnn for 64-bit Arm in QEMU against x86 and PyTorch, on Debian; no times
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest -m arm -rP

test-cpp: $(READY)  ## docs/EDGE.md's C++ compiled and run; NCNN=FOLDER is where ncnn was installed
	OMP_WAIT_POLICY=PASSIVE NCNN=$(NCNN) $(BIN)/python -m pytest -m cpp

mutants: $(READY)  ## which changes of the arithmetic the tests notice; MODULE=runtimes/compare.py for one
	$(BIN)/python -m tests.mutants.run $(MODULE)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)
	$(BIN)/basedpyright

android-check: have-maven  ## compile the Android app and run its tests; needs a JDK and Maven, no Android SDK
	mvn --batch-mode --no-transfer-progress --file android_demo/pom.xml test

android-apk: have-maven  ## a signed debug APK with the models in the app's assets, without the Android SDK
	@ls android_demo/app/src/main/assets/models/*.tflite >/dev/null 2>&1 || { \
	  echo "no model in android_demo/app/src/main/assets/models; run: deblur-export --target tflite-int8 --size 256x256 --android -o out"; exit 1; }
	mvn --batch-mode --no-transfer-progress --file android_demo/pom.xml package -Papk -DskipTests
	@echo "Install it with: adb install android_demo/target/edgedeblur-debug.apk"

have-maven:
	@command -v mvn >/dev/null && mvn -v 2>/dev/null | grep -qE 'Java version: (1[7-9]|[2-9][0-9])' || { \
	  echo "this needs a JDK of version 17 or later and Maven, e.g. apt-get install default-jdk-headless maven"; exit 1; }

NPM := export/web/node_modules/.package-lock.json
WEB_MODELS := --backbone mobilenet_dsc --target onnx-fp32 --target onnx-int8 --target tflite-int8

web: $(READY) web-packages  ## a web page in out/web that deblurs in the visitor's browser, with three models
	$(BIN)/deblur-export $(WEB_MODELS) --output out --web out/web --force
	@echo "Look at it with: $(BIN)/python -m edgedeblur.export.web.serve out/web"

web-packages: $(NPM)  ## onnxruntime-web and LiteRT.js, as export/web/package-lock.json pins them; needs Node and npm

$(NPM): export/web/package.json export/web/package-lock.json
	@command -v npm >/dev/null || { echo "this needs Node 20 or later with npm, e.g. apt-get install npm"; exit 1; }
	npm ci --prefix export/web --ignore-scripts --no-audit --no-fund
	touch $@

web-check: $(READY) web-packages  ## the page: types, its modules in Node, and all of it in headless Chromium
	cd export/web && node_modules/.bin/tsc -p jsconfig.json
	node --test --test-reporter=dot tests/export/web/*.test.mjs
	OMP_WAIT_POLICY=PASSIVE $(BIN)/python -m pytest tests/export/web -m 'web and not slow' -rP

web-check-slow: $(READY) web-packages  ## a photo of 24 megapixels in headless Chromium
	$(BIN)/python -m pytest tests/export/web -m 'web and slow' -rP

web-times: $(READY)  ## the page's time in headless Chromium beside Python's, for the models of out/web
	$(BIN)/python -m tests.export.web.times out/web

readme: $(READY)  ## rewrite the README's generated tables
	$(BIN)/python docs/readme_tables.py

NETWORKS := mobilenet_dsc mobilenet mobilenet_dsc_fast
RESULTS := onnx-fp32 onnx-fp16 onnx-int8 openvino-fp32 openvino-fp16 openvino-int8 \
  tflite-fp32 tflite-fp16 tflite-int8 executorch-fp32 executorch-fp16 executorch-int8 \
  ncnn-fp32 ncnn-fp16 ncnn-int8
# These need an Apple or NVIDIA device: emulated, or verified by a stand-in, and without times.
ELSEWHERE := coreml-fp16 coreml-int8 trt-fp32 trt-fp16 trt-int8
SIZE := 736x1280
SUFFIX := case $${target%-*} in executorch) suffix=pte;; coreml) suffix=mlpackage;; trt) suffix=plan;; \
  *) suffix=$${target%-*};; esac

results-export: $(READY)  ## the artifacts that make results measures, for all networks
	for backbone in $(NETWORKS); do \
	  $(BIN)/deblur-export --backbone $$backbone $(addprefix --target ,$(RESULTS) $(ELSEWHERE)) \
	    --size $(SIZE) --output out --force || exit 1; \
	done

results: results-export  ## measure the results tables anew on this machine; SIZE=256x256 for another size
	for backbone in $(NETWORKS); do \
	  engines=; for target in $(RESULTS); do $(SUFFIX); \
	    engines="$$engines --engine out/$${backbone}_$${target}_$(SIZE).$$suffix"; done; \
	  $(BIN)/deblur-bench $$engines --baseline reference --baseline stock --rounds 2 --runs 8 \
	    --json benchmarks/results/samples_$${backbone}_$(SIZE)_2threads_cpu.json \
	    --threads 2 --force || exit 1; \
	  engines=; for target in $(ELSEWHERE); do $(SUFFIX); \
	    engines="$$engines --engine out/$${backbone}_$${target}_$(SIZE).$$suffix"; done; \
	  $(BIN)/deblur-bench $$engines --no-latency \
	    --json benchmarks/results/elsewhere_$${backbone}_$(SIZE).json \
	    --threads 2 --force || exit 1; \
	done

scaling: $(READY)  ## measure time and memory from 256x256 to 4K anew, with the plot
	engines=; for backbone in mobilenet_dsc mobilenet; do for target in onnx-fp32 openvino-fp16; do \
	  suffix=onnx; case $$target in openvino*) suffix=openvino;; esac; \
	  $(BIN)/deblur-export --backbone $$backbone --target $$target --dynamic --output out --force || exit 1; \
	  engines="$$engines --engine out/$${backbone}_$${target}_dynamic.$$suffix"; \
	done; done; \
	$(BIN)/deblur-bench $$engines --sizes 256x256,512x512,736x1280,1088x1920,2176x3840 \
	  --runs 5 --warmup 1 --threads 2 --no-quality --force --report out/scaling \
	  --json benchmarks/results/scaling_2threads_cpu.json && cp out/scaling/scaling.png docs/pictures/

# torch stays below 2.15, which the TFLite converter (litert-torch 0.10) does not accept yet. That converter and
# Ray Serve agree on no version for Python 3.14, which is not supported: its lines are left out.
lock:  ## resolve requirements.lock anew, for all supported Pythons at once
	printf "torch<2.15\nlitert-torch>=0.10 ; python_version < '3.14'\n" | \
	  uv pip compile pyproject.toml --extra all --extra dev --universal \
	  --python-version 3.10 --constraint - --no-header --no-annotate --upgrade \
	  --output-file requirements.lock
	sed -i "/; python_full_version >= '3.14'/d" requirements.lock

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.10 to 3.13 is needed; run: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==0.13.8
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --requirement requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(READY)

clean:
	rm -rf .venv out build *.egg-info
