/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Network namespaces, and sockets looked for in them: as root only, since a namespace is made for it. */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "monitor_table.h"
#include "netns.h"
#include "sock_diag.h"
#include "socket_release.h"

static int own_namespace(void)
{
	int fd = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

/* ---- a connection ----------------------------------------------------------------------------------------- */

struct connection {
	int client, server;
};

/* Over loopback; returns false with errno. interface: what the client's end is bound to, or NULL. */
static bool connect_here(struct connection *connection, const char *interface)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool made = listener >= 0 && bind(listener, (struct sockaddr *)&address, size) == 0 && listen(listener, 1) == 0 &&
		    getsockname(listener, (struct sockaddr *)&address, &size) == 0;
	connection->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (interface)
		made = made && setsockopt(connection->client, SOL_SOCKET, SO_BINDTODEVICE, interface, (socklen_t)strlen(interface)) == 0;
	made = made && connect(connection->client, (struct sockaddr *)&address, size) == 0;
	connection->server = made ? accept4(listener, NULL, NULL, SOCK_CLOEXEC) : -1;
	close(listener);
	return connection->server >= 0;
}

static void disconnect(const struct connection *connection)
{
	close(connection->server);
	close(connection->client);
}

/* What the kernel tells of a flow, as far as its socket is found by it. */
static struct flow_event event_of(int client, pid_t pid)
{
	struct flow_event event = { .pid = (uint32_t)pid, .netns_cookie = netns_cookie(client) };
	struct sockaddr_in own, peer;
	socklen_t size = sizeof(own), cookie_size = sizeof(event.socket_cookie);
	assert_int_equal(getsockname(client, (struct sockaddr *)&own, &size), 0);
	assert_int_equal(getpeername(client, (struct sockaddr *)&peer, &size), 0);
	assert_int_equal(getsockopt(client, SOL_SOCKET, SO_COOKIE, &event.socket_cookie, &cookie_size), 0);
	event.client_port = ntohs(own.sin_port);
	event.server_port = ntohs(peer.sin_port);
	event.client_address[10] = event.client_address[11] = event.server_address[10] = event.server_address[11] = 0xff;
	memcpy(event.client_address + 12, &own.sin_addr, 4);
	memcpy(event.server_address + 12, &peer.sin_addr, 4);
	return event;
}

static int find(const struct flow_event *event)
{
	struct sock_diag *diag = sock_diag_new();
	assert_non_null(diag);
	int result = sock_diag_find(diag, event);
	sock_diag_free(diag);
	return result;
}

/* ---- a namespace that has a name and no process ------------------------------------------------------------- */

static char name[64];

static bool raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool raised = ioctl(fd, SIOCSIFFLAGS, &request) == 0;
	close(fd);
	return raised;
}

/* In a child: makes the namespace and hands over a connection in it. Returns an exit code. */
static int live_there(int parent)
{
	struct connection connection;
	if (unshare(CLONE_NEWNET) || mount("/proc/self/ns/net", name, NULL, MS_BIND, NULL) || !raise_loopback() ||
	    !connect_here(&connection, NULL))
		return 1;
	return monitor_send(parent, "", 1, "", 0, connection.client, 0) || monitor_send(parent, "", 1, "", 0, connection.server, 0);
}

/* Returns the process that made it, which is gone. */
static pid_t make_namespace(struct connection *connection)
{
	int pair[2], status;
	char byte;
	mkdir("/run/netns", 0755);
	snprintf(name, sizeof(name), "/run/netns/smtpward-test-%d", (int)getpid());
	close(open(name, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	pid_t child = fork();
	if (child == 0)
		_exit(live_there(pair[1]));
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	assert_int_equal(monitor_receive(pair[0], &byte, 1, &connection->client, 0), 1);
	assert_int_equal(monitor_receive(pair[0], &byte, 1, &connection->server, 0), 1);
	close(pair[0]);
	close(pair[1]);
	return child;
}

static int remove_namespace(void **state)
{
	(void)state;
	umount2(name, MNT_DETACH);
	unlink(name);
	return 0;
}

static void a_socket_in_a_namespace_that_only_a_name_holds(void **state)
{
	struct connection connection;
	pid_t gone = make_namespace(&connection);
	(void)state;
	struct flow_event event = event_of(connection.client, gone);
	assert_int_equal(find(&event), 0);
	event.netns_cookie = 0; /* as before Linux 5.14 */
	assert_int_equal(find(&event), 0);
	event = event_of(connection.client, gone);
	disconnect(&connection); /* the server's end first: nothing is left of the client's, which is closed behind it */
	assert_int_equal(find(&event), -ENOENT);
}

/* ---- the walk --------------------------------------------------------------------------------------------- */

struct visited {
	ino_t inodes[4096];
	unsigned count, wanted;
};

static int note(void *context, int netns_fd)
{
	struct visited *visited = context;
	struct stat status;
	assert_int_equal(fstat(netns_fd, &status), 0);
	for (unsigned i = 0; i < visited->count; i++)
		assert_int_not_equal(visited->inodes[i], status.st_ino);
	visited->inodes[visited->count++] = status.st_ino;
	return visited->count == visited->wanted;
}

static ino_t inode_of(const char *path)
{
	struct stat status;
	assert_int_equal(stat(path, &status), 0);
	return status.st_ino;
}

static void each_namespace_once(void **state)
{
	struct visited visited = { .wanted = 0 }, first = { .wanted = 1 };
	struct connection connection;
	unsigned unseen;
	bool named = false;
	(void)state;
	make_namespace(&connection);
	assert_int_equal(netns_walk(note, &visited, &unseen), 0);
	assert_int_equal(visited.inodes[0], inode_of("/proc/self/ns/net"));
	for (unsigned i = 0; i < visited.count; i++)
		named |= visited.inodes[i] == inode_of(name);
	assert_true(named);
	assert_int_equal(netns_walk(note, &first, &unseen), 0);
	assert_int_equal(first.count, 1);
	disconnect(&connection);
}

static int refuse(void *context, int netns_fd)
{
	(void)context;
	(void)netns_fd;
	return -EACCES;
}

static void without_the_own_one_there_are_none(void **state)
{
	unsigned unseen;
	(void)state;
	assert_int_equal(netns_walk(refuse, NULL, &unseen), -EACCES);
	assert_int_equal(unseen, 1);
}

/* ---- what is asked ---------------------------------------------------------------------------------------- */

/* As root of a container may. */
static void nobody_answers_for_the_kernel(void **state)
{
	int namespace = own_namespace(), diag = netns_open_diag(namespace), other = netns_open_diag(namespace);
	struct sockaddr_nl address;
	socklen_t size = sizeof(address);
	struct nlmsghdr forged = { .nlmsg_len = sizeof(forged), .nlmsg_type = NLMSG_DONE };
	(void)state;
	assert_true(diag >= 0 && other >= 0);
	assert_int_equal(getsockname(diag, (struct sockaddr *)&address, &size), 0);
	assert_int_not_equal(address.nl_pid, 0);
	assert_int_equal(sendto(other, &forged, sizeof(forged), 0, (struct sockaddr *)&address, size), -1);
	assert_int_equal(errno, ECONNREFUSED);
	close(other);
	close(diag);
	close(namespace);
}

/* The monitor with `privileges.containers: false`, and below the unit's RestrictNamespaces: its own namespace is in reach. */
static void the_own_namespace_takes_no_capability(void **state)
{
	struct connection connection;
	int status;
	(void)state;
	assert_true(connect_here(&connection, NULL));
	struct flow_event event = event_of(connection.client, 1);
	pid_t child = fork();
	if (child == 0) {
		capng_clear(CAPNG_SELECT_CAPS);
		if (capng_apply(CAPNG_SELECT_CAPS))
			_exit(255);
		_exit(-find(&event) & 0xff);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	disconnect(&connection);
}

/* It is looked up under that interface only; curl --interface makes such a one, and any socket in a VRF is one. */
static void a_socket_that_is_bound_to_an_interface(void **state)
{
	struct connection connection;
	struct sock_diag *diag = sock_diag_new();
	(void)state;
	assert_true(connect_here(&connection, "lo"));
	struct flow_event event = event_of(connection.client, getpid());
	assert_int_equal(find(&event), 0);
	event.socket_cookie++;
	assert_int_equal(find(&event), -ENOENT);
	event.socket_cookie--;
	int result = sock_diag_destroy(diag, &event);
	assert_true(result == 0 || result == -EOPNOTSUPP); /* a kernel without CONFIG_INET_DIAG_DESTROY */
	if (result == 0)
		assert_int_equal(find(&event), -ENOENT);
	sock_diag_free(diag);
	disconnect(&connection);
}

/* Only on the port that is watched, whatever cookie the agent names. */
static void a_socket_of_another_port_is_not_pushed(void **state)
{
	struct connection connection;
	(void)state;
	assert_true(connect_here(&connection, NULL));
	struct flow_event event = event_of(connection.client, getpid());
	assert_int_equal(socket_release(event.pid, event.socket_cookie, event.server_port), 0);
	assert_int_equal(socket_release(event.pid, event.socket_cookie, (uint16_t)(event.server_port + 1)), -ENOENT);
	assert_int_equal(socket_release(event.pid, event.socket_cookie + 1, event.server_port), -ENOENT);
	disconnect(&connection);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(a_socket_in_a_namespace_that_only_a_name_holds, remove_namespace),
		cmocka_unit_test_teardown(each_namespace_once, remove_namespace),
		cmocka_unit_test(without_the_own_one_there_are_none),
		cmocka_unit_test(nobody_answers_for_the_kernel),
		cmocka_unit_test(the_own_namespace_takes_no_capability),
		cmocka_unit_test(a_socket_that_is_bound_to_an_interface),
		cmocka_unit_test(a_socket_of_another_port_is_not_pushed),
	};
	if (geteuid() != 0) {
		puts("skipped: only as root");
		return 0;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
