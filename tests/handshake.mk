# The reader of TLS handshakes: its tests, which talk to themselves with OpenSSL, and its fuzzer.

HANDSHAKE_PARTS := handshake handshake_sequence handshake_reader handshake_hello handshake_server \
	handshake_certificate ja4 sha256 tls_names cipher_suite
HANDSHAKE_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_handshake*.c))

# A pure module: linked with nothing else, so that a dependence on the rest does not slip in.
$(HANDSHAKE_TESTS): SAN_OBJ := $(HANDSHAKE_PARTS:%=$(BUILD)/san/%.o)
$(HANDSHAKE_TESTS): PKG_LIBS += -lssl
$(HANDSHAKE_TESTS): $(HANDSHAKE_PARTS:%=$(BUILD)/san/%.o)

# clang alone brings libFuzzer (Debian: libclang-rt-14-dev); the other parts are compiled with coverage, too.
# make fuzz_handshake_long runs it for as long as FUZZ_SECONDS says (default: an hour).
FUZZ_SECONDS ?= 3600
HANDSHAKE_FUZZ_FLAGS := -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer
FUZZ_HANDSHAKE := tests/fuzz/fuzz_handshake.c $(patsubst %,userspace/%.c,$(filter-out handshake,$(HANDSHAKE_PARTS)))
.PHONY: fuzz_handshake_long fuzz_handshake_seeds
tests: $(BUILD)/tests/fuzz_handshake

$(BUILD)/tests/fuzz_handshake: $(FUZZ_HANDSHAKE) $(wildcard userspace/handshake*) $(wildcard userspace/tls_*.h) userspace/ja4.h userspace/sha256.h
	$(call say,FUZZ,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) -std=gnu11 -O1 -g -Wall -Wextra -Werror $(CPPFLAGS_ALL) $(HANDSHAKE_FUZZ_FLAGS) -o $@ $(FUZZ_HANDSHAKE) -lcrypto

fuzz_handshake_long: $(BUILD)/tests/fuzz_handshake
	$(Q)mkdir -p $(BUILD)/fuzz/handshake
	$(Q)$< -max_total_time=$(FUZZ_SECONDS) -timeout=10 -max_len=65536 $(BUILD)/fuzz/handshake tests/fuzz/seeds_handshake

fuzz_handshake_seeds: $(BUILD)/fuzz/make_seeds_handshake
	$(Q)mkdir -p tests/fuzz/seeds_handshake
	$(Q)$< tests/fuzz/seeds_handshake

$(BUILD)/fuzz/make_seeds_handshake: tests/fuzz/seeds_handshake.c tests/unit/tls_pair.h
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -o $@ $< -lssl -lcrypto -lcmocka
