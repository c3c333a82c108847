# Unit tests: each tests/unit/test_X.c is one cmocka program, linked with the agent's parts (all but main).

UNIT := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_*.c))
.PHONY: unit tests
# All that tests/run.py runs.
tests: all $(UNIT) $(BUILD)/fault_server $(BUILD)/test-root/packages

# rsyslogd and promtool, unpacked but not installed: the one would take this host's log over, the other brings a service.
$(BUILD)/test-root/packages: tools/mta_root.sh
	$(call say,FETCH,"rsyslog prometheus")
	$(Q)tools/mta_root.sh fetch $(abspath $(BUILD))/test-packages rsyslog prometheus
	$(Q)rm -rf $(@D) && mkdir -p $(@D)
	$(Q)for archive in $(BUILD)/test-packages/archives/*.deb; do dpkg-deb -x $$archive $(@D) || exit 1; done
	$(Q)cp $(BUILD)/test-packages/packages $@

unit: $(UNIT)
	$(Q)for test in $(UNIT); do $$test || exit 1; done

# Instrumented objects of their own, so that the tests run under ASan and UBSan.
SANITIZE := -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
SAN_OBJ := $(AGENT_OBJ:$(BUILD)/userspace/%=$(BUILD)/san/%)

$(BUILD)/san/%.o: userspace/%.c
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS_ALL)) $(SANITIZE) -MMD -MP -c -o $@ $<

$(KERNEL:%=$(BUILD)/san/%.o): $(BUILD)/smtpward.skel.h $(BUILD)/witness.skel.h $(BUILD)/forward.skel.h

# test_control brings stubs for what is behind the control socket, so it takes that part alone.
$(BUILD)/tests/test_control: SAN_OBJ := $(filter $(BUILD)/san/control%,$(SAN_OBJ)) \
	$(patsubst %,$(BUILD)/san/%.o,session_json session_id finding finding_text finding_text_identity escape address policy_lookup \
	tls_names cipher_suite identity certificate sha256 durations sandbox sandbox_calls)

# The sanitizers make system calls of their own, which the sandbox kills for; this one tries it as it is shipped.
$(BUILD)/tests/test_sandbox: tests/unit/test_sandbox.c $(AGENT_OBJ)
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -Wl,--wrap=library_read -o $@ $< $(AGENT_OBJ) $(PKG_LIBS) -lcmocka

# test_sweep brings stubs for the monitor, and for what reads events.
$(BUILD)/tests/test_sweep: SAN_OBJ := $(patsubst %,$(BUILD)/san/%.o,agent_sweep $(filter-out session_json history fallback,$(JUDGING)) $(COMMON))

$(BUILD)/tests/test_%: tests/unit/test_%.c $(SAN_OBJ)
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS_ALL)) -Itests $(SANITIZE) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(SAN_OBJ) $(PKG_LIBS) -lcmocka

include tests/handshake.mk

# The reader of library files: a user may bring any file.
tests: $(BUILD)/tests/fuzz_library
$(BUILD)/tests/fuzz_library: tests/fuzz/fuzz_library.c $(wildcard userspace/library*) include/witness.h
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -std=gnu11 -O1 -g -Wall -Wextra -Werror $(CPPFLAGS_ALL) $(HANDSHAKE_FUZZ_FLAGS) -o $@ $<
