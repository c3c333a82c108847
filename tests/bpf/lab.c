/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "lab.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define LINKS_MAX 16
#define PATIENCE_MS 10000 /* what is waited for comes within milliseconds; this only ends a test that has failed */

struct lab lab;

static struct bpf_object *object;
static struct bpf_link *links[LINKS_MAX];
static struct ring_buffer *ring;
static int home = -1; /* cgroup.procs of where this process came from */
static struct {
	uint16_t port;
	int fd;
} listeners[3];

/* ---- setting up ------------------------------------------------------------------------------------------- */

static bool find_cgroup2(char *path, size_t size)
{
	char line[1024];
	bool found = false;
	FILE *mounts = fopen("/proc/self/mounts", "re");
	while (mounts && !found && fgets(line, sizeof(line), mounts)) {
		char point[256], type[64];
		found = sscanf(line, "%*s %255s %63s", point, type) == 2 && strcmp(type, "cgroup2") == 0;
		if (found)
			snprintf(path, size, "%s", point);
	}
	if (mounts)
		fclose(mounts);
	return found;
}

/* This process's cgroup v2, below the mount. */
static void own_cgroup(char *path, size_t size)
{
	char line[512];
	FILE *file = fopen("/proc/self/cgroup", "re");
	path[0] = 0;
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, "0::", 3) == 0)
			snprintf(path, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
	if (file)
		fclose(file);
}

static bool enter(const char *procs)
{
	int fd = open(procs, O_WRONLY | O_CLOEXEC);
	bool entered = fd >= 0 && write(fd, "0", 1) == 1;
	if (fd >= 0)
		close(fd);
	return entered;
}

static const char *make_cgroup(void)
{
	char mount[256], own[512], path[1024];
	struct stat status;
	if (!find_cgroup2(mount, sizeof(mount)))
		return "no cgroup2 is mounted";
	own_cgroup(own, sizeof(own));
	snprintf(path, sizeof(path), "%s%s/cgroup.procs", mount, own);
	home = open(path, O_WRONLY | O_CLOEXEC);
	if (home < 0)
		return "this process's own cgroup cannot be opened";
	snprintf(lab.cgroup, sizeof(lab.cgroup), "%s/smtpward-test-%d", mount, (int)getpid());
	if (mkdir(lab.cgroup, 0755) < 0 || stat(lab.cgroup, &status) < 0) {
		lab.cgroup[0] = 0;
		return "no cgroup can be made";
	}
	lab.cgroup_id = status.st_ino;
	return NULL;
}

static const char *make_network(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd;
	if (unshare(CLONE_NEWNET) < 0)
		return "no network namespace can be made";
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	close(fd);
	return up ? NULL : "the loopback interface does not come up";
}

static bool quiet_map_update(const char *map, const void *key, const void *value)
{
	return bpf_map_update_elem(bpf_object__find_map_fd_by_name(object, map), key, value, BPF_ANY) == 0;
}

static int print_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN && getenv("SMTPWARD_DEBUG") ? vfprintf(stderr, format, arguments) : 0;
}

static int take_event(void *context, void *data, size_t size)
{
	(void)context;
	if (memmem(data, size, LAB_SECRET, sizeof(LAB_SECRET) - 1))
		lab.leaks++;
	if (lab.tap)
		lab.tap(data, size);
	if (size == sizeof(struct flow_event) && lab.count < LAB_EVENTS_MAX) /* the ring has other records, too */
		memcpy(&lab.events[lab.count++], data, sizeof(struct flow_event));
	return 0;
}

static bool is_socket_hook(const struct bpf_program *program)
{
	const char *section = bpf_program__section_name(program);
	return strncmp(section, "cgroup", 6) == 0 || strncmp(section, "sockops", 7) == 0;
}

static const char broken[] = "the BPF object does not load or attach";

static const char *load_object(void)
{
	unsigned count = 0;
	struct bpf_program *program;
	int fd = open(lab.cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	libbpf_set_print(print_nothing);
	object = bpf_object__open_file(BPF_OBJECT, NULL);
	if (fd < 0 || !object || bpf_object__load(object))
		return errno == EPERM ? "BPF programs may not be loaded" : broken;
	bpf_object__for_each_program(program, object) {
		if (is_socket_hook(program) && count < LINKS_MAX && !(links[count++] = bpf_program__attach_cgroup(program, fd)))
			return broken;
	}
	close(fd);
	ring = ring_buffer__new(bpf_object__find_map_fd_by_name(object, "events"), take_event, NULL, NULL);
	return ring ? NULL : "the ring buffer cannot be mapped";
}

static int listen_anywhere(uint16_t *port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6 };
	int off = 0, size = 1 << 20, backlog = 16;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	setsockopt(fd, IPPROTO_TCP, TCP_FASTOPEN, &backlog, sizeof(backlog));
	if (fd < 0 || bind(fd, (struct sockaddr *)&any, sizeof(any)) < 0 || listen(fd, backlog) < 0)
		return -1;
	*port = lab_local_port(fd);
	return fd;
}

static const char *open_ports(void)
{
	uint16_t *const ports[] = { &lab.starttls_port, &lab.implicit_port, &lab.other_port };
	static const uint8_t kinds[] = { PORT_STARTTLS, PORT_IMPLICIT_TLS, 0 };
	for (unsigned i = 0; i < 3; i++) {
		listeners[i].fd = listen_anywhere(ports[i]);
		listeners[i].port = *ports[i];
		if (listeners[i].fd < 0 || (kinds[i] && !quiet_map_update("ports", ports[i], &kinds[i])))
			return "no port can be listened on";
	}
	return NULL;
}

int lab_setup(void **state)
{
	char procs[600];
	lab.missing = geteuid() == 0 ? NULL : "root is needed";
	if (!lab.missing)
		lab.missing = make_cgroup();
	if (!lab.missing)
		lab.missing = make_network();
	if (!lab.missing)
		lab.missing = load_object();
	if (!lab.missing)
		lab.missing = open_ports();
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", lab.cgroup);
	if (!lab.missing && !enter(procs))
		lab.missing = "the cgroup cannot be entered";
	if (lab.missing)
		print_message("no test here: %s\n", lab.missing);
	if (lab.missing != broken)
		return 0;
	lab_teardown(state);
	return -1; /* that is no lack of the machine's, and nothing to skip for */
}

int lab_teardown(void **state)
{
	(void)state;
	if (home >= 0 && write(home, "0", 1) != 1)
		print_error("cannot leave %s\n", lab.cgroup);
	for (unsigned i = 0; i < LINKS_MAX; i++)
		bpf_link__destroy(links[i]);
	ring_buffer__free(ring);
	bpf_object__close(object);
	if (lab.cgroup[0])
		rmdir(lab.cgroup);
	return 0;
}

void lab_needed(void)
{
	if (lab.missing)
		skip();
}

/* ---- maps and events -------------------------------------------------------------------------------------- */

void lab_set(enum policy_mode mode, const struct policy_rule *fallback, bool user_rules, bool cgroup_rules)
{
	uint32_t zero = 0;
	const struct settings settings = { .fallback = *fallback, .mode = (uint8_t)mode, .has_user_rules = user_rules,
					   .has_cgroup_rules = cgroup_rules };
	assert_true(quiet_map_update("settings", &zero, &settings));
}

void lab_rule(const struct policy_key *key, const struct policy_rule *rule)
{
	const struct policy_entry entry = { .rule = *rule, .address_bits = key->prefix_length - POLICY_KEY_FIXED_BITS };
	assert_true(quiet_map_update("rules", key, &entry));
}

void lab_no_rule(const struct policy_key *key)
{
	assert_int_equal(bpf_map_delete_elem(bpf_object__find_map_fd_by_name(object, "rules"), key), 0);
}

uint64_t lab_counter(enum counter_id id)
{
	uint32_t key = id;
	uint64_t sum = 0;
	int cpus = libbpf_num_possible_cpus();
	assert_true(cpus > 0);
	uint64_t *values = calloc((size_t)cpus, sizeof(*values));
	assert_non_null(values);
	assert_int_equal(bpf_map_lookup_elem(bpf_object__find_map_fd_by_name(object, "counters"), &key, values), 0);
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += values[cpu];
	free(values);
	return sum;
}

int lab_map(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(object, name);
	assert_true(fd >= 0);
	return fd;
}

int lab_program(const char *name)
{
	const struct bpf_program *program = bpf_object__find_program_by_name(object, name);
	assert_non_null(program);
	return bpf_program__fd(program);
}

bool lab_has_storage(int fd)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object, "flows");
	void *value = calloc(1, bpf_map__value_size(map));
	assert_non_null(value);
	int error = bpf_map_lookup_elem(bpf_map__fd(map), &fd, value) ? errno : 0;
	free(value);
	assert_true(error == 0 || error == ENOENT);
	return error == 0;
}

void lab_read_events(void)
{
	ring_buffer__consume(ring);
	assert_true(lab.count < LAB_EVENTS_MAX);
}

int lab_ring_fd(void)
{
	return ring_buffer__epoll_fd(ring);
}

void lab_forget_events(void)
{
	lab_read_events();
	lab.count = 0;
}

const struct flow_event *lab_wait(uint16_t client_port, enum event_reason reason)
{
	for (unsigned waited = 0; waited < PATIENCE_MS; waited++) {
		lab_read_events();
		for (unsigned i = lab.count; i-- > 0;)
			if (lab.events[i].client_port == client_port && lab.events[i].reason == reason)
				return &lab.events[i];
		usleep(1000);
	}
	fail_msg("no event %d of the flow from port %u", (int)reason, client_port);
	return NULL;
}

unsigned lab_count(uint16_t client_port, enum event_reason reason)
{
	unsigned count = 0;
	lab_read_events();
	for (unsigned i = 0; i < lab.count; i++)
		count += lab.events[i].client_port == client_port && lab.events[i].reason == reason;
	return count;
}

/* ---- connections ------------------------------------------------------------------------------------------ */

unsigned lab_address(enum lab_family family, uint16_t port, struct sockaddr_storage *address)
{
	memset(address, 0, sizeof(*address));
	if (family == LAB_IPV4) {
		struct sockaddr_in *v4 = (struct sockaddr_in *)address;
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(*v4);
	}
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)address;
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	inet_pton(AF_INET6, family == LAB_IPV6 ? "::1" : "::ffff:127.0.0.1", &v6->sin6_addr);
	return sizeof(*v6);
}

uint16_t lab_local_port(int fd)
{
	struct sockaddr_in6 address = { 0 }; /* the port is at the same place in sockaddr_in */
	socklen_t size = sizeof(address);
	if (getsockname(fd, (struct sockaddr *)&address, &size) < 0)
		return 0;
	return ntohs(address.sin6_port);
}

static void tune(int fd)
{
	int on = 1, size = 1 << 20;
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
}

int lab_socket(enum lab_family family)
{
	int size = 1 << 20;
	int fd = socket(family == LAB_IPV4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	tune(fd);
	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	return fd;
}

int lab_accept(uint16_t port)
{
	for (unsigned i = 0; i < 3; i++) {
		struct pollfd ready = { .fd = listeners[i].fd, .events = POLLIN };
		if (listeners[i].port != port)
			continue;
		assert_int_equal(poll(&ready, 1, PATIENCE_MS), 1);
		int fd = accept4(listeners[i].fd, NULL, NULL, SOCK_CLOEXEC);
		assert_true(fd >= 0);
		tune(fd);
		return fd;
	}
	fail_msg("port %u is none of the lab's", port);
	return -1;
}

struct lab_connection lab_connect(enum lab_family family, uint16_t port)
{
	struct sockaddr_storage address;
	unsigned size = lab_address(family, port, &address);
	struct lab_connection connection = { .client = lab_socket(family) };
	assert_int_equal(connect(connection.client, (struct sockaddr *)&address, size), 0);
	connection.server = lab_accept(port);
	connection.client_port = lab_local_port(connection.client);
	return connection;
}

struct flow_event lab_close(struct lab_connection *connection)
{
	close(connection->client);
	close(connection->server);
	return *lab_wait(connection->client_port, EVENT_CLOSED);
}

struct flow_event lab_reset(struct lab_connection *connection)
{
	struct linger at_once = { .l_onoff = 1 };
	setsockopt(connection->client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	return lab_close(connection);
}

void lab_send(int from, int to, const uint8_t *bytes, size_t length, size_t piece)
{
	static uint8_t sink[65536];
	size_t sent = 0, received = 0;
	while (received < length) {
		struct pollfd ready[2] = { { .fd = to, .events = POLLIN }, { .fd = from, .events = sent < length ? POLLOUT : 0 } };
		if (poll(ready, 2, PATIENCE_MS) <= 0)
			fail_msg("%zu of %zu bytes came through", received, length);
		if (ready[1].revents & POLLOUT) {
			size_t size = length - sent < piece ? length - sent : piece;
			ssize_t n = send(from, bytes + sent, size, MSG_DONTWAIT | MSG_NOSIGNAL);
			assert_true(n > 0 || errno == EAGAIN);
			sent += n > 0 ? (size_t)n : 0;
		}
		if (ready[0].revents) {
			ssize_t n = recv(to, sink, sizeof(sink), MSG_DONTWAIT);
			assert_true(n > 0);
			assert_memory_equal(sink, bytes + received, (size_t)n);
			received += (size_t)n;
		}
	}
}

size_t lab_waiting(int fd)
{
	int waiting = 0;
	assert_int_equal(ioctl(fd, FIONREAD, &waiting), 0);
	return (size_t)waiting;
}
