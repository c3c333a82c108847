/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Two programs on an interface, for the way in and the way out: by TCX links (Linux 6.6), else by filters at clsact. */
#ifndef SMTPWARD_TC_ATTACH_H
#define SMTPWARD_TC_ATTACH_H

#include <stdbool.h>
#include <stdint.h>

enum tc_kind { TC_NONE, TC_TCX, TC_CLSACT };

struct tc_attachment {
	enum tc_kind kind;
	int links[2]; /* of TCX: descriptors, for the way in and the way out; else -1 */
	uint32_t handle; /* of clsact filters */
};

/*
 * owner tells agents apart that watch different cgroups of one host; its lower bits go into the filters' handles. Links
 * that attachment brings (of a killed agent) are taken over, in place, and so are filters of that owner's; what cannot be
 * is made anew. kind: TC_NONE takes TCX where the kernel has it, TC_CLSACT filters in any case.
 * Returns 0, or a negative errno; then nothing is attached.
 */
int tc_attach(unsigned ifindex, const int programs[2], uint64_t owner, enum tc_kind kind, struct tc_attachment *attachment);
/* Takes the programs off again. What others have at the interface stays, and with it the qdisc. */
void tc_detach(unsigned ifindex, struct tc_attachment *attachment);
/* Lets go of links without detaching what is pinned. */
void tc_release(struct tc_attachment *attachment);

#endif
