/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <cap-ng.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "kernel_forward.h"
#include "kernel_object.h"
#include "sock_diag.h"
#include "socket_release.h"

static void say(struct kernel_problem *problem, int exit_code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void say(struct kernel_problem *problem, int exit_code, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	problem->exit_code = exit_code;
	vsnprintf(problem->text, sizeof(problem->text), format, arguments);
	va_end(arguments);
}

/* ---- can it be done here? --------------------------------------------------------------------------------- */

bool kernel_allowed(struct kernel_problem *problem)
{
	static const struct {
		unsigned capability;
		const char *name, *purpose;
	} needed[] = {
		{ CAP_BPF, "CAP_BPF", "to load BPF programs" },
		{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "to attach them to a cgroup and to end blocked connections" },
		{ CAP_PERFMON, "CAP_PERFMON", "for the bounded loops in them" },
	};
	capng_get_caps_process();
	/* before Linux 5.8 CAP_SYS_ADMIN stood for all of these, and it still includes CAP_BPF and CAP_PERFMON */
	bool admin = capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN);
	for (unsigned i = 0; i < sizeof(needed) / sizeof(needed[0]); i++) {
		if (capng_have_capability(CAPNG_EFFECTIVE, needed[i].capability) ||
		    (admin && needed[i].capability != CAP_NET_ADMIN))
			continue;
		say(problem, EX_NOPERM, "%s is missing, %s: run smtpwardd as root", needed[i].name, needed[i].purpose);
		return false;
	}
	return true;
}

/* Loading has failed with error: which feature is it that this kernel lacks? */
static void explain_load_failure(int error, struct kernel_problem *problem)
{
	static const struct {
		bool program;
		int type;
		const char *name, *since;
	} features[] = {
		{ true, BPF_PROG_TYPE_CGROUP_SKB, "BPF programs for cgroup_skb", "4.10" },
		{ true, BPF_PROG_TYPE_SOCK_OPS, "BPF programs for sock_ops", "4.13" },
		{ true, BPF_PROG_TYPE_CGROUP_SOCK_ADDR, "BPF programs for connect", "4.17" },
		{ false, BPF_MAP_TYPE_LPM_TRIE, "BPF LPM tries", "4.11" },
		{ false, BPF_MAP_TYPE_SK_STORAGE, "BPF socket storage", "5.2" },
		{ false, BPF_MAP_TYPE_RINGBUF, "the BPF ring buffer", "5.8" },
	};
	for (unsigned i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		int there = features[i].program ? libbpf_probe_bpf_prog_type(features[i].type, NULL)
						: libbpf_probe_bpf_map_type(features[i].type, NULL);
		if (there == 0) {
			say(problem, EX_UNAVAILABLE, "this kernel has no support for %s: Linux %s or later has (and smtpward needs 5.10)",
			    features[i].name, features[i].since);
			return;
		}
	}
	say(problem, EX_UNAVAILABLE, "the BPF object does not load: %s (smtpward needs Linux 5.10 or later)", strerror(error));
}

/* ---- open and close --------------------------------------------------------------------------------------- */

static int quiet(enum libbpf_print_level level, const char *format, va_list arguments)
{
	if (!getenv("SMTPWARD_DEBUG") || level == LIBBPF_DEBUG)
		return 0;
	return vfprintf(stderr, format, arguments);
}

static bool load(struct kernel *kernel, const struct config *config, const struct kernel_processes *processes, struct kernel_problem *problem)
{
	libbpf_set_print(quiet);
	kernel->bpf = smtpward_bpf__open();
	if (!kernel->bpf) {
		say(problem, EX_SOFTWARE, "the BPF object cannot be read: %s", strerror(errno));
		return false;
	}
	kernel_pins_adopt_maps(kernel);
	kernel_blocked_adopt(kernel);
	int error = smtpward_bpf__load(kernel->bpf);
	if (error) {
		explain_load_failure(-error, problem);
		return false;
	}
	kernel->settings.agent_pid = (__u32)processes->agent;
	kernel->settings.hold_ns = config->identity.hold_s * 1000000000ULL;
	kernel->settings.mode = (__u8)config->mode; /* at once: the maps may be those of hooks that are at work */
	error = kernel_write_ports(kernel, config);
	if (!error && !kernel->maps_adopted)
		error = kernel_blocked_note_ports(kernel, config);
	if (!error)
		error = kernel_set_policy(kernel, config, time(NULL));
	if (error) {
		say(problem, EX_OSERR, "the policy cannot be written into the kernel: %s", strerror(-error));
		return false;
	}
	return true;
}

int kernel_set_mode(struct kernel *kernel, enum policy_mode mode)
{
	bool pins = mode == MODE_BLOCK || kernel->on_exit == EXIT_KEEP;
	if (pins && !kernel->pinned) {
		int error = kernel_pin(kernel);
		if (!error)
			error = kernel_forward_pin(kernel);
		if (error)
			return error;
		kernel_replace_start(kernel); /* what an older agent has left; ours is attached by now */
	} else if (!pins) {
		kernel_unpin(kernel);
		kernel_forward_unpinned(kernel);
	}
	kernel->settings.mode = (__u8)mode;
	return kernel_write_settings(kernel);
}

enum policy_mode kernel_mode(const struct kernel *kernel)
{
	return (enum policy_mode)kernel->settings.mode;
}

bool kernel_stays(const struct kernel *kernel, enum kernel_end end)
{
	if (end == KERNEL_END_NOT_STARTED)
		return kernel->had_pins;
	return kernel->pinned && (end == KERNEL_END_CRASHED || kernel->on_exit != EXIT_DETACH);
}

/* Those that an earlier agent has looked at: its probes went with it. */
static void forget_senders(struct kernel *kernel)
{
	int map = bpf_map__fd(kernel->bpf->maps.senders);
	__u32 pid;
	while (bpf_map_get_next_key(map, NULL, &pid) == 0 && bpf_map_delete_elem(map, &pid) == 0)
		;
}

struct kernel *kernel_open(const struct config *config, const struct kernel_processes *processes, struct kernel_problem *problem)
{
	struct kernel *kernel = calloc(1, sizeof(*kernel));
	if (!kernel)
		return NULL;
	memset(kernel->links, -1, sizeof(kernel->links));
	kernel->pin_lock = -1;
	pthread_mutex_init(&kernel->place_lock, NULL);
	kernel->on_exit = config->on_exit;
	kernel->library_reader = processes->library_reader;
	problem->exit_code = config->cgroup ? EX_CONFIG : EX_UNAVAILABLE;
	kernel->cgroup = cgroup_open(config->cgroup, problem->text, sizeof(problem->text));
	if (!kernel->cgroup)
		goto failed;
	if (!kernel_pins_place(kernel)) {
		say(problem, EX_CONFIG, "another agent is at work on %s", cgroup_attach_path(kernel->cgroup));
		goto failed;
	}
	kernel->diag = sock_diag_new();
	if (!kernel->diag || !load(kernel, config, processes, problem))
		goto failed;
	kernel_heartbeat(kernel);
	forget_senders(kernel);
	const struct kernel_hook *missing = kernel_attach(kernel);
	if (missing) {
		say(problem, EX_UNAVAILABLE, "%s cannot be attached to %s: %s", missing->name, cgroup_attach_path(kernel->cgroup),
		    missing->error);
		goto failed;
	}
	kernel_adopt(kernel, config);
	kernel_heartbeat(kernel);
	int error = kernel_forward_open(kernel, config); /* behind that: what is a socket's of this host is not forwarded */
	if (error) {
		say(problem, EX_UNAVAILABLE, "the programs for forwarded flows (tc.interfaces) do not load: %s", strerror(-error));
		goto failed;
	}
	error = kernel_set_mode(kernel, config->mode);
	if (error) {
		say(problem, EX_OSERR, "the hooks cannot be pinned at %s: %s", kernel->pin_path, strerror(-error));
		goto failed;
	}
	kernel_heartbeat(kernel);
	kernel_witness_open(kernel, config); /* last: it looks at many files, and what blocks in clear is at work already */
	kernel_heartbeat(kernel);
	return kernel;
failed:
	kernel_close(kernel, kernel->had_pins); /* what an earlier agent has left goes on: it blocks */
	return NULL;
}

void kernel_close(struct kernel *kernel, bool leave)
{
	if (!kernel)
		return;
	if (!leave && kernel->pin_path[0])
		kernel_unpin(kernel);
	if (kernel->pin_lock >= 0)
		close(kernel->pin_lock);
	for (unsigned i = 0; i < HOOKS; i++) {
		if (kernel->links[i] >= 0)
			close(kernel->links[i]);
	}
	kernel_witness_close(kernel, leave);
	kernel_forward_close(kernel, leave);
	smtpward_bpf__destroy(kernel->bpf);
	sock_diag_free(kernel->diag);
	cgroup_close(kernel->cgroup);
	free(kernel);
}

/* ---- at work ---------------------------------------------------------------------------------------------- */

int kernel_ring_fd(const struct kernel *kernel)
{
	return bpf_map__fd(kernel->bpf->maps.events);
}

uint64_t kernel_ring_size(const struct kernel *kernel)
{
	return bpf_map__max_entries(kernel->bpf->maps.events);
}

/* Where not every network namespace can be looked into, a flow is over with the process that opened it. */
static int unless_over(const struct kernel *kernel, const struct flow_event *event, int result)
{
	return result == -EPERM && sock_diag_owner_is_over(kernel->diag, event) ? -ENOENT : result;
}

int kernel_destroy_socket(struct kernel *kernel, const struct flow_event *event)
{
	return unless_over(kernel, event, sock_diag_destroy(kernel->diag, event));
}

int kernel_find_socket(struct kernel *kernel, const struct flow_event *event)
{
	if (event->ifindex)
		return kernel_forward_find(kernel, event);
	return unless_over(kernel, event, sock_diag_find(kernel->diag, event));
}

int kernel_set_identity(struct kernel *kernel, uint64_t flow_id, enum identity identity)
{
	const struct peer_verdict verdict = { .identity = identity };
	return bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.verdicts), &flow_id, &verdict, BPF_EXIST) ? -errno : 0;
}

int kernel_release_socket(struct kernel *kernel, const struct flow_event *event, uint32_t pid)
{
	(void)kernel;
	int error = pid ? socket_release(pid, event->socket_cookie, event->server_port) : -ENOENT;
	return error == -ENOENT && pid != event->pid ? socket_release(event->pid, event->socket_cookie, event->server_port) : error;
}

void kernel_heartbeat(struct kernel *kernel)
{
	struct timespec now;
	__u32 zero = 0;
	clock_gettime(CLOCK_MONOTONIC, &now);
	__u64 beat = (__u64)now.tv_sec * 1000000000ULL + (__u64)now.tv_nsec;
	bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.heartbeat), &zero, &beat, BPF_ANY);
}

void kernel_tidy(struct kernel *kernel)
{
	kernel_blocked_sweep(kernel);
	kernel_replace_tidy(kernel);
	kernel_adopt_tidy(kernel);
	sock_diag_tidy(kernel->diag);
}

void kernel_counters(const struct kernel *kernel, uint64_t counters[COUNTER_COUNT])
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*values));
	memset(counters, 0, COUNTER_COUNT * sizeof(*counters));
	for (__u32 id = 0; values && id < COUNTER_COUNT; id++) {
		if (bpf_map_lookup_elem(bpf_map__fd(kernel->bpf->maps.counters), &id, values))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			counters[id] += values[cpu];
	}
	free(values);
}

const struct kernel_hook *kernel_hooks(const struct kernel *kernel, unsigned *count)
{
	*count = HOOKS;
	return kernel->hooks;
}

const char *kernel_cgroup(const struct kernel *kernel)
{
	return cgroup_attach_path(kernel->cgroup);
}

char *kernel_cgroup_path(const struct kernel *kernel, uint64_t cgroup_id)
{
	return cgroup_path_of(kernel->cgroup, cgroup_id);
}
