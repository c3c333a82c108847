/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <cap-ng.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sysexits.h>

#include "privileges.h"

/* ---- names ------------------------------------------------------------------------------------------------ */

static bool is_number(const char *text, unsigned *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);
	*number = (unsigned)value;
	return *text >= '0' && *text <= '9' && !*end && value < UINT32_MAX;
}

static int complain(char *error, size_t error_size, const char *key, const char *name, const char *what)
{
	snprintf(error, error_size, "%s: '%s': %s", key, name, what);
	return EX_CONFIG;
}

static int look_up_user(const char *name, struct privileges *privileges, char *error, size_t error_size)
{
	const struct passwd *user = getpwnam(name);
	if (!user)
		return complain(error, error_size, "privileges.user", name,
				"there is no such user: make it (useradd --system --no-create-home smtpward), or name another");
	if (user->pw_uid == 0 || user->pw_gid == 0)
		return complain(error, error_size, "privileges.user", name, "not root, and not in root's group");
	privileges->user = user->pw_uid;
	privileges->user_group = user->pw_gid;
	return EX_OK;
}

static int look_up_group(const char *key, const char *name, gid_t *gid, char *error, size_t error_size)
{
	unsigned number;
	if (!name)
		return EX_OK;
	const struct group *group = getgrnam(name);
	if (group)
		*gid = group->gr_gid;
	else if (is_number(name, &number))
		*gid = number;
	else
		return complain(error, error_size, key, name, "there is no such group");
	return EX_OK;
}

static int look_up_owner(const char *name, uid_t *uid, char *error, size_t error_size)
{
	unsigned number;
	if (!name)
		return EX_OK;
	const struct passwd *user = getpwnam(name);
	if (user)
		*uid = user->pw_uid;
	else if (is_number(name, &number))
		*uid = number;
	else
		return complain(error, error_size, "control.owner", name, "there is no such user");
	return EX_OK;
}

int privileges_look_up(const struct config *config, struct privileges *privileges, char *error, size_t error_size)
{
	*privileges = (struct privileges){ .admin_group = (gid_t)-1 };
	int result = look_up_user(config->privileges.user, privileges, error, error_size);
	if (result == EX_OK)
		result = look_up_owner(config->control.owner, &privileges->owner, error, error_size);
	if (result == EX_OK)
		result = look_up_group("control.group", config->control.group, &privileges->group, error, error_size);
	if (result == EX_OK)
		result = look_up_group("control.admin_group", config->control.admin_group, &privileges->admin_group, error, error_size);
	return result;
}

/* ---- capabilities ----------------------------------------------------------------------------------------- */

/* What each is for is in docs/privileges.md, and a test sees that it is. */
static const struct {
	unsigned capability;
	const char *name;
	bool containers; /* only for other users' processes and namespaces */
} kept[] = {
	{ CAP_BPF, "bpf", false },
	{ CAP_NET_ADMIN, "net_admin", false },
	{ CAP_PERFMON, "perfmon", false },
	{ CAP_SYS_ADMIN, "sys_admin", true },
	{ CAP_SYS_PTRACE, "sys_ptrace", true },
	{ CAP_DAC_READ_SEARCH, "dac_read_search", true },
};

#define KEPT (sizeof(kept) / sizeof(kept[0]))

static bool is_kept(unsigned capability, bool containers)
{
	for (unsigned i = 0; i < KEPT; i++) {
		if (kept[i].capability == capability)
			return containers || !kept[i].containers;
	}
	return false;
}

int privileges_drop(bool containers, bool starting)
{
	/* starting mounts a cgroup2 or a bpffs where there is none, and puts uprobes on the system's libraries */
	bool all = containers || starting;
	capng_get_caps_process();
	for (unsigned i = 0; i <= CAP_LAST_CAP; i++) {
		/* root would get them back with its next exec(); without CAP_SETPCAP no_new_privs alone forbids that */
		if (!is_kept(i, all))
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0);
		if (!is_kept(i, all) && capng_have_capability(CAPNG_PERMITTED, i))
			capng_update(CAPNG_DROP, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_INHERITABLE, i);
	}
	if (capng_apply(CAPNG_SELECT_CAPS) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -EPERM;
	return 0;
}

int privileges_drop_all(void)
{
	capng_clear(CAPNG_SELECT_CAPS);
	return capng_apply(CAPNG_SELECT_CAPS) ? -EPERM : 0;
}

const char *privileges_capability(unsigned index)
{
	return index < KEPT ? kept[index].name : NULL;
}

const char *privileges_text(char *text, size_t size)
{
	size_t used = 0;
	snprintf(text, size, "none");
	capng_get_caps_process();
	for (unsigned i = 0; i <= CAP_LAST_CAP && used < size; i++) {
		const char *name = capng_have_capability(CAPNG_EFFECTIVE, i) ? capng_capability_to_name(i) : NULL;
		if (name)
			used += (size_t)snprintf(text + used, size - used, "%s%s", used ? " " : "", name);
	}
	return text;
}
