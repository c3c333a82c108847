/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "netns.h"
#include "sock_diag.h"

/* include/net/tcp_states.h */
enum { FIN_WAIT2 = 5, TIME_WAIT = 6 };

#define NAMESPACES_MAX 64 /* kept open at once */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCU /* PROC_PID_INIT_INO, include/linux/proc_ns.h */
#define WALKS_MAX_NS 2000000000ULL /* spent on walks through all namespaces, between two calls of sock_diag_tidy() */

struct netns {
	int fd; /* netlink socket in it; -1: free */
	uint64_t cookie; /* 0: not known (before Linux 5.14) */
	ino_t inode;
	uint64_t used; /* for eviction */
	__u32 sequence; /* of the last request */
	unsigned idle; /* calls of sock_diag_tidy() since */
};

struct sock_diag {
	struct netns netns[NAMESPACES_MAX];
	uint64_t clock;
	uint64_t walked_ns;
	bool knows_pids; /* of flows' events, which are those of the first pid namespace */
	bool sees_all;   /* processes of this machine: else there may be namespaces that none of those in /proc is in */
};

static bool in_first_pid_namespace(void)
{
	struct stat status;
	return stat("/proc/self/ns/pid", &status) == 0 && status.st_ino == INITIAL_PID_NAMESPACE;
}

struct sock_diag *sock_diag_new(void)
{
	struct sock_diag *diag = calloc(1, sizeof(*diag));
	if (!diag)
		return NULL;
	for (unsigned i = 0; i < NAMESPACES_MAX; i++)
		diag->netns[i].fd = -1;
	diag->knows_pids = in_first_pid_namespace();
	/* nor where /proc hides whom we may not look at (hidepid, ProtectProc=) */
	diag->sees_all = diag->knows_pids && access("/proc/1", F_OK) == 0;
	return diag;
}

void sock_diag_free(struct sock_diag *diag)
{
	for (unsigned i = 0; diag && i < NAMESPACES_MAX; i++) {
		if (diag->netns[i].fd >= 0)
			close(diag->netns[i].fd);
	}
	free(diag);
}

#define IDLE_MAX 2

void sock_diag_tidy(struct sock_diag *diag)
{
	diag->walked_ns = 0;
	for (unsigned i = 0; i < NAMESPACES_MAX; i++) {
		struct netns *netns = &diag->netns[i];
		if (netns->fd < 0 || ++netns->idle < IDLE_MAX)
			continue;
		close(netns->fd);
		netns->fd = -1;
	}
}

static void touch(struct sock_diag *diag, struct netns *netns)
{
	netns->used = ++diag->clock;
	netns->idle = 0;
}

static struct netns *slot_for(struct sock_diag *diag, ino_t inode)
{
	struct netns *oldest = &diag->netns[0];
	for (unsigned i = 0; i < NAMESPACES_MAX; i++) {
		struct netns *netns = &diag->netns[i];
		if (netns->fd >= 0 && netns->inode == inode)
			return netns;
		if (netns->fd < 0 || (oldest->fd >= 0 && netns->used < oldest->used))
			oldest = netns;
	}
	if (oldest->fd >= 0)
		close(oldest->fd);
	oldest->fd = -1;
	return oldest;
}

/* The namespace behind the descriptor, or NULL with errno. */
static struct netns *netns_of(struct sock_diag *diag, int netns_fd)
{
	struct stat status;
	if (fstat(netns_fd, &status) < 0)
		return NULL;
	struct netns *netns = slot_for(diag, status.st_ino);
	if (netns->fd < 0) {
		int socket_fd = netns_open_diag(netns_fd);
		if (socket_fd < 0) {
			errno = -socket_fd;
			return NULL;
		}
		netns->fd = socket_fd;
		netns->cookie = netns_cookie(socket_fd);
		netns->inode = status.st_ino;
	}
	touch(diag, netns);
	return netns;
}

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

static void fill_request(struct diag_request *request, __u16 type, const struct flow_event *event, __u32 interface)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	bool ipv4 = memcmp(event->server_address, mapped, sizeof(mapped)) == 0;
	struct inet_diag_sockid *id = &request->diag.id;
	memset(request, 0, sizeof(*request));
	request->header.nlmsg_len = sizeof(*request);
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | (type == SOCK_DESTROY ? NLM_F_ACK : 0);
	request->diag.sdiag_family = ipv4 ? AF_INET : AF_INET6;
	request->diag.sdiag_protocol = IPPROTO_TCP;
	request->diag.idiag_states = ~0U;
	id->idiag_if = interface;
	id->idiag_sport = htons(event->client_port);
	id->idiag_dport = htons(event->server_port);
	memcpy(id->idiag_src, event->client_address + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
	memcpy(id->idiag_dst, event->server_address + (ipv4 ? 12 : 0), ipv4 ? 4 : 16);
	id->idiag_cookie[0] = (uint32_t)event->socket_cookie;
	id->idiag_cookie[1] = (uint32_t)(event->socket_cookie >> 32);
}

/*
 * Whether somebody may still say or hear something by it. Behind the last FIN the kernel keeps a stand-in with the socket's
 * cookie (net/ipv4/inet_timewait_sock.c), which tells FIN-WAIT-2 or TIME-WAIT as its state and has no inode.
 */
static bool is_alive(const struct inet_diag_msg *message)
{
	bool by_a_process = message->idiag_inode != 0;
	return message->idiag_state != TIME_WAIT && (message->idiag_state != FIN_WAIT2 || by_a_process);
}

static int say(struct netns *netns, struct diag_request *request)
{
	request->header.nlmsg_seq = ++netns->sequence;
	return send(netns->fd, request, sizeof(*request), 0) < 0 ? -errno : 0;
}

/* Reads a packet of the answer to what was said last; an earlier list that was not read to its end is passed over. */
static ssize_t hear(const struct netns *netns, void *packet, size_t size)
{
	const struct nlmsghdr *header = packet;
	ssize_t n;
	do
		n = recv(netns->fd, packet, size, 0);
	while (n >= (ssize_t)sizeof(*header) && header->nlmsg_seq != netns->sequence);
	return n < 0 ? -errno : n;
}

/* Sends the request into one namespace. interface: what the socket is bound to; 0: nothing. */
static int ask_in(struct netns *netns, __u16 type, const struct flow_event *event, __u32 interface)
{
	struct diag_request request;
	struct {
		struct nlmsghdr header;
		union {
			struct nlmsgerr error;
			struct inet_diag_msg socket;
		};
		char more[512]; /* the request comes back, or attributes */
	} answer;
	fill_request(&request, type, event, interface);
	int error = say(netns, &request);
	ssize_t n = error ? error : hear(netns, &answer, sizeof(answer));
	if (n < 0)
		return (int)n;
	if ((size_t)n >= sizeof(answer.header) + sizeof(answer.socket) && answer.header.nlmsg_type == SOCK_DIAG_BY_FAMILY)
		return is_alive(&answer.socket) ? 0 : -ENOENT;
	if ((size_t)n < sizeof(answer.header) + sizeof(answer.error) || answer.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.error.error == -ESTALE ? -ENOENT : answer.error.error; /* ESTALE: another socket has its place */
}

static __u64 cookie_of(const struct inet_diag_sockid *id)
{
	return (__u64)id->idiag_cookie[1] << 32 | id->idiag_cookie[0];
}

/* Reads a list to its end. Returns the interface of the socket with this cookie; 0: it is bound to none, or is not there. */
static __u32 read_interface(const struct netns *netns, __u64 cookie)
{
	_Alignas(8) char list[16384];
	__u32 interface = 0;
	for (;;) {
		ssize_t n = hear(netns, list, sizeof(list));
		if (n <= 0)
			return 0;
		size_t left = (size_t)n;
		for (const struct nlmsghdr *header = (const void *)list; NLMSG_OK(header, left); header = NLMSG_NEXT(header, left)) {
			struct inet_diag_msg message;
			if (header->nlmsg_type != SOCK_DIAG_BY_FAMILY)
				return header->nlmsg_type == NLMSG_DONE ? interface : 0;
			if (header->nlmsg_len < NLMSG_LENGTH(sizeof(message)))
				return 0;
			memcpy(&message, NLMSG_DATA(header), sizeof(message));
			if (cookie_of(&message.id) == cookie)
				interface = message.id.idiag_if;
		}
	}
}

/* What the flow's socket is bound to: a list of the connections between the same ports tells. */
static __u32 interface_of(struct netns *netns, const struct flow_event *event)
{
	static const __u8 families[] = { AF_INET, AF_INET6 }; /* IPv4 may be on an IPv6 socket */
	__u32 interface = 0;
	for (unsigned i = 0; i < 2 && !interface; i++) {
		struct diag_request request;
		fill_request(&request, SOCK_DIAG_BY_FAMILY, event, 0);
		request.header.nlmsg_flags |= NLM_F_DUMP;
		request.diag.sdiag_family = families[i];
		if (say(netns, &request) == 0)
			interface = read_interface(netns, event->socket_cookie);
	}
	return interface;
}

/*
 * In the flow's own namespace, where it is worth the while: a socket that is bound to an interface (curl --interface, a VRF,
 * a link-local address) is found under that one only (include/net/inet_hashtables.h).
 */
static int ask_fully(struct netns *netns, __u16 type, const struct flow_event *event)
{
	int result = ask_in(netns, type, event, 0);
	__u32 interface = result == -ENOENT ? interface_of(netns, event) : 0;
	return interface ? ask_in(netns, type, event, interface) : result;
}

struct search {
	struct sock_diag *diag;
	__u16 type;
	const struct flow_event *event;
	bool is_likely; /* that it is in the namespace at hand, where no cookie tells */
	bool asked;     /* in one that is the flow's, or may be */
	bool in_its_own; /* it is the flow's, by its cookie */
	int result;     /* of the last one */
};

/* A visitor of netns_walk(). */
static int ask_behind(void *context, int netns_fd)
{
	struct search *search = context;
	struct netns *netns = netns_of(search->diag, netns_fd);
	if (!netns)
		return -errno;
	bool known = search->event->netns_cookie && netns->cookie;
	if (known && netns->cookie != search->event->netns_cookie)
		return 0;
	search->asked = true;
	search->in_its_own |= known;
	search->result = known || search->is_likely ? ask_fully(netns, search->type, search->event) :
						      ask_in(netns, search->type, search->event, 0);
	if (known || search->result == 0)
		return 1; /* it is in no other */
	return search->result == -ENOENT ? 0 : search->result;
}

/* In the namespace that the connecting process is in now, if it is there still. Returns whether the answer is final. */
static bool ask_at_process(struct search *search, uint32_t pid)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%u/ns/net", pid);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	search->is_likely = true;
	bool is_final = ask_behind(search, fd) == 1;
	search->is_likely = false;
	close(fd);
	return is_final;
}

static uint64_t now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

/* Anywhere: the connecting process may be gone, or may have the socket from another namespace. */
static int ask_everywhere(struct search *search)
{
	unsigned unseen = 0;
	uint64_t began = now_ns();
	/* whose namespaces come and go makes us walk, for each flow in one that is gone */
	if (search->diag->walked_ns > WALKS_MAX_NS)
		return -EPERM;
	int error = netns_walk(ask_behind, search, &unseen);
	search->diag->walked_ns += now_ns() - began;
	if (search->asked && search->result != -ENOENT)
		return search->result;
	if (error)
		return error;
	/* it may be in one that we may not enter, or whose processes are hidden from us (hidepid) */
	bool whole = search->asked && !unseen && search->diag->sees_all;
	return (search->event->netns_cookie ? search->in_its_own : whole) ? -ENOENT : -EPERM;
}

static int ask(struct sock_diag *diag, __u16 type, const struct flow_event *event)
{
	struct search search = { .diag = diag, .type = type, .event = event, .result = -ENOENT };
	for (unsigned i = 0; event->netns_cookie && i < NAMESPACES_MAX; i++) {
		struct netns *netns = &diag->netns[i];
		if (netns->fd >= 0 && netns->cookie == event->netns_cookie) {
			touch(diag, netns);
			return ask_fully(netns, type, event);
		}
	}
	if (event->pid && ask_at_process(&search, event->pid))
		return search.result;
	return ask_everywhere(&search);
}

int sock_diag_destroy(struct sock_diag *diag, const struct flow_event *event)
{
	return ask(diag, SOCK_DESTROY, event);
}

int sock_diag_find(struct sock_diag *diag, const struct flow_event *event)
{
	return ask(diag, SOCK_DIAG_BY_FAMILY, event);
}

bool sock_diag_owner_is_over(const struct sock_diag *diag, const struct flow_event *event)
{
	return diag->knows_pids && event->pid && kill((pid_t)event->pid, 0) < 0 && errno == ESRCH;
}
