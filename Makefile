# Needs a C compiler; `make model` (and so `make test`) also Python's pip. `make help` lists what there is.
CFLAGS ?= -O2 -Wall -Wextra
LDFLAGS ?=
LDLIBS = -lm -lpthread
B ?= build
ifneq ($(findstring mingw,$(CC))$(findstring Windows_NT,$(OS)),)
EXE = .exe
LDFLAGS += -static
endif

MODEL    = models/SmolLM2-135M-Instruct.Q4_1.gguf
PROGRAMS = generate chat tokenize logits perplexity inspect bench template convert quantize prepare train embed bench_train
HELLO    = $(B)/hello$(EXE)
BUILT    = $(PROGRAMS:%=$(B)/%$(EXE)) $(HELLO)
TESTS    = $(wildcard tests/*.c)

all: $(BUILT)

# The library: one header, compiled once for all programs but hello, which holds its own copy as users' programs do.
$(B)/llama.o: llama.h | $(B)
	$(CC) $(CFLAGS) -DLLAMA_TRAIN -DLLAMA_IMPLEMENTATION -c -x c llama.h -o $@
$(B)/%$(EXE): examples/%.c $(wildcard tools/*.h) llama.h $(B)/llama.o | $(B)
	$(CC) $(CFLAGS) $< $(B)/llama.o -o $@ $(LDFLAGS) $(LDLIBS)
$(B)/%$(EXE): tools/%.c $(wildcard tools/*.h) llama.h $(B)/llama.o | $(B)
	$(CC) $(CFLAGS) $< $(B)/llama.o -o $@ $(LDFLAGS) $(LDLIBS)
$(B)/test$(EXE): $(TESTS) $(wildcard tests/*.h) llama.h $(B)/llama.o | $(B)
	$(CC) $(CFLAGS) $(filter %.c,$^) $(B)/llama.o -o $@ $(LDFLAGS) $(LDLIBS)
# The trainer for several machines, with Open MPI (Debian: openmpi-bin libopenmpi-dev). Run it with mpirun.
train-mpi: $(B)/train-mpi
$(B)/train-mpi: tools/train.c $(wildcard tools/*.h) llama.h $(B)/llama.o | $(B)
	@command -v mpicc >/dev/null 2>&1 || { echo "make: mpicc: not there; on Debian or Ubuntu: apt-get install -y openmpi-bin libopenmpi-dev" >&2; exit 1; }
	OMPI_CC="$(CC)" mpicc $(CFLAGS) -DTRAIN_MPI $< $(B)/llama.o -o $@ $(LDFLAGS) $(LDLIBS)
$(B):
	@command -v $(firstword $(CC)) >/dev/null 2>&1 || { \
	  echo "make: $(firstword $(CC)): no such C compiler; to install one on Debian or Ubuntu: apt-get install -y gcc libc6-dev" >&2; exit 1; }
	@mkdir -p $@

# hello, and generate for make run, with the kernels of this machine alone: a third of the time to compile, the same bits.
NATIVE = $(firstword $(foreach f,-march=native -mcpu=native,$(shell $(CC) $(f) -x c -c /dev/null -o /dev/null 2>/dev/null && echo $(f))))
$(B)/hello$(EXE): examples/hello.c llama.h | $(B)
	$(CC) $(CFLAGS) $(NATIVE) -DLLAMA_NO_DISPATCH -I. $< -o $@ $(LDFLAGS) $(LDLIBS)
$(B)/native/generate$(EXE): examples/generate.c $(wildcard tools/*.h) llama.h | $(B)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(NATIVE) -DLLAMA_NO_DISPATCH -DLLAMA_IMPLEMENTATION $< -o $@ $(LDFLAGS) $(LDLIBS)

model: $(MODEL)
$(MODEL):
	@sh tools/fetch_model.sh $@

# A story by the model that the repository holds. PROMPT, and more options of generate in ARGS: make run PROMPT="Tom had a red ball" ARGS="--temp 0"
PROMPT = Once upon a time
run: $(B)/native/generate$(EXE)
	@$(B)/native/generate$(EXE) -m examples/stories.gguf -p "$(PROMPT)" -n 400 --temp 0.7 --top-p 0.95 $(ARGS)

# Without network the tests that need the model are skipped and say so.
test: all $(B)/test$(EXE)
	@[ -f $(MODEL) ] || sh tools/fetch_model.sh $(MODEL) || true
	@BUILD=$(B) CC="$(CC)" CFLAGS="$(CFLAGS)" sh tests/run.sh

bench: $(B)/bench$(EXE) $(MODEL)
	@$(B)/bench$(EXE) -m $(MODEL)

# The tests under AddressSanitizer and UndefinedBehaviorSanitizer (-g1: with all that -g says of variables GCC takes six times as long), and once
# for each instruction set (those the CPU lacks fall to a lower one).
SANITIZE = -O1 -g1 -Wall -Wextra -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
asan:
	@$(MAKE) --no-print-directory test B=$(B)/asan HELLO= CFLAGS="$(SANITIZE)"
# Threads, with the scalar kernels. A thread that repeats another's work reads what that one writes, and throws it away; this is off here.
tsan: | $(B)
	@mkdir -p $(B)/tsan
	$(CC) -O1 -g1 -fsanitize=thread -DLLAMA_NO_SIMD -DLLAMA_TRAIN -DLLAMA_IMPLEMENTATION -c -x c llama.h -o $(B)/tsan/llama.o
	$(CC) -O1 -g1 -fsanitize=thread $(TESTS) $(B)/tsan/llama.o -o $(B)/tsan/test $(LDLIBS)
	LLAMA_TEST_QUICK=1 $(B)/tsan/test api session train
isa:
	@for i in scalar sse2 avx2 avx512; do echo "LLAMA_ISA=$$i"; LLAMA_ISA=$$i $(MAKE) --no-print-directory test || exit 1; done

check:
	@sh .ci/run

clean:
	rm -rf $(B)

help:
	@echo "make        builds the programs into $(B)/ (CC, CFLAGS and LDFLAGS can be given)"
	@echo "make run    tells a story: the model is here, nothing is fetched; PROMPT=\"Tom had a ball\" begins it"
	@echo "make model  fetches SmolLM2-135M-Instruct (98 MB) into models/"
	@echo "make bench  measures this machine and the model's speed on it"
	@echo "make test   runs all tests;  make asan, make tsan: under sanitizers;  make isa: once for each instruction set"
	@echo "make train-mpi  the trainer for several machines (Open MPI)"
	@echo "make check  all that CI does (installs packages)"
	@echo "make clean  removes $(B)/"

.PHONY: all model run train-mpi test bench asan tsan isa check clean help
.DELETE_ON_ERROR:
