/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Sockets that were there before the hooks: found at the start, told to the agent through the ring, and left to the hooks
 * in the map `adopted` (include/adopted.h).
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <uthash.h>

#include "adopted.h"
#include "cgroup.h"
#include "forward.h"
#include "kernel_object.h"
#include "policy_lookup.h"
#include "sock_diag.h"
#include "sock_dump.h"

#define PROCESSES_MAX 65536   /* looked through for the sockets' owners */
#define DESCRIPTORS_MAX 65536 /* of one of them */
#define TOLD_MAX 4096         /* of the ring: what finds no place in it is told with its first segment */
#define TIDY_MAX 64           /* sockets looked for at once */

struct find {
	uint64_t inode, cookie;
	struct adopted adopted;
	UT_hash_handle hh;
};

struct cgroup_path {
	uint64_t id;
	char *path;
	UT_hash_handle hh;
};

struct adoption {
	struct kernel *kernel;
	const struct config *config;
	uint64_t now_ns;
	char *below; /* path of the attach point */
	struct find *finds;         /* by inode */
	struct cgroup_path *paths;
};

static uint64_t monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* ---- what is found ---------------------------------------------------------------------------------------- */

/* Path of the socket's cgroup, or NULL; kept, since many sockets are in one. */
static const char *cgroup_path(struct adoption *adoption, uint64_t id)
{
	struct cgroup_path *known = NULL;
	HASH_FIND(hh, adoption->paths, &id, sizeof(id), known);
	if (!known) {
		known = calloc(1, sizeof(*known));
		if (!known)
			return NULL;
		known->id = id;
		known->path = cgroup_path_of(adoption->kernel->cgroup, id);
		HASH_ADD(hh, adoption->paths, id, sizeof(known->id), known);
	}
	return known->path;
}

/* Whether the hooks see the socket at all. Where its cgroup is not known, they may. */
static bool is_below(const struct adoption *adoption, const char *path)
{
	size_t length = adoption->below ? strlen(adoption->below) : 0;
	if (!path || length <= 1) /* "/" */
		return true;
	return strncmp(path, adoption->below, length) == 0 && (path[length] == 0 || path[length] == '/');
}

static bool is_implicit(const struct config *config, uint16_t port)
{
	for (unsigned i = 0; i < config->port_count; i++) {
		if (config->ports[i].number == port)
			return config->ports[i].implicit_tls;
	}
	return false;
}

static void fill(struct adoption *adoption, struct find *find, const struct found_socket *found, const char *cgroup)
{
	struct adopted *adopted = &find->adopted;
	struct policy_flow flow = { .port = found->remote_port, .has_user = true, .uid = found->uid, .cgroup = cgroup };
	memcpy(flow.address, found->remote_address, sizeof(flow.address));
	const struct config_rule *rule = policy_lookup(adoption->config, &flow, time(NULL));
	find->inode = found->inode;
	find->cookie = found->cookie;
	adopted->flow_id = found->cookie << 24 | (adoption->now_ns >> 10 & 0xffffff);
	adopted->opened_ns = adoption->now_ns;
	adopted->netns_cookie = found->netns_cookie;
	adopted->cgroup_id = found->cgroup_id;
	adopted->uid = found->uid;
	adopted->rule_id = rule ? rule->rule.id : adoption->config->default_rule.id;
	adopted->require = rule ? rule->rule.require : adoption->config->default_rule.require;
	adopted->client_port = found->local_port;
	adopted->server_port = found->remote_port;
	adopted->implicit_tls = is_implicit(adoption->config, found->remote_port);
	adopted->from_start = found->silent;
	memcpy(adopted->client_address, found->local_address, sizeof(adopted->client_address));
	memcpy(adopted->server_address, found->remote_address, sizeof(adopted->server_address));
}

static void take_socket(void *context, const struct found_socket *found)
{
	struct adoption *adoption = context;
	struct find *find = NULL;
	if (found->has_storage || !found->inode || HASH_COUNT(adoption->finds) >= ADOPTED_MAX)
		return;
	HASH_FIND(hh, adoption->finds, &found->inode, sizeof(found->inode), find);
	const char *cgroup = cgroup_path(adoption, found->cgroup_id);
	if (find || !is_below(adoption, cgroup))
		return;
	find = calloc(1, sizeof(*find));
	if (!find)
		return;
	fill(adoption, find, found, cgroup);
	HASH_ADD(hh, adoption->finds, inode, sizeof(find->inode), find);
}

/* ---- whose they are --------------------------------------------------------------------------------------- */

static void set_owner(struct find *find, unsigned pid)
{
	char path[64], comm[sizeof(find->adopted.comm) + 1] = "";
	snprintf(path, sizeof(path), "/proc/%u/comm", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd >= 0 ? read(fd, comm, sizeof(comm) - 1) : 0;
	if (fd >= 0)
		close(fd);
	comm[n > 0 ? strcspn(comm, "\n") : 0] = 0;
	memcpy(find->adopted.comm, comm, sizeof(find->adopted.comm));
	find->adopted.pid = pid;
}

/* Returns how many of the sockets the process has that had no owner before. */
static unsigned look_at_process(struct adoption *adoption, unsigned pid)
{
	char path[64], target[64];
	unsigned found = 0, looked = 0;
	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	DIR *directory = opendir(path);
	if (!directory)
		return 0;
	for (struct dirent *entry; looked < DESCRIPTORS_MAX && (entry = readdir(directory)); looked++) {
		unsigned long long number;
		struct find *find = NULL;
		ssize_t n = readlinkat(dirfd(directory), entry->d_name, target, sizeof(target) - 1);
		if (n <= 0)
			continue;
		target[n] = 0;
		if (sscanf(target, "socket:[%llu]", &number) != 1)
			continue;
		uint64_t inode = number;
		HASH_FIND(hh, adoption->finds, &inode, sizeof(inode), find);
		if (find && !find->adopted.pid) {
			set_owner(find, pid);
			found++;
		}
	}
	closedir(directory);
	return found;
}

static void find_owners(struct adoption *adoption)
{
	unsigned missing = HASH_COUNT(adoption->finds), looked = 0;
	DIR *proc = missing ? opendir("/proc") : NULL;
	if (!proc)
		return;
	for (struct dirent *entry; missing && looked < PROCESSES_MAX && (entry = readdir(proc));) {
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		missing -= look_at_process(adoption, (unsigned)strtoul(entry->d_name, NULL, 10));
		looked++;
	}
	closedir(proc);
}

/* ---- what is done with them ------------------------------------------------------------------------------- */

/* The agent hears of it before anything of it is seen. Returns whether there was room in the ring. */
static bool announce(struct kernel *kernel, const struct find *find)
{
	struct announcement told = { .socket_cookie = find->cookie, .adopted = find->adopted };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = &told, .data_size_in = sizeof(told), .repeat = 1);
	return bpf_prog_test_run_opts(bpf_program__fd(kernel->bpf->progs.smtpward_announce), &options) == 0 && options.retval == 0;
}

/* As the connect hook would have noted them. All of the configuration's: none else is written at the same time. */
static int note_ports(struct kernel *kernel, const struct config *config)
{
	int map = bpf_map__fd(kernel->bpf->maps.flow_ports);
	__u32 zero = 0;
	__u8 *used = malloc(65536);
	int error = used ? 0 : -ENOMEM;
	if (!error && bpf_map_lookup_elem(map, &zero, used))
		error = -errno;
	for (unsigned i = 0; i < config->port_count && !error; i++)
		used[config->ports[i].number] = 1;
	if (!error && bpf_map_update_elem(map, &zero, used, BPF_ANY))
		error = -errno;
	free(used);
	return error;
}

/* As the socket hooks do it: the TC programs leave the connection alone. */
static void pass_over(struct kernel *kernel, const struct adopted *adopted)
{
	struct forward_note note = { .connection = { .client_port = adopted->client_port, .server_port = adopted->server_port } };
	__u8 yes = 1;
	memcpy(note.connection.client_address, adopted->client_address, sizeof(note.connection.client_address));
	memcpy(note.connection.server_address, adopted->server_address, sizeof(note.connection.server_address));
	bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.passed_over), &note, &yes, BPF_ANY);
}

static void hand_over(struct adoption *adoption)
{
	struct kernel *kernel = adoption->kernel;
	int map = bpf_map__fd(kernel->bpf->maps.adopted);
	unsigned told = 0;
	if (adoption->finds && note_ports(kernel, adoption->config))
		return;
	for (struct find *find = adoption->finds; find; find = find->hh.next) {
		/* an agent before this one may have found it, and its hooks have never rested */
		bool known = bpf_map_lookup_elem(map, &find->cookie, &find->adopted) == 0;
		if (told < TOLD_MAX && announce(kernel, find)) {
			find->adopted.sequence = 1;
			told++;
		}
		pass_over(kernel, &find->adopted);
		bpf_map_update_elem(map, &find->cookie, &find->adopted, known ? BPF_EXIST : BPF_NOEXIST);
	}
}

static void set_counter(struct kernel *kernel, __u32 id, uint64_t value)
{
	int cpus = libbpf_num_possible_cpus();
	uint64_t *values = calloc(cpus > 0 ? (size_t)cpus : 1, sizeof(*values));
	if (values) {
		values[0] = value;
		bpf_map_update_elem(bpf_map__fd(kernel->bpf->maps.counters), &id, values, BPF_ANY);
	}
	free(values);
}

static void forget(struct adoption *adoption)
{
	struct find *find, *next_find;
	struct cgroup_path *path, *next_path;
	HASH_ITER(hh, adoption->finds, find, next_find) {
		HASH_DEL(adoption->finds, find);
		free(find);
	}
	HASH_ITER(hh, adoption->paths, path, next_path) {
		HASH_DEL(adoption->paths, path);
		free(path->path);
		free(path);
	}
	free(adoption->below);
}

void kernel_adopt(struct kernel *kernel, const struct config *config)
{
	uint16_t ports[PORTS_MAX];
	unsigned unseen = 0;
	struct adoption adoption = { .kernel = kernel, .config = config, .now_ns = monotonic_ns(),
				     .below = cgroup_path_of(kernel->cgroup, cgroup_id(kernel->cgroup)) };
	struct sock_dump dump = { .remote_ports = ports, .storage_map = bpf_map__fd(kernel->bpf->maps.flows), .take = take_socket,
				  .context = &adoption };
	for (unsigned i = 0; i < config->port_count && i < PORTS_MAX; i++)
		ports[dump.remote_port_count++] = config->ports[i].number;
	if (sock_dump(&dump, &unseen))
		unseen++;
	find_owners(&adoption);
	hand_over(&adoption);
	bpf_program__unload(kernel->bpf->progs.smtpward_announce); /* its work is done */
	set_counter(kernel, COUNTER_FLOWS_FOUND, HASH_COUNT(adoption.finds));
	set_counter(kernel, COUNTER_NETNS_UNSEEN, unseen);
	forget(&adoption);
}

/* As much of a flow's event as is needed to find its socket. */
static struct flow_event event_of(uint64_t cookie, const struct adopted *adopted)
{
	struct flow_event event = { .flow_id = adopted->flow_id, .socket_cookie = cookie, .netns_cookie = adopted->netns_cookie,
				    .pid = adopted->pid, .client_port = adopted->client_port, .server_port = adopted->server_port };
	memcpy(event.client_address, adopted->client_address, sizeof(event.client_address));
	memcpy(event.server_address, adopted->server_address, sizeof(event.server_address));
	return event;
}

void kernel_adopt_tidy(struct kernel *kernel)
{
	int map = bpf_map__fd(kernel->bpf->maps.adopted);
	for (unsigned i = 0; i < TIDY_MAX; i++) {
		struct adopted adopted;
		uint64_t cookie;
		/* behind a key that is gone, or the last one, the map begins anew */
		if (bpf_map_get_next_key(map, kernel->adopt_position ? &kernel->adopt_position : NULL, &cookie)) {
			kernel->adopt_position = 0;
			return;
		}
		if (bpf_map_lookup_elem(map, &cookie, &adopted))
			continue;
		struct flow_event event = event_of(cookie, &adopted);
		if (kernel_find_socket(kernel, &event) == -ENOENT)
			bpf_map_delete_elem(map, &cookie);
		else
			kernel->adopt_position = cookie;
	}
}
