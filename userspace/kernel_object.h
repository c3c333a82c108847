/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the parts of kernel.h share: the loaded object, its attachment and its pins. Nobody else includes this. */
#ifndef SMTPWARD_KERNEL_OBJECT_H
#define SMTPWARD_KERNEL_OBJECT_H

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "kernel.h"

/* The generated header is not held to our warnings. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "smtpward.skel.h"
#pragma GCC diagnostic pop

struct cgroup;
struct kernel_witness;
struct kernel_forward;

#define HOOKS 5

struct kernel {
	struct smtpward_bpf *bpf;
	struct cgroup *cgroup;
	struct sock_diag *diag;
	struct kernel_witness *witness; /* NULL: switched off */
	struct kernel_forward *forward; /* NULL: the configuration names no interface */
	int library_reader;
	int links[HOOKS]; /* descriptors; -1: not attached */
	struct kernel_hook hooks[HOOKS];
	struct settings settings;
	char pin_path[128];
	bool pinned; /* the pins below pin_path are ours */
};

/* kernel_policy.c: write the port map; write settings. Return 0 or a negative errno. */
int kernel_write_ports(struct kernel *kernel, const struct config *config);
int kernel_write_settings(struct kernel *kernel);

/* kernel_witness.c. Without uprobes all else goes on: why there is no witness is told by kernel_witness_state(). */
void kernel_witness_open(struct kernel *kernel, const struct config *config);
void kernel_witness_close(struct kernel *kernel);

/* kernel_forward.c. Open loads the TC programs and puts them on the interfaces; an interface that cannot be had is told by
 * kernel_forward_hook(). Pin: so that they go on without an agent; below pin_path, which is emptied elsewhere. They
 * return 0 or a negative errno. Close: as kernel_close(). */
int kernel_forward_open(struct kernel *kernel, const struct config *config);
void kernel_forward_close(struct kernel *kernel, bool leave);
int kernel_forward_pin(struct kernel *kernel);
void kernel_forward_unpinned(struct kernel *kernel);

/* kernel_pins.c. Where the pins of this attach point are. */
void kernel_pins_place(struct kernel *kernel);
/* Before the object is loaded: takes over the maps of an agent that was killed, if they are there and alike. */
void kernel_pins_adopt_maps(struct kernel *kernel);
/* The pinned link of a hook, now running program; or -1. */
int kernel_pins_adopt_link(const struct kernel *kernel, const char *hook, int program);
/* Pins maps and links. Returns 0 or a negative errno; then nothing is pinned. */
int kernel_pin(struct kernel *kernel);
/* Removes all pins of this attach point, an earlier agent's too. What nobody else holds is detached. */
void kernel_unpin(struct kernel *kernel);

#endif
