# The dialogue vectors, the tests of the real object in the kernel (root), and the fuzzer.

VECTOR_OBJ := $(BUILD)/san/tests/vectors.o $(BUILD)/san/tests/dialogue_run.o
VECTOR_TESTS := $(BUILD)/tests/test_dialogue $(BUILD)/tests/test_verdict $(BUILD)/tests/test_judgement

$(VECTOR_TESTS): $(VECTOR_OBJ)
$(VECTOR_TESTS): SAN_OBJ += $(VECTOR_OBJ)

$(BUILD)/san/tests/%.o: tests/%.c
	$(call say,CC-SAN,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS_ALL)) -Itests $(SANITIZE) -MMD -MP -c -o $@ $<

-include $(wildcard $(BUILD)/san/tests/*.d)
