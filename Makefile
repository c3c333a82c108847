# smtpward. `make` builds as a normal user; `sudo make run`, `check`, `demo` install what is missing first.

PREFIX ?= /usr/local
DESTDIR ?=
MANDIR ?= $(PREFIX)/share/man
SYSCONFDIR ?= /etc
UNITDIR ?= /usr/lib/systemd/system
SYSUSERSDIR ?= /usr/lib/sysusers.d
BUILD := build
V ?= 0
VERSION := 0.1.0

CC ?= gcc
CLANG ?= clang
BPFTOOL ?= $(firstword $(wildcard /usr/sbin/bpftool) bpftool)
PKGS := libbpf libevent libevent_pthreads jansson libcyaml yaml-0.1 libcrypto libcap-ng zlib

ifeq ($(V),0)
Q := @
say = @printf '  %-7s %s\n' $(1) $(2)
endif

WARN := -Wall -Wextra -Werror -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wundef -Wformat=2
HARDEN := -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -fstack-clash-protection -fcf-protection
CFLAGS ?= -O2 -g
CPPFLAGS_ALL = -D_GNU_SOURCE -DSMTPWARD_VERSION='"$(VERSION)"' -Iinclude -Iuserspace -I$(BUILD)
CFLAGS_ALL = -std=gnu11 $(WARN) $(HARDEN) $(CPPFLAGS_ALL) $(PKG_CFLAGS) $(CFLAGS)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
PKG_LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null) -lelf -lpthread
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now $(LDFLAGS)

# The architecture is that of the uprobes' registers.
BPF_ARCH := $(patsubst aarch64,arm64,$(patsubst x86_64,x86,$(shell uname -m)))
BPF_CFLAGS := -O2 -g -target bpf -D__TARGET_ARCH_$(BPF_ARCH) -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -Iinclude -Ibpf \
	-idirafter /usr/include/$(shell uname -m)-linux-gnu

# What both programs need, the agent's parts, and the CLI's.
COMMON := sha256 pins tc_remove rtnetlink finding finding_text finding_text_identity escape session_id address certificate cipher_suite tls_names
# The agent's parts that `smtpward read` and `record` go through, too.
JUDGING := session session_json session_pack session_table pack judgement history fallback ja4 tls_summary identity identity_check identity_judgement \
	handshake handshake_certificate handshake_hello handshake_reader handshake_sequence handshake_server
CLI := $(patsubst userspace/%.c,%,$(wildcard userspace/cli*.c userspace/probe*.c userspace/capture*.c)) dialogue_driver
CLI_LIBS := -Wl,--as-needed -lssl -lresolv -lpcap # of `smtpward probe` and `read`; the CLI needs no libbpf
AGENT := $(filter-out $(COMMON) $(CLI) main, \
	$(patsubst userspace/%.c,%,$(wildcard userspace/*.c)))

COMMON_OBJ := $(COMMON:%=$(BUILD)/userspace/%.o)
AGENT_OBJ := $(AGENT:%=$(BUILD)/userspace/%.o) $(COMMON_OBJ)
CLI_OBJ := $(CLI:%=$(BUILD)/userspace/%.o) $(JUDGING:%=$(BUILD)/userspace/%.o) $(COMMON_OBJ)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all needs run check demo bench install uninstall clean help

all: $(BUILD)/smtpwardd $(BUILD)/smtpward

# Says what is missing before the compiler does it less well.
needs:
	$(Q)for tool in $(CC) $(CLANG) $(BPFTOOL) pkg-config; do \
		command -v $$tool >/dev/null || { echo "$$tool is missing" >&2; missing=1; }; done; \
	! command -v pkg-config >/dev/null || pkg-config --exists --print-errors --short-errors $(PKGS) libelf libpcap || \
		missing=1; \
	echo '#include <uthash.h>' | $(CC) -E - >/dev/null 2>&1 || { echo "uthash.h is missing" >&2; missing=1; }; \
	[ -z "$$missing" ] || { tools/install_packages.sh -n build; \
		echo "as root, tools/install_packages.sh build installs what is missing" >&2; exit 1; }

# Under sudo, in a tree that is the caller's, the build is the caller's too: a plain make can go on with it.
ifneq ($(filter-out 0,$(SUDO_UID)),)
ifeq ($(SUDO_UID),$(shell stat -c %u .))
AS_CALLER = mkdir -p $(BUILD) && chown -R $(SUDO_UID):$(SUDO_GID) $(BUILD) && \
	setpriv --reuid=$(SUDO_UID) --regid=$(SUDO_GID) --clear-groups --
endif
endif

# These four install what is missing; then a make of its own, which finds it, and takes all processors unless told otherwise.
BUILD_MAKE = $(MAKE) --no-print-directory $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

run:
	$(Q)tools/install_packages.sh build
	$(Q)+$(AS_CALLER) $(BUILD_MAKE) all
	$(Q)id smtpward >/dev/null 2>&1 || useradd --system --no-create-home --shell /usr/sbin/nologin smtpward
	$(Q)exec $(BUILD)/smtpwardd -f $(ARGS)

check:
	$(Q)tools/install_packages.sh build test
	$(Q)+$(AS_CALLER) $(BUILD_MAKE) all
	$(Q)+$(BUILD_MAKE) tests
	$(Q)BUILD=$(BUILD) SMTPWARD_TEST_ROOT=$(abspath $(BUILD)/test-root) tests/run.py $(SUITES)

demo:
	$(Q)tools/install_packages.sh build demo
	$(Q)+$(AS_CALLER) $(BUILD_MAKE) all $(BUILD)/fault_server
	$(Q)BUILD=$(BUILD) tools/demo.sh

bench:
	$(Q)tools/install_packages.sh build demo
	$(Q)+$(AS_CALLER) $(BUILD_MAKE) all bench-programs
	$(Q)BUILD=$(BUILD) tools/bench.sh

install: all
	install -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(MANDIR)/man1 $(DESTDIR)$(MANDIR)/man5 \
		$(DESTDIR)$(MANDIR)/man8 $(DESTDIR)$(SYSCONFDIR)/smtpward $(DESTDIR)$(UNITDIR) \
		$(DESTDIR)$(SYSUSERSDIR) $(DESTDIR)$(PREFIX)/share/smtpward
	install -m 755 $(BUILD)/smtpwardd $(DESTDIR)$(PREFIX)/sbin/smtpwardd
	install -m 755 $(BUILD)/smtpward $(DESTDIR)$(PREFIX)/bin/smtpward
	install -m 644 docs/smtpward.1 $(DESTDIR)$(MANDIR)/man1/smtpward.1
	install -m 644 docs/smtpward.yaml.5 $(DESTDIR)$(MANDIR)/man5/smtpward.yaml.5
	install -m 644 docs/smtpwardd.8 $(DESTDIR)$(MANDIR)/man8/smtpwardd.8
	test -e $(DESTDIR)$(SYSCONFDIR)/smtpward/smtpward.yaml || \
		install -m 640 packaging/smtpward.yaml $(DESTDIR)$(SYSCONFDIR)/smtpward/smtpward.yaml
	sed 's|@SBINDIR@|$(PREFIX)/sbin|' packaging/smtpwardd.service > $(DESTDIR)$(UNITDIR)/smtpwardd.service
	install -m 644 packaging/smtpward.sysusers $(DESTDIR)$(SYSUSERSDIR)/smtpward.conf
	install -m 644 packaging/containers.conf $(DESTDIR)$(PREFIX)/share/smtpward/containers.conf
	@id smtpward >/dev/null 2>&1 || echo "smtpwardd runs as the user smtpward: systemd-sysusers, or useradd --system --no-create-home smtpward"

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/sbin/smtpwardd $(DESTDIR)$(PREFIX)/bin/smtpward $(DESTDIR)$(MANDIR)/man1/smtpward.1 \
		$(DESTDIR)$(MANDIR)/man5/smtpward.yaml.5 $(DESTDIR)$(MANDIR)/man8/smtpwardd.8 \
		$(DESTDIR)$(UNITDIR)/smtpwardd.service $(DESTDIR)$(SYSUSERSDIR)/smtpward.conf \
		$(DESTDIR)$(PREFIX)/share/smtpward/containers.conf
	@echo "the configuration stays: $(DESTDIR)$(SYSCONFDIR)/smtpward; so do hooks in the kernel (rm -r /sys/fs/bpf/smtpward)"

help:
	@echo "make             build $(BUILD)/smtpwardd and $(BUILD)/smtpward"
	@echo "make run         install what is missing, build, run the agent in the foreground (root; ARGS='-c FILE')"
	@echo "make check       install what is missing, build, run all tests (root; SUITES='unit e2e' for some)"
	@echo "make demo        a credential exposed, then stopped, in network namespaces (root)"
	@echo "make bench       what it costs (root)"
	@echo "make soak        200,000 sessions of every sort, and memory that stays flat (root; SOAK=N)"
	@echo "make fuzz        FUZZ_TIME=3600 FUZZERS='event config' for an hour each of some (default: a minute each of all)"
	@echo "make install     DESTDIR= PREFIX=$(PREFIX); make uninstall"

$(BUILD)/smtpwardd: $(BUILD)/userspace/main.o $(AGENT_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(BUILD)/smtpward: $(CLI_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(CLI_LIBS) $(PKG_LIBS)

$(BUILD)/userspace/%.o: userspace/%.c | needs
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Only these see the BPF object.
KERNEL := kernel kernel_adopt kernel_attach kernel_blocked kernel_forward kernel_pins kernel_policy kernel_replace kernel_witness kernel_witness_pins
$(KERNEL:%=$(BUILD)/userspace/%.o): $(BUILD)/smtpward.skel.h $(BUILD)/witness.skel.h $(BUILD)/forward.skel.h

$(BUILD)/%.bpf.o: bpf/%.bpf.c | needs
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/%.skel.h: $(BUILD)/%.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name $*_bpf > $@

clean:
	rm -rf $(BUILD)

include tests/tests.mk
include tests/bpf.mk
include tests/catalogue.mk
include tests/e2e.mk
include tests/read.mk
include tests/vm.mk
include tests/fuzz.mk
include tools/bench/bench.mk

-include $(wildcard $(BUILD)/*.d $(patsubst %,$(BUILD)/%/*.d,userspace san tests tests/other_abi tools fuzz bench))
