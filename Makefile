# scmmgpt: `make demo` and `make test` do all set-up themselves; `make help` lists the rest.
# Variables: BUILD (object folder), SAN=address,undefined (sanitizers), WERROR=1, PREFIX (install).
BUILD ?= build
PREFIX ?= /usr/local
CC ?= gcc
NVCC ?= $(firstword $(wildcard $(shell command -v nvcc 2>/dev/null) /usr/local/cuda/bin/nvcc))

DEB_BUILD := gcc make pkg-config libncurses-dev libreadline-dev libhdf5-dev libdnnl-dev \
  libopenblas-openmp-dev liblapacke-dev libigraph-dev libcairo2-dev libfontconfig-dev libharfbuzz-dev libpng-dev libcjson-dev \
  libzip-dev libutf8proc-dev libssl-dev zlib1g-dev libdeflate-dev libzstd-dev liblz4-dev libblosc-dev \
  hdf5-filter-plugin fonts-liberation
DEB_TEST := libcmocka-dev libvterm-dev g++ libopenmpi-dev openmpi-bin

PKGS := ncursesw readline hdf5 igraph cairo cairo-ft fontconfig harfbuzz harfbuzz-subset libpng libcjson libzip libutf8proc libcrypto zlib libdeflate libzstd liblz4
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lblosc -ldnnl -llapacke -lopenblas -lm -ldl -lpthread

WARN := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla -Wno-unused-parameter
OPT ?= -O2
CFLAGS_ALL = -std=c11 -D_GNU_SOURCE -g $(OPT) -march=x86-64-v2 -fopenmp -fPIC -I. $(WARN) $(CFLAGS)
LDFLAGS_ALL = -fopenmp -rdynamic $(LDFLAGS)
ifneq ($(SAN),)
CFLAGS_ALL += -fsanitize=$(SAN) -fno-omit-frame-pointer -fno-sanitize-recover=undefined
LDFLAGS_ALL += -fsanitize=$(SAN)
endif
ifeq ($(WERROR),1)
CFLAGS_ALL += -Werror
endif

LIB_SRC := $(wildcard core/*/*.c gpu/cpu/*.c views/*.c) $(filter-out tui/main.c,$(wildcard tui/*.c))
LIB_OBJ := $(LIB_SRC:%.c=$(BUILD)/%.o)
TEST_SRC := $(wildcard tests/test_*.c)
TEST_BIN := $(TEST_SRC:tests/%.c=$(BUILD)/tests/%)
TEST_UTIL := $(patsubst %.c,$(BUILD)/%.o,$(wildcard tests/util*.c))
CUDA_SRC := $(wildcard gpu/cuda/*.cu)
CUDA_OBJ := $(CUDA_SRC:%.cu=$(BUILD)/%.o)
PROGRAM := $(BUILD)/scmmgpt
MPICC ?= $(shell command -v mpicc 2>/dev/null)
MPI_PLUGIN := $(if $(MPICC),$(BUILD)/ranks_mpi.so)
PLUGIN := $(if $(and $(NVCC),$(CUDA_SRC)),$(BUILD)/device_cuda.so)

.PHONY: fuzz all program deps test-deps demo test check bench install clean format help train-demo plugin
all: deps
	@$(MAKE) --no-print-directory program
program: $(PROGRAM) $(PLUGIN) $(MPI_PLUGIN)
plugin: $(PLUGIN)

# The program loads large libraries when they are used first (core/base/lazy.h) and holds HDF5 itself where there is an
# archive of it: the shared one brings network and encryption libraries, which cost more than opening a file (the archive of
# newer systems calls them too: curl, crypto).
HEAVY := igraph cairo fontconfig freetype harfbuzz harfbuzz-subset png16 zip crypto blosc dnnl lapacke openblas
LAZY := $(if $(SAN)$(filter-out x86_64-%,$(shell $(CC) -dumpmachine)),,$(filter $(PKG_LIBS:-l%=%),$(HEAVY)) curl)
HDF5_DIR := $(patsubst -L%,%,$(firstword $(filter -L%,$(PKG_LIBS))))
HDF5_A := $(if $(LAZY),$(wildcard $(HDF5_DIR)/libhdf5.a))
PROGRAM_LIBS = $(filter-out $(LAZY:%=-l%),$(if $(HDF5_A),$(patsubst -lhdf5,$(HDF5_A) -lsz,$(PKG_LIBS)),$(PKG_LIBS)))

$(BUILD)/lazy.S: $(BUILD)/tui/main.o $(LIB_OBJ) core/base/lazy.sh
	@sh core/base/lazy.sh $(CC) $(LAZY) -- $(filter %.o,$^) $(HDF5_A) >$@.part && mv $@.part $@
$(BUILD)/lazy.o: $(BUILD)/lazy.S
	@$(CC) -c -o $@ $<
$(PROGRAM): $(BUILD)/tui/main.o $(LIB_OBJ) $(if $(LAZY),$(BUILD)/lazy.o)
	@echo LD $@
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PROGRAM_LIBS)
$(BUILD)/libscmmgpt.a: $(LIB_OBJ)
	@rm -f $@
	@ar rcs $@ $^
$(BUILD)/%.o: %.c Makefile
	@mkdir -p $(@D)
	@echo CC $<
	@$(CC) $(CFLAGS_ALL) $(PKG_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/tests/%: $(BUILD)/tests/%.o $(TEST_UTIL) $(BUILD)/libscmmgpt.a
	@echo LD $@
	@$(CC) $(LDFLAGS_ALL) -o $@ $^ -lcmocka -lvterm $(PKG_LIBS) -lutil

# The CUDA backend is a plugin, so that the program starts where CUDA is not installed.
NVFLAGS := -O3 -std=c++17 -I. -Xcompiler -fPIC,-Wall,-Wextra -Werror all-warnings \
  -gencode arch=compute_80,code=sm_80 -gencode arch=compute_90,code=sm_90 -gencode arch=compute_90,code=compute_90
$(BUILD)/gpu/cuda/%.o: gpu/cuda/%.cu $(wildcard gpu/cuda/*.cuh core/device/*.h core/base/*.h) Makefile
	@mkdir -p $(@D)
	$(NVCC) $(NVFLAGS) -c -o $@ $<
$(BUILD)/gpu/cuda/layout.o: NVFLAGS += --fmad=false # the CPU's sums
$(BUILD)/device_cuda.so: $(CUDA_OBJ)
	$(NVCC) -shared -o $@ $^ -lcublas -lcublasLt -Xlinker -rpath,$(patsubst %/bin/nvcc,%/lib64,$(NVCC))

# Several processes train together where MPI is installed.
$(BUILD)/ranks_mpi.so: core/train/mpi/ranks_mpi.c core/train/ranks.h Makefile
	@mkdir -p $(@D)
	@echo MPICC $<
	@$(MPICC) -std=c11 -O2 -fPIC -shared -I. $(WARN) -o $@ $<

# The same kernels on the CPU, thread by thread: tests see them where there is no GPU (tests/cuda).
EMULATED := $(if $(SAN),,$(if $(filter x86_64,$(shell uname -m)),$(if $(shell command -v $(CXX)),$(BUILD)/emulated/device_cuda.so)))
EMULATED_OBJ := $(CUDA_SRC:gpu/cuda/%.cu=$(BUILD)/emulated/%.o) $(BUILD)/emulated/emulate.o
EMULATED_CXX = $(CXX) -std=c++17 -O2 -g -fPIC -ffp-contract=off -Wall -Wextra -Wno-unused-function -Wno-unknown-pragmas -Werror -I. -Itests/cuda
$(BUILD)/emulated/emulate.o: tests/cuda/emulate.cpp
$(EMULATED_OBJ): $(wildcard gpu/cuda/*.cuh core/device/*.h tests/cuda/*.h) Makefile
$(BUILD)/emulated/%.o: gpu/cuda/%.cu
	@mkdir -p $(@D)
	@echo CXX $<
	@$(EMULATED_CXX) -x c++ -c -o $@ $<
$(BUILD)/emulated/emulate.o:
	@mkdir -p $(@D)
	@echo CXX $<
	@$(EMULATED_CXX) -c -o $@ $<
$(BUILD)/emulated/device_cuda.so: $(EMULATED_OBJ)
	@echo LD $@
	@$(CXX) -shared -o $@ $^

deps:
	@tests/deps.sh $(DEB_BUILD)
test-deps:
	@tests/deps.sh $(DEB_BUILD) $(DEB_TEST)

demo: all
	$(PROGRAM) demo
test-gpu: program $(BUILD)/tests/test_device $(BUILD)/tests/test_gpu $(BUILD)/tests/bench/gpu
	@SCMMGPT=$(PROGRAM) sh tests/gpu.sh
test: test-deps
	@$(MAKE) --no-print-directory check
check: program $(TEST_BIN) $(EMULATED)
	@tests/run.sh $(BUILD)

# Coverage-guided fuzzing of the file readers (needs clang); see tests/fuzz/README.md.
FUZZ_SECONDS ?= 60
FUZZ_MODEL := $(wildcard core/model/bpe*.c core/model/ckpt*.c core/model/pickle*.c core/model/tok*.c) \
  core/model/json_read.c core/model/lm_config.c core/model/quantize.c core/model/safetensors.c core/model/wordpiece.c
FUZZ := $(basename $(notdir $(wildcard tests/fuzz/fuzz_*.c)))
$(BUILD)-fuzz/%: tests/fuzz/%.c tests/fuzz/harness.h $(wildcard core/base/*.[ch] core/data/*.[ch]) $(FUZZ_MODEL)
	@mkdir -p $(@D)
	@echo FUZZ $@
	@clang -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -I. \
	  $(PKG_CFLAGS) $(CFLAGS) -o $@ $< $(wildcard core/base/*.c core/data/*.c) $(FUZZ_MODEL) \
	  $(shell pkg-config --libs hdf5 libcjson libzip libcrypto zlib libdeflate libzstd liblz4 libutf8proc) -lblosc -l:libgomp.so.1 -lm -lpthread
fuzz: $(FUZZ:%=$(BUILD)-fuzz/%)
	@for t in $(FUZZ); do echo "--- $$t"; mkdir -p $(BUILD)-fuzz/found/$$t; \
	  $(BUILD)-fuzz/$$t -max_total_time=$(FUZZ_SECONDS) -timeout=25 -rss_limit_mb=2048 -print_final_stats=1 \
	    -artifact_prefix=$(BUILD)-fuzz/found/ $(BUILD)-fuzz/found/$$t tests/fuzz/corpus/$${t#fuzz_} 2>&1 | tail -4 || exit 1; done

DATA ?= ../shared/data
OUT ?= $(BUILD)/mini-1
train-demo: all
	for part in stage1 generator decoder; do \
	  $(PROGRAM) train assets/train/mini-$$part.json --data $(DATA) -o $(OUT) || exit 1; done
	$(PROGRAM) model $(OUT) --verify

bench: program $(BUILD)/tests/bench/encoder $(BUILD)/tests/bench/ranks
	@for b in tests/bench/*.sh; do echo "--- $$b"; SCMMGPT=$(PROGRAM) sh $$b || exit 1; done

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/scmmgpt
	install $(PROGRAM) $(DESTDIR)$(PREFIX)/bin/scmmgpt
	$(if $(PLUGIN),install -d $(DESTDIR)$(PREFIX)/lib/scmmgpt && install $(PLUGIN) $(DESTDIR)$(PREFIX)/lib/scmmgpt/)
	$(if $(MPI_PLUGIN),install -d $(DESTDIR)$(PREFIX)/lib/scmmgpt && install $(MPI_PLUGIN) $(DESTDIR)$(PREFIX)/lib/scmmgpt/)
	cp -R assets/. $(DESTDIR)$(PREFIX)/share/scmmgpt/
clean:
	rm -rf $(BUILD)
format:
	clang-format -i $$(git ls-files '*.c' '*.h' '*.cu' '*.cuh')
help:
	@echo "make demo       set up, build, open the explorer on the shipped data (headless without a terminal)"
	@echo "make test       set up, build, run all tests"
	@echo "make            set up and build $(PROGRAM)"
	@echo "make install    PREFIX=$(PREFIX)"
	@echo "make test-gpu on a machine with an NVIDIA GPU: every operation beside the CPU, the program on it, speeds"
	@echo "make fuzz       fuzz the file readers for FUZZ_SECONDS=$(FUZZ_SECONDS) each (needs clang)"
	@echo "make bench      speed beside the peers (Python packages needed)"
	@echo "make train-demo train the shipped model again (DATA=folder of the training files, OUT=folder)"
	@echo "make deps | clean | format | SAN=address,undefined BUILD=build-san test"

-include $(LIB_OBJ:.o=.d) $(BUILD)/tui/main.d $(TEST_SRC:%.c=$(BUILD)/%.d) $(TEST_UTIL:.o=.d)
.SECONDARY:
