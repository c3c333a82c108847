# What the agent costs: tools/bench.sh, what it sources, and their programs.

BENCH_PKGS := libbpf libssl libcrypto

$(BUILD)/bench/packet: $(patsubst %,$(BUILD)/bench/%.o,packet programs tls)
$(BUILD)/bench/run_time: $(patsubst %,$(BUILD)/bench/%.o,run_time programs)
$(BUILD)/bench/handshakes: $(BUILD)/bench/handshakes.o
$(BUILD)/bench/flows: $(patsubst %,$(BUILD)/bench/%.o,flows programs ring sockets tls)
$(BUILD)/bench/latency: $(patsubst %,$(BUILD)/bench/%.o,latency ring sockets)

$(BUILD)/bench/captured: $(BUILD)/bench/captured.o $(BUILD)/userspace/capture_write.o
$(BUILD)/bench/run_once: $(BUILD)/bench/run_once.o

BENCH := $(patsubst %,$(BUILD)/bench/%,packet run_time handshakes flows latency captured run_once)
.PHONY: bench-programs
bench-programs: $(BENCH)

$(BENCH):
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs $(BENCH_PKGS)) -lpthread

$(BUILD)/bench/%.o: tools/bench/%.c | needs
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
