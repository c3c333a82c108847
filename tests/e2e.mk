# The fault-making SMTP server, and the end-to-end tests with real mail programs (root; namespaces of their own).

FAULT := fault_server fault_options fault_link fault_dialogue
E2E_ENV := PYTHONDONTWRITEBYTECODE=1 BUILD=$(abspath $(BUILD))
# E2E="test_block.py -k swaks" runs a part of them
E2E ?=

.PHONY: e2e clients_page
# docs/clients.md, of what MATRIX=write has found
clients_page:
	$(Q)PYTHONDONTWRITEBYTECODE=1 BUILD=$(abspath $(BUILD)) /usr/bin/python3 tests/e2e/harness/clients_page.py

e2e: all $(BUILD)/fault_server $(BUILD)/own_verify
	$(Q)cd tests/e2e && $(E2E_ENV) /usr/bin/python3 -m pytest -p no:cacheprovider -q $(E2E)

$(BUILD)/fault_server: $(FAULT:%=$(BUILD)/tools/%.o)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ -lssl -lcrypto -lpthread

$(BUILD)/tools/fault_%.o: tools/fault_%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# The agent as if it were of another ABI version: for the tests of upgrades.
OTHER_ABI := kernel_pins kernel_replace
tests: $(BUILD)/smtpwardd_other_abi
$(BUILD)/smtpwardd_other_abi: $(OTHER_ABI:%=$(BUILD)/tests/other_abi/%.o) $(BUILD)/userspace/main.o \
		$(filter-out $(OTHER_ABI:%=$(BUILD)/userspace/%.o),$(AGENT_OBJ))
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(BUILD)/tests/other_abi/%.o: userspace/%.c $(BUILD)/smtpward.skel.h $(BUILD)/witness.skel.h
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -DEVENT_ABI_VERSION=9999 -DREPLACED_MIN_S=1 -MMD -MP -c -o $@ $<

# SOAK sessions of every sort
SOAK ?= 200000
.PHONY: soak
soak: all $(BUILD)/fault_server $(BUILD)/soak_load
	$(Q)cd tests/e2e && $(E2E_ENV) SOAK=$(SOAK) /usr/bin/python3 -m pytest -p no:cacheprovider -q -s test_soak.py

tests: $(BUILD)/own_verify $(BUILD)/soak_load
$(BUILD)/soak_load: tests/e2e/clients/soak_load.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< -lssl -lcrypto -lpthread

$(BUILD)/own_verify: tests/e2e/clients/own_verify.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< -lssl -lcrypto
