/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include "forward_lab.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "forward.skel.h"
#pragma GCC diagnostic pop

#define PATIENCE_MS 5000
#define LOOPBACK 1 /* its index in a namespace that has nothing else */

struct flab flab;

static struct forward_bpf *object;
static struct ring_buffer *ring;
static int packets = -1;

/* ---- setting up ------------------------------------------------------------------------------------------- */

static int print_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
	return level == LIBBPF_WARN && getenv("SMTPWARD_DEBUG") ? vfprintf(stderr, format, arguments) : 0;
}

static int take_event(void *context, void *data, size_t size)
{
	(void)context;
	if (size == sizeof(struct flow_event) && flab.count < FLAB_EVENTS_MAX)
		memcpy(&flab.events[flab.count++], data, size);
	return 0;
}

static const char *make_network(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int on = 1;
	struct sockaddr_ll loopback = { .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = LOOPBACK };
	if (unshare(CLONE_NEWNET) < 0)
		return "no network namespace can be made";
	packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, htons(ETH_P_ALL));
	if (packets < 0 || setsockopt(packets, SOL_PACKET, PACKET_AUXDATA, &on, sizeof(on)) || ioctl(packets, SIOCSIFFLAGS, &request) || bind(packets, (struct sockaddr *)&loopback, sizeof(loopback)))
		return "no packets can be seen at the loopback interface";
	return NULL;
}

static const char broken[] = "the BPF object does not load";

static const char *load_object(void)
{
	libbpf_set_print(print_nothing);
	object = forward_bpf__open();
	if (!object)
		return broken;
	object->rodata->port_kinds[FLAB_STARTTLS_PORT] = PORT_STARTTLS;
	object->rodata->port_kinds[FLAB_IMPLICIT_PORT] = PORT_IMPLICIT_TLS;
	if (forward_bpf__load(object))
		return errno == EPERM ? "BPF programs may not be loaded" : broken;
	ring = ring_buffer__new(bpf_map__fd(object->maps.events), take_event, NULL, NULL);
	return ring ? NULL : "the ring buffer cannot be mapped";
}

int flab_setup(void **state)
{
	flab.missing = geteuid() == 0 ? NULL : "root is needed";
	if (!flab.missing)
		flab.missing = make_network();
	if (!flab.missing)
		flab.missing = load_object();
	if (flab.missing)
		print_message("no test here: %s\n", flab.missing);
	if (flab.missing != broken)
		return 0;
	flab_teardown(state);
	return -1;
}

int flab_teardown(void **state)
{
	(void)state;
	ring_buffer__free(ring);
	forward_bpf__destroy(object);
	return 0;
}

void flab_needed(void)
{
	if (flab.missing)
		skip();
}

/* ---- maps and events -------------------------------------------------------------------------------------- */

int flab_map(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(object->obj, name);
	assert_true(fd >= 0);
	return fd;
}

void flab_set(enum policy_mode mode, const struct policy_rule *fallback)
{
	uint32_t zero = 0;
	const struct settings settings = { .fallback = *fallback, .mode = (uint8_t)mode, .hold_ns = 3600 * 1000000000ULL };
	assert_int_equal(bpf_map_update_elem(flab_map("settings"), &zero, &settings, BPF_ANY), 0);
}

uint64_t flab_counter(enum counter_id id)
{
	uint32_t key = id;
	uint64_t sum = 0, values[1024] = { 0 };
	int cpus = libbpf_num_possible_cpus();
	assert_in_range(cpus, 1, 1024);
	assert_int_equal(bpf_map_lookup_elem(flab_map("counters"), &key, values), 0);
	for (int cpu = 0; cpu < cpus; cpu++)
		sum += values[cpu];
	return sum;
}

void flab_read_events(void)
{
	ring_buffer__consume(ring);
	assert_true(flab.count < FLAB_EVENTS_MAX);
}

void flab_forget_events(void)
{
	ring_buffer__consume(ring);
	flab.count = 0;
}

const struct flow_event *flab_event(uint16_t client_port, enum event_reason reason)
{
	flab_read_events();
	for (unsigned i = flab.count; i-- > 0;)
		if (flab.events[i].client_port == client_port && flab.events[i].reason == reason)
			return &flab.events[i];
	return NULL;
}

unsigned flab_count(uint16_t client_port, enum event_reason reason)
{
	unsigned count = 0;
	flab_read_events();
	for (unsigned i = 0; i < flab.count; i++)
		count += flab.events[i].client_port == client_port && flab.events[i].reason == reason;
	return count;
}

/* ---- frames ----------------------------------------------------------------------------------------------- */

enum flab_action flab_run_frame(const uint8_t *frame, size_t length, bool egress, bool gso)
{
	struct __sk_buff context = { .ifindex = LOOPBACK, .gso_segs = gso ? 2 : 0, .gso_size = gso ? 100 : 0 };
	LIBBPF_OPTS(bpf_test_run_opts, options, .data_in = frame, .data_size_in = (__u32)length, .data_out = flab.out,
		    .data_size_out = sizeof(flab.out), .ctx_in = &context, .ctx_size_in = sizeof(context));
	int program = bpf_program__fd(egress ? object->progs.smtpward_tc_out : object->progs.smtpward_tc_in);
	int error = bpf_prog_test_run_opts(program, &options);
	if (error == -EINVAL && length < 14 + 40) { /* later kernels run nothing without a whole IP header */
		flab.out_length = length;
		return FLAB_NEXT;
	}
	if (error)
		fail_msg("a frame of %zu bytes was not run: %s", length, strerror(errno));
	flab.out_length = options.data_size_out;
	return (enum flab_action)(int)options.retval;
}

enum flab_action flab_run(const struct segment *segment, bool egress)
{
	uint8_t frame[FRAME_MAX];
	size_t length = frame_make(segment, frame);
	enum flab_action action = flab_run_frame(frame, length, egress, segment->form == FORM_GSO && segment->length > 100);
	if (segment->form != FORM_BOTH_HOOKS || egress || action == FLAB_DROP)
		return action;
	memcpy(frame, flab.out, flab.out_length);
	return flab_run_frame(frame, flab.out_length, true, false);
}

struct flab_connection flab_connect(enum frame_form form, uint16_t server_port)
{
	static uint16_t client_port = 10000;
	struct flab_connection connection = { .form = form, .client_port = client_port++, .server_port = server_port,
					      .client_next = 0xfffffff0U + client_port % 32, .server_next = 3000000000U };
	struct segment segment = flab_segment(&connection, false, NULL, 0, SYN);
	assert_int_equal(flab_run(&segment, connection.egress), FLAB_NEXT);
	connection.client_next++;
	segment = flab_segment(&connection, true, NULL, 0, SYN | ACK);
	assert_int_equal(flab_run(&segment, connection.egress), FLAB_NEXT);
	connection.server_next++;
	segment = flab_segment(&connection, false, NULL, 0, ACK);
	assert_int_equal(flab_run(&segment, connection.egress), FLAB_NEXT);
	return connection;
}

struct flab_connection flab_join(enum frame_form form, uint16_t server_port)
{
	static uint16_t client_port = 5000;
	return (struct flab_connection){ .form = form, .client_port = client_port++, .server_port = server_port,
					 .client_next = 1000, .server_next = 2000 };
}

struct segment flab_segment(const struct flab_connection *connection, bool from_server, const void *bytes, size_t length, uint8_t flags)
{
	return (struct segment){ .form = connection->form,
				 .from_server = from_server,
				 .client_port = connection->client_port,
				 .server_port = connection->server_port,
				 .sequence = from_server ? connection->server_next : connection->client_next,
				 .acknowledged = from_server ? connection->client_next : connection->server_next,
				 .flags = flags,
				 .payload = bytes,
				 .length = length };
}

enum flab_action flab_send(struct flab_connection *connection, bool from_server, const void *bytes, size_t length)
{
	struct segment segment = flab_segment(connection, from_server, bytes, length, PSH | ACK);
	uint8_t frame[FRAME_MAX];
	enum flab_action action = flab_run(&segment, connection->egress);
	if (action != FLAB_NEXT || flab.out_length != frame_make(&segment, frame))
		return action;
	*(from_server ? &connection->server_next : &connection->client_next) += (uint32_t)length;
	return action;
}

void flab_close(struct flab_connection *connection)
{
	struct segment segment = flab_segment(connection, false, NULL, 0, FIN | ACK);
	assert_int_equal(flab_run(&segment, connection->egress), FLAB_NEXT);
	connection->client_next++;
	segment = flab_segment(connection, true, NULL, 0, FIN | ACK);
	assert_int_equal(flab_run(&segment, connection->egress), FLAB_NEXT);
	connection->server_next++;
}

struct forward_key flab_key(const struct flab_connection *connection)
{
	struct forward_key key = { .client_port = connection->client_port, .server_port = connection->server_port };
	frame_addresses(connection->form, key.client_address, key.server_address);
	return key;
}

bool flab_head(const struct flab_connection *connection, struct forward_head *head)
{
	static uint8_t value[16384];
	struct forward_key key = flab_key(connection);
	assert_true(bpf_map__value_size(object->maps.forwards) <= sizeof(value));
	if (bpf_map_lookup_elem(flab_map("forwards"), &key, value))
		return false;
	memcpy(head, value, sizeof(*head));
	return true;
}

/* The outermost tag is taken off before a packet socket gets the frame, and told beside it. */
static size_t put_tag_back(struct msghdr *message, uint8_t *frame, size_t length)
{
	for (struct cmsghdr *part = CMSG_FIRSTHDR(message); part; part = CMSG_NXTHDR(message, part)) {
		struct tpacket_auxdata told;
		if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA)
			continue;
		memcpy(&told, CMSG_DATA(part), sizeof(told));
		if (!(told.tp_status & TP_STATUS_VLAN_VALID))
			continue;
		const uint16_t tag[2] = { htons(told.tp_vlan_tpid), htons(told.tp_vlan_tci) };
		memmove(frame + 16, frame + 12, length - 12);
		memcpy(frame + 12, tag, sizeof(tag));
		return length + sizeof(tag);
	}
	return length;
}

/* One frame that has come in, not one that goes out: loopback shows each twice. 0: none is there. */
static size_t take_frame(uint8_t *frame, size_t size)
{
	struct sockaddr_ll from = { 0 };
	union {
		struct cmsghdr header;
		char space[256];
	} told;
	struct iovec part = { frame, size - 4 };
	struct msghdr message = { .msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &part, .msg_iovlen = 1,
				  .msg_control = &told, .msg_controllen = sizeof(told) };
	ssize_t n = recvmsg(packets, &message, 0);
	return n >= 14 && from.sll_pkttype != PACKET_OUTGOING ? put_tag_back(&message, frame, (size_t)n) : 0;
}

size_t flab_captured(uint8_t *frame, size_t size)
{
	struct pollfd ready = { .fd = packets, .events = POLLIN };
	while (poll(&ready, 1, PATIENCE_MS) == 1) {
		size_t length = take_frame(frame, size);
		if (length)
			return length;
	}
	return 0;
}

void flab_forget_captured(void)
{
	uint8_t frame[FRAME_MAX];
	struct pollfd ready = { .fd = packets, .events = POLLIN };
	while (poll(&ready, 1, 0) == 1)
		take_frame(frame, sizeof(frame));
}
