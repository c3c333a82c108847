# The dialogue vectors, the tests of the real object in the kernel (root), and the fuzzer.

VECTOR_OBJ := $(BUILD)/san/tests/vectors.o $(BUILD)/san/tests/dialogue_run.o $(BUILD)/san/dialogue_driver.o
VECTOR_TESTS := $(BUILD)/tests/test_dialogue $(BUILD)/tests/test_verdict $(BUILD)/tests/test_judgement

$(VECTOR_TESTS): $(VECTOR_OBJ)
$(VECTOR_TESTS): SAN_OBJ += $(VECTOR_OBJ)

$(BUILD)/san/tests/%.o: tests/%.c
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS_ALL)) -Itests $(SANITIZE) -MMD -MP -c -o $@ $<

# One program for each tests/bpf/bpf_X.c; they load the real object, so they are linked with nothing of the agent.
BPF_TESTS := $(patsubst tests/bpf/%.c,$(BUILD)/tests/%,$(wildcard tests/bpf/bpf_*.c))
.PHONY: bpf
tests: $(BPF_TESTS)
bpf: $(BPF_TESTS)
	$(Q)for test in $(BPF_TESTS); do $$test || exit 1; done

$(BUILD)/san/tests/bpf/lab.o: CPPFLAGS_ALL += -DBPF_OBJECT='"$(abspath $(BUILD))/smtpward.bpf.o"'

# The judge comes with the model, for what it would find.
$(BUILD)/tests/bpf_differential: $(BUILD)/san/tests/bpf/tun_wire.o $(BUILD)/san/tests/sequence.o \
	$(patsubst %,$(BUILD)/san/%.o,judgement finding cipher_suite tls_names)
$(BUILD)/tests/bpf_differential: CPPFLAGS_ALL += -DCLI='"$(abspath $(BUILD))/smtpward"'

$(BUILD)/tests/bpf_%: tests/bpf/bpf_%.c $(BUILD)/san/tests/bpf/lab.o $(VECTOR_OBJ) $(BUILD)/smtpward.bpf.o
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS_ALL)) -Itests -Itests/bpf $(SANITIZE) -MMD -MP $(LDFLAGS_ALL) -o $@ \
		$< $(filter %.o,$(filter-out %.bpf.o,$^)) $(PKG_LIBS) -lcmocka

# Those of the TC programs bring frames made by hand, and the object as the agent loads it.
$(BUILD)/tests/bpf_forward $(BUILD)/tests/bpf_forward_reset: $(BUILD)/san/tests/bpf/forward_lab.o $(BUILD)/san/tests/bpf/frame_maker.o
$(BUILD)/san/tests/bpf/forward_lab.o $(BUILD)/tests/bpf_tc_attach: $(BUILD)/forward.skel.h
$(BUILD)/tests/bpf_policy: $(BUILD)/san/kernel_policy.o $(BUILD)/san/cgroup.o
$(BUILD)/tests/bpf_tc_attach: $(BUILD)/san/tc_attach.o $(BUILD)/san/tc_remove.o $(BUILD)/san/rtnetlink.o

-include $(wildcard $(BUILD)/san/tests/bpf/*.d)
-include $(wildcard $(BUILD)/san/tests/*.d)

# libFuzzer is clang's (libclang-rt-14-dev). The seeds in the tree are few; the vectors are written out as further ones.
FUZZ := $(BUILD)/tests/fuzz_dialogue
DIALOGUE_FUZZ_FLAGS := -std=gnu11 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined $(CPPFLAGS_ALL) -Itests \
	-Wall -Wextra -Werror -Wno-missing-field-initializers
# One compiler run takes several sources, so it cannot note what they include.
DIALOGUE_FUZZ_HEADERS := $(wildcard include/*.h userspace/*.h tests/*.h tests/vectors/*.h)
tests: $(FUZZ)

$(BUILD)/tests/fuzz_dialogue: tests/fuzz/fuzz_dialogue.c tests/dialogue_run.c userspace/dialogue_driver.c tests/vectors.c userspace/judgement.c userspace/finding.c \
		userspace/cipher_suite.c userspace/tls_names.c $(DIALOGUE_FUZZ_HEADERS)
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(DIALOGUE_FUZZ_FLAGS) -o $@ $(filter %.c,$^)

$(BUILD)/tests/make_seeds: tests/fuzz/make_seeds.c tests/vectors.c $(DIALOGUE_FUZZ_HEADERS)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS_ALL)) -Itests -o $@ $(filter %.c,$^)
