/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "sock_diag.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

/* include/net/tcp_states.h */
enum { FIN_WAIT2 = 5, TIME_WAIT = 6 };

#define NAMESPACES_MAX 64      /* kept open at once */
#define PROCESSES_SEARCHED 16384 /* for the namespace of one socket; a large machine has thousands of kernel threads alone */
#define INITIAL_PID_NAMESPACE 0xEFFFFFFCU /* PROC_PID_INIT_INO, include/linux/proc_ns.h */

struct netns {
	int fd; /* netlink socket in it; -1: free */
	uint64_t cookie; /* 0: not known (before Linux 5.14) */
	ino_t inode;
	uint64_t used; /* for eviction */
	uint64_t searched; /* number of the last search that asked in it */
	unsigned idle; /* calls of sock_diag_tidy() since */
};

struct sock_diag {
	struct netns netns[NAMESPACES_MAX];
	uint64_t clock, searches;
	ino_t own; /* network namespace: it takes no right to stay in that */
	bool sees_all; /* processes of this machine: else there may be namespaces that none of those in /proc is in */
};

static ino_t inode_of(const char *path)
{
	struct stat status;
	return stat(path, &status) == 0 ? status.st_ino : 0;
}

struct sock_diag *sock_diag_new(void)
{
	struct sock_diag *diag = calloc(1, sizeof(*diag));
	if (!diag)
		return NULL;
	for (unsigned i = 0; i < NAMESPACES_MAX; i++)
		diag->netns[i].fd = -1;
	diag->own = inode_of("/proc/self/ns/net");
	diag->sees_all = inode_of("/proc/self/ns/pid") == INITIAL_PID_NAMESPACE;
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

struct opening {
	int netns_fd;
	int socket_fd; /* or a negative errno */
};

/* In a thread of its own: a namespace is changed for one thread, and this one ends with it. */
static void *open_in_netns(void *argument)
{
	struct opening *opening = argument;
	struct timeval limit = { .tv_sec = 1 };
	if (opening->netns_fd >= 0 && setns(opening->netns_fd, CLONE_NEWNET) < 0) {
		opening->socket_fd = -errno;
		return NULL;
	}
	opening->socket_fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	if (opening->socket_fd < 0)
		opening->socket_fd = -errno;
	else
		setsockopt(opening->socket_fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	return NULL;
}

int sock_diag_open_in(int netns_fd)
{
	struct opening opening = { .netns_fd = netns_fd, .socket_fd = -EAGAIN };
	pthread_t thread;
	if (pthread_create(&thread, NULL, open_in_netns, &opening) == 0)
		pthread_join(thread, NULL);
	return opening.socket_fd;
}

uint64_t sock_diag_netns_cookie(int socket_fd)
{
	uint64_t cookie = 0;
	socklen_t size = sizeof(cookie);
	return getsockopt(socket_fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) == 0 ? cookie : 0;
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

/* The namespace behind path ("/proc/PID/ns/net"), or NULL with errno. */
static struct netns *netns_of(struct sock_diag *diag, const char *path)
{
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &status) < 0) {
		close(fd);
		return NULL;
	}
	struct netns *netns = slot_for(diag, status.st_ino);
	if (netns->fd < 0) {
		int socket_fd = sock_diag_open_in(status.st_ino == diag->own ? -1 : fd);
		if (socket_fd < 0) {
			close(fd);
			errno = -socket_fd;
			return NULL;
		}
		netns->fd = socket_fd;
		netns->cookie = sock_diag_netns_cookie(netns->fd);
		netns->inode = status.st_ino;
		netns->searched = 0;
	}
	close(fd);
	touch(diag, netns);
	return netns;
}

struct diag_request {
	struct nlmsghdr header;
	struct inet_diag_req_v2 diag;
};

static void fill_request(struct diag_request *request, __u16 type, const struct flow_event *event)
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

/* Sends the request into one namespace. */
static int ask_in(struct netns *netns, __u16 type, const struct flow_event *event)
{
	struct diag_request request;
	struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
	struct {
		struct nlmsghdr header;
		union {
			struct nlmsgerr error;
			struct inet_diag_msg socket;
		};
		char more[512]; /* the request comes back, or attributes */
	} answer;
	fill_request(&request, type, event);
	if (sendto(netns->fd, &request, sizeof(request), 0, (struct sockaddr *)&kernel, sizeof(kernel)) < 0)
		return -errno;
	ssize_t n = recv(netns->fd, &answer, sizeof(answer), 0);
	if (n < 0)
		return -errno;
	if ((size_t)n >= sizeof(answer.header) + sizeof(answer.socket) && answer.header.nlmsg_type == SOCK_DIAG_BY_FAMILY)
		return is_alive(&answer.socket) ? 0 : -ENOENT;
	if ((size_t)n < sizeof(answer.header) + sizeof(answer.error) || answer.header.nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return answer.error.error == -ESTALE ? -ENOENT : answer.error.error; /* ESTALE: another socket has its place */
}

struct search {
	unsigned processes;
	bool whole;   /* no namespace was left out */
	bool in_its_own; /* the flow's namespace, by its cookie */
};

/* The process's namespace, if it may be the flow's and was not asked in before. */
static int ask_at(struct sock_diag *diag, struct search *search, const char *pid, __u16 type, const struct flow_event *event)
{
	char path[64];
	snprintf(path, sizeof(path), "/proc/%.20s/ns/net", pid);
	struct netns *netns = netns_of(diag, path);
	search->processes++;
	search->whole &= netns || errno == ENOENT;
	if (!netns || netns->searched == diag->searches)
		return -ENOENT;
	netns->searched = diag->searches;
	if (event->netns_cookie && netns->cookie && netns->cookie != event->netns_cookie)
		return -ENOENT;
	search->in_its_own |= event->netns_cookie && netns->cookie;
	return ask_in(netns, type, event);
}

/*
 * The connecting process may be gone, or may have the socket from another namespace: look into all of them. Where the flow's
 * own cannot be told from others it may still be one that we may not enter, or whose processes we do not see (hidepid).
 */
static int ask_anywhere(struct sock_diag *diag, __u16 type, const struct flow_event *event)
{
	struct search search = { .whole = diag->sees_all };
	int result = -ENOENT;
	DIR *proc = opendir("/proc");
	if (!proc)
		return -errno;
	diag->searches++;
	for (struct dirent *entry; result == -ENOENT && search.processes < PROCESSES_SEARCHED && (entry = readdir(proc));) {
		if (isdigit((unsigned char)entry->d_name[0]))
			result = ask_at(diag, &search, entry->d_name, type, event);
	}
	closedir(proc);
	search.whole &= search.processes < PROCESSES_SEARCHED;
	bool sure = event->netns_cookie ? search.in_its_own : search.whole;
	return result == -ENOENT && !sure ? -EPERM : result;
}

static int ask(struct sock_diag *diag, __u16 type, const struct flow_event *event)
{
	char path[64];
	for (unsigned i = 0; event->netns_cookie && i < NAMESPACES_MAX; i++) {
		struct netns *netns = &diag->netns[i];
		if (netns->fd >= 0 && netns->cookie == event->netns_cookie) {
			touch(diag, netns);
			return ask_in(netns, type, event);
		}
	}
	snprintf(path, sizeof(path), "/proc/%u/ns/net", event->pid);
	struct netns *netns = netns_of(diag, event->pid ? path : "/proc/self/ns/net");
	int result = netns ? ask_in(netns, type, event) : -ENOENT;
	bool in_its_own = netns && event->netns_cookie && netns->cookie == event->netns_cookie;
	return result == -ENOENT && !in_its_own ? ask_anywhere(diag, type, event) : result;
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
	return diag->sees_all && event->pid && kill((pid_t)event->pid, 0) < 0 && errno == ESRCH;
}
