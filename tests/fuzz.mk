# The fuzzers that are linked with the agent's parts (clang's libFuzzer, ASan, UBSan), and how all of them are run.
# make fuzz FUZZ_TIME=3600 FUZZERS="config event" runs two of them for an hour each, and keeps what they have found in
# $(BUILD)/fuzz/corpus for the next time; without FUZZERS all are run, two at a time.

FUZZ_FLAGS := -std=gnu11 -O1 -g -Wall -Wextra -Werror -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZED := $(filter-out $(KERNEL),$(AGENT)) $(COMMON) dialogue_driver \
	$(filter-out probe_mx,$(patsubst userspace/%.c,%,$(wildcard userspace/probe_*.c))) \
	$(filter-out capture_file,$(patsubst userspace/%.c,%,$(wildcard userspace/capture*.c)))
FUZZ_LINKED := capture certificate config control event monitor probe sequence
FUZZ_TIME ?= 60
FUZZERS ?=

# what starts and ends the lanes' threads: the fuzzer serves the lanes by itself
$(BUILD)/tests/fuzz_monitor: FUZZ_LDFLAGS := -Wl,--wrap=monitor_lane_start,--wrap=monitor_lanes_stop

$(BUILD)/tests/fuzz_sequence: FUZZ_WITH := tests/sequence.c
$(BUILD)/tests/fuzz_sequence: tests/sequence.c tests/sequence.h $(wildcard include/*.h)

.PHONY: fuzz
tests: $(FUZZ_LINKED:%=$(BUILD)/tests/fuzz_%) $(BUILD)/tests/make_seeds

$(BUILD)/fuzzed/%.o: userspace/%.c
	$(call say,CC-FUZZ,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) $(CPPFLAGS_ALL) $(PKG_CFLAGS) -fsanitize=fuzzer-no-link,address,undefined -MMD -MP -c -o $@ $<

# An archive: a part that a fuzzer replaces by a stub is not taken from it.
$(BUILD)/fuzzed/parts.a: $(FUZZED:%=$(BUILD)/fuzzed/%.o)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

$(FUZZ_LINKED:%=$(BUILD)/tests/fuzz_%): $(BUILD)/tests/fuzz_%: tests/fuzz/fuzz_%.c $(BUILD)/fuzzed/parts.a
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) $(CPPFLAGS_ALL) $(PKG_CFLAGS) -Itests -Itests/fuzz -fsanitize=fuzzer,address,undefined -MMD -MP \
		$(FUZZ_LDFLAGS) -o $@ $< $(FUZZ_WITH) $(BUILD)/fuzzed/parts.a $(PKG_LIBS) -lssl -lresolv -lcmocka

fuzz: tests
	$(Q)BUILD=$(BUILD) FUZZ_TIME=$(FUZZ_TIME) FUZZERS="$(FUZZERS)" FUZZ_CORPUS=$(BUILD)/fuzz/corpus tests/run.py fuzz

-include $(wildcard $(BUILD)/fuzzed/*.d)
