# The reader of capture files: its pytest suite (tests/read), which runs the CLI under ASan and UBSan, and its fuzzer.

CAPTURE_SAN := $(patsubst $(BUILD)/userspace/%,$(BUILD)/san/%,$(CLI_OBJ))

tests: $(BUILD)/san/smtpward $(BUILD)/tests/capture_vectors

$(BUILD)/san/smtpward: $(CAPTURE_SAN)
	$(call say,LD,$@)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS_ALL) -o $@ $^ $(CLI_LIBS) $(PKG_LIBS)

$(BUILD)/tests/capture_vectors: tests/read/capture_vectors.c tests/vectors.c userspace/capture_write.c userspace/finding.c \
		$(wildcard tests/vectors/*.h tests/*.h include/*.h)
	$(call say,CC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(filter-out -D_FORTIFY_SOURCE=2,$(CFLAGS_ALL)) -Itests $(LDFLAGS_ALL) -o $@ $(filter %.c,$^)

.PHONY: read
read: all $(BUILD)/san/smtpward $(BUILD)/tests/capture_vectors
	$(Q)cd tests/read && PYTHONDONTWRITEBYTECODE=1 BUILD=$(abspath $(BUILD)) /usr/bin/python3 -m pytest -p no:cacheprovider -q $(READ)
