# The reader of TLS handshakes: its tests, which talk to themselves with OpenSSL, and its fuzzer.

HANDSHAKE_PARTS := handshake handshake_sequence handshake_reader handshake_hello handshake_server \
	handshake_certificate ja4 tls_names cipher_suite
HANDSHAKE_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/tests/%,$(wildcard tests/unit/test_handshake*.c))

# A pure module: linked with nothing else, so that a dependence on the rest does not slip in.
$(HANDSHAKE_TESTS): SAN_OBJ := $(HANDSHAKE_PARTS:%=$(BUILD)/san/%.o)
$(HANDSHAKE_TESTS): PKG_LIBS += -lssl
$(HANDSHAKE_TESTS): $(HANDSHAKE_PARTS:%=$(BUILD)/san/%.o)
