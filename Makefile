# smtpward. `make` builds as a normal user; `sudo make run`, `check`, `demo` install what is missing first.

PREFIX ?= /usr/local
DESTDIR ?=
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
PKG_CFLAGS = $(shell pkg-config --cflags $(PKGS))
PKG_LIBS = $(shell pkg-config --libs $(PKGS)) -lelf -lpthread
LDFLAGS_ALL = -pie -Wl,-z,relro,-z,now $(LDFLAGS)

BPF_CFLAGS := -O2 -g -target bpf -mcpu=v3 -Wall -Wextra -Werror -Wno-unused-parameter -Iinclude -Ibpf \
	-idirafter /usr/include/$(shell uname -m)-linux-gnu

# What both programs need, the agent's parts, and the CLI's.
COMMON := finding finding_text escape session_id address
AGENT := $(filter-out $(COMMON) $(patsubst userspace/%.c,%,$(wildcard userspace/cli*.c)) main, \
	$(patsubst userspace/%.c,%,$(wildcard userspace/*.c)))
CLI := $(patsubst userspace/%.c,%,$(wildcard userspace/cli*.c))

COMMON_OBJ := $(COMMON:%=$(BUILD)/userspace/%.o)
AGENT_OBJ := $(AGENT:%=$(BUILD)/userspace/%.o) $(COMMON_OBJ)
CLI_OBJ := $(CLI:%=$(BUILD)/userspace/%.o) $(COMMON_OBJ)

.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all clean

all: $(BUILD)/smtpwardd $(BUILD)/smtpward

$(BUILD)/smtpwardd: $(BUILD)/userspace/main.o $(AGENT_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(BUILD)/smtpward: $(CLI_OBJ)
	$(call say,LD,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS)

$(BUILD)/userspace/%.o: userspace/%.c
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# Only kernel.c sees the BPF object; its generated header is not held to our warnings.
$(BUILD)/userspace/kernel.o: $(BUILD)/smtpward.skel.h

$(BUILD)/smtpward.bpf.o: bpf/smtpward.bpf.c
	$(call say,BPF,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/smtpward.skel.h: $(BUILD)/smtpward.bpf.o
	$(call say,SKEL,$@)
	$(Q)$(BPFTOOL) gen skeleton $< name smtpward_bpf > $@

clean:
	rm -rf $(BUILD)

include tests/tests.mk

-include $(wildcard $(BUILD)/*.d $(BUILD)/*/*.d $(BUILD)/*/*/*.d)
