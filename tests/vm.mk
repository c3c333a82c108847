# Debian's kernels in qemu (no KVM needed), each running the agent and the BPF tests. VM="5.10 6.1" runs some,
# VM_PARTS="scene bpf e2e unit", or some of these words, some parts.
VM ?=
.PHONY: vmcheck
vmcheck:
	$(Q)tools/install_packages.sh build vm
	$(Q)$(MAKE) --no-print-directory vmtests
	$(Q)BUILD=$(BUILD) PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 tests/vm/run.py $(VM)

.PHONY: vmtests
vmtests: all $(BPF_TESTS) $(BUILD)/vm/verify $(BUILD)/fault_server $(BUILD)/own_verify $(BUILD)/smtpwardd_other_abi

$(BUILD)/vm/verify: tests/vm/verify.c | needs
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< -lbpf -lelf
