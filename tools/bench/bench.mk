# What the agent costs: tools/bench.sh and its programs.

BENCH_PKGS := libbpf libssl libcrypto

$(BUILD)/bench/packet: $(patsubst %,$(BUILD)/bench/%.o,packet programs tls)
$(BUILD)/bench/run_time: $(patsubst %,$(BUILD)/bench/%.o,run_time programs)
$(BUILD)/bench/handshakes: $(BUILD)/bench/handshakes.o
$(BUILD)/bench/run_time: | $(BUILD)/bench/handshakes

$(BUILD)/bench/packet $(BUILD)/bench/run_time $(BUILD)/bench/handshakes:
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(shell pkg-config --libs $(BENCH_PKGS)) -lpthread

$(BUILD)/bench/%.o: tools/bench/%.c | needs
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<
