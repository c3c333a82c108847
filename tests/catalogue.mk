# The catalogue of attacks: its cases through every path, and the page that tells of them.

CATALOGUE_READ := $(patsubst userspace/%.c,$(BUILD)/san/%.o,$(wildcard userspace/capture*.c))
CATALOGUE_OBJ := $(patsubst tests/%.c,$(BUILD)/san/tests/%.o,$(wildcard tests/catalogue/*.c))
.PHONY: catalogue catalogue_page
tests: $(BUILD)/tests/catalogue
catalogue: $(BUILD)/tests/catalogue
	$(Q)$<

$(CATALOGUE_OBJ): CPPFLAGS_ALL += -Itests/bpf -Itests/catalogue
$(BUILD)/tests/catalogue: $(CATALOGUE_OBJ) $(VECTOR_OBJ) $(BUILD)/san/tests/bpf/lab.o $(SAN_OBJ) $(CATALOGUE_READ) $(BUILD)/smtpward.bpf.o
	$(call say,TEST,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(SANITIZE) $(LDFLAGS_ALL) -o $@ $(filter-out %.bpf.o,$(filter %.o,$^)) -lssl -lpcap $(PKG_LIBS) -lcmocka

catalogue_page: $(BUILD)/tests/catalogue
	$(Q)$< --markdown > docs/catalogue.md

-include $(wildcard $(BUILD)/san/tests/catalogue/*.d)
