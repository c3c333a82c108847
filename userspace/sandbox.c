/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/landlock.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "sandbox.h"
#include "sandbox_calls.h"

static struct sandbox_state state;

const struct sandbox_state *sandbox_state(void)
{
	return &state;
}

static int fail(char *error, size_t error_size, const char *what, int code)
{
	snprintf(error, error_size, "%s: %s", what, strerror(code));
	return -code;
}

/* ---- user and capabilities -------------------------------------------------------------------------------- */

static int drop_user(const struct sandbox *sandbox, char *error, size_t error_size)
{
	/* without CAP_SETPCAP the bounding set stays; it gives nothing to a process that may not gain privileges */
	for (int capability = 0; prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; capability++)
		prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
	if (setgroups(0, NULL))
		return fail(error, error_size, "the groups cannot be given up", errno);
	if (setresgid(sandbox->gid, sandbox->gid, sandbox->gid))
		return fail(error, error_size, "the group cannot be changed", errno);
	if (setresuid(sandbox->uid, sandbox->uid, sandbox->uid))
		return fail(error, error_size, "the user cannot be changed", errno);
	capng_clear(CAPNG_SELECT_BOTH);
	if (capng_apply(CAPNG_SELECT_CAPS))
		return fail(error, error_size, "the capabilities cannot be given up", EPERM);
	capng_get_caps_process();
	if (capng_have_capabilities(CAPNG_SELECT_CAPS) != CAPNG_NONE || setresuid(0, 0, 0) == 0)
		return fail(error, error_size, "there are capabilities left", EPERM);
	return 0;
}

static int drop_more(char *error, size_t error_size)
{
	const struct rlimit no_core = { 0, 0 };
	if (setrlimit(RLIMIT_CORE, &no_core))
		return fail(error, error_size, "core files cannot be forbidden", errno);
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0))
		return fail(error, error_size, "the memory cannot be hidden", errno);
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return fail(error, error_size, "new privileges cannot be forbidden", errno);
	return 0;
}

/* ---- Landlock --------------------------------------------------------------------------------------------- */

#ifndef LANDLOCK_ACCESS_FS_REFER
#define LANDLOCK_ACCESS_FS_REFER (1ULL << 13)
#endif
#define ACCESS_FS_TRUNCATE (1ULL << 14)
#define ACCESS_FS_IOCTL_DEV (1ULL << 15)
#define ACCESS_NET_TCP 3ULL /* bind, connect */
#define SCOPE_ALL 3ULL      /* abstract unix sockets, signals */

/* The kernel takes a shorter struct, and a longer one whose unknown end is zero; the header's may be an older one. */
struct ruleset {
	__u64 handled_access_fs, handled_access_net, scoped;
};

/* All that this version can refuse. */
static size_t describe(int version, struct ruleset *ruleset)
{
	*ruleset = (struct ruleset){ .handled_access_fs = (1ULL << 13) - 1 };
	if (version >= 2)
		ruleset->handled_access_fs |= LANDLOCK_ACCESS_FS_REFER;
	if (version >= 3)
		ruleset->handled_access_fs |= ACCESS_FS_TRUNCATE;
	if (version >= 5)
		ruleset->handled_access_fs |= ACCESS_FS_IOCTL_DEV;
	if (version >= 4)
		ruleset->handled_access_net = ACCESS_NET_TCP;
	if (version >= 6)
		ruleset->scoped = SCOPE_ALL;
	return version >= 6 ? sizeof(*ruleset) : version >= 4 ? 2 * sizeof(__u64) : sizeof(__u64);
}

static int allow_reading(int ruleset, const char *path)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = LANDLOCK_ACCESS_FS_READ_FILE };
	rule.parent_fd = open(path, O_PATH | O_CLOEXEC);
	if (rule.parent_fd < 0)
		return 0;
	int result = (int)syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0);
	int error = errno;
	close(rule.parent_fd);
	return result ? -error : 0;
}

/* Returns Landlock's version, or a negative errno. */
static int enter_landlock(const struct sandbox *sandbox)
{
	int version = (int)syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	struct ruleset description;
	if (version < 1)
		return version < 0 ? -errno : -ENOSYS;
	size_t size = describe(version, &description);
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &description, size, 0);
	if (ruleset < 0)
		return -errno;
	int result = 0;
	for (const char *const *path = sandbox->readable; path && *path && result == 0; path++)
		result = allow_reading(ruleset, *path);
	if (result == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0))
		result = -errno;
	close(ruleset);
	return result ? result : version;
}

/* ---- all together ----------------------------------------------------------------------------------------- */

static void note_missing(const char *what, int error)
{
	size_t used = strlen(state.missing);
	snprintf(state.missing + used, sizeof(state.missing) - used, "%s%s: %s", used ? "; " : "", what, strerror(error));
}

int sandbox_enter(const struct sandbox *sandbox, char *error, size_t error_size)
{
	int result = drop_user(sandbox, error, error_size);
	if (result == 0)
		result = drop_more(error, error_size);
	if (result)
		return result;
	int landlock = enter_landlock(sandbox);
	if (landlock < 0)
		note_missing("Landlock", -landlock);
	else
		state.landlock = landlock;
	if (landlock < 0 && sandbox->required)
		return fail(error, error_size, "Landlock cannot be applied", -landlock);
	result = sandbox_filter(sandbox->profile); /* last: it leaves no way to do the others */
	if (result)
		note_missing("seccomp", -result);
	if (result && sandbox->required)
		return fail(error, error_size, "seccomp cannot be applied", -result);
	state.seccomp = result == 0;
	state.entered = true;
	return 0;
}
