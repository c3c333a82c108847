/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The TC programs: loaded, put on the interfaces that the configuration names as those come, and taken off again. */
#include <dirent.h>
#include <errno.h>
#include <fnmatch.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cgroup.h"
#include "forward.h"
#include "kernel_forward.h"
#include "kernel_object.h"
#include "pins.h"
#include "rtnetlink.h"
#include "tc_attach.h"
#include "tc_remove.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "forward.skel.h"
#pragma GCC diagnostic pop

#define INTERFACES_MAX 256

/* Of the interfaces, those without a link layer header need programs of their own. */
enum link_layer { LINK_ETHERNET, LINK_NONE, LINK_UNKNOWN };

struct interface {
	unsigned ifindex;
	char name[RTNETLINK_NAME_SIZE];
	char error[96]; /* why it is not watched; "" if it is */
	struct tc_attachment attachment;
};

struct kernel_forward {
	struct forward_bpf *bpf;
	char **patterns; /* the configuration's */
	unsigned pattern_count;
	uint64_t owner; /* of filters: the attach point's cgroup id */
	int monitor;    /* rtnetlink */
	bool pinned;
	bool too_many; /* the one behind the last could not be watched */
	unsigned count;
	struct interface interfaces[INTERFACES_MAX + 1]; /* the last one stands for those beyond */
	void *value; /* room for an entry of the map of flows */
};

/* ---- pins ------------------------------------------------------------------------------------------------- */

static const char *const ways[2] = { "in", "out" };

static const char *link_pin(const struct kernel *kernel, unsigned ifindex, unsigned way, char path[256])
{
	snprintf(path, 256, "%s/" PIN_LINK_PREFIX "tcx-%u-%s", kernel->pin_path, ifindex, ways[way]);
	return path;
}

static void pin_links(const struct kernel *kernel, const struct interface *interface)
{
	char path[256];
	for (unsigned way = 0; way < 2 && interface->attachment.kind == TC_TCX; way++)
		kernel_pin_one(kernel, interface->attachment.links[way], link_pin(kernel, interface->ifindex, way, path));
}

static void unpin_links(const struct kernel *kernel, unsigned ifindex)
{
	char path[256];
	for (unsigned way = 0; way < 2; way++)
		unlink(link_pin(kernel, ifindex, way, path));
}

/* The maps that a new agent has to go on with; what else there is, each has for itself. */
static const char *const lasting_maps[] = { "forwards", "syns" };

#define LASTING_MAPS (sizeof(lasting_maps) / sizeof(lasting_maps[0]))

static const char *map_pin(const struct kernel *kernel, const char *name, char path[256])
{
	snprintf(path, 256, "%s/" PIN_MAP_PREFIX "%s", kernel->pin_path, name);
	return path;
}

static void adopt_maps(struct kernel *kernel)
{
	char path[256];
	for (unsigned i = 0; i < LASTING_MAPS; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(kernel->forward->bpf->obj, lasting_maps[i]);
		int fd = bpf_obj_get(map_pin(kernel, lasting_maps[i], path));
		if (fd < 0)
			continue;
		if (map && kernel_map_is_alike(map, fd))
			bpf_map__reuse_fd(map, fd);
		close(fd);
	}
}

int kernel_forward_pin(struct kernel *kernel)
{
	struct kernel_forward *forward = kernel->forward;
	char path[256];
	if (!forward)
		return 0;
	for (unsigned i = 0; i < LASTING_MAPS; i++) {
		const struct bpf_map *map = bpf_object__find_map_by_name(forward->bpf->obj, lasting_maps[i]);
		int error = kernel_pin_one(kernel, bpf_map__fd(map), map_pin(kernel, lasting_maps[i], path));
		if (error)
			return error;
	}
	for (unsigned i = 0; i < forward->count; i++)
		pin_links(kernel, &forward->interfaces[i]);
	forward->pinned = true;
	return 0;
}

void kernel_forward_unpinned(struct kernel *kernel)
{
	if (kernel->forward)
		kernel->forward->pinned = false;
}

/* ---- interfaces ------------------------------------------------------------------------------------------- */

static bool is_wanted(const struct kernel_forward *forward, const char *name)
{
	for (unsigned i = 0; i < forward->pattern_count; i++) {
		if (fnmatch(forward->patterns[i], name, 0) == 0)
			return true;
	}
	return false;
}

/* What the programs get to see of its packets: dev_is_mac_header_xmit() in the kernel's include/linux/if_arp.h. */
static enum link_layer link_layer(unsigned short type)
{
	static const unsigned short without[] = { ARPHRD_TUNNEL, ARPHRD_TUNNEL6, ARPHRD_SIT, ARPHRD_IPGRE, 823 /* IP6GRE */,
						  ARPHRD_VOID, ARPHRD_NONE, 519 /* RAWIP */, ARPHRD_PPP };
	if (type == ARPHRD_ETHER || type == ARPHRD_LOOPBACK)
		return LINK_ETHERNET;
	for (unsigned i = 0; i < sizeof(without) / sizeof(without[0]); i++) {
		if (type == without[i])
			return LINK_NONE;
	}
	return LINK_UNKNOWN;
}

static struct interface *find(struct kernel_forward *forward, unsigned ifindex)
{
	for (unsigned i = 0; i < forward->count; i++) {
		if (forward->interfaces[i].ifindex == ifindex)
			return &forward->interfaces[i];
	}
	return NULL;
}

static void attach(struct kernel *kernel, struct interface *interface, unsigned short type)
{
	struct kernel_forward *forward = kernel->forward;
	enum link_layer layer = link_layer(type);
	bool ethernet = layer == LINK_ETHERNET;
	const int programs[2] = {
		bpf_program__fd(ethernet ? forward->bpf->progs.smtpward_tc_in : forward->bpf->progs.smtpward_l3_in),
		bpf_program__fd(ethernet ? forward->bpf->progs.smtpward_tc_out : forward->bpf->progs.smtpward_l3_out),
	};
	char path[256];
	if (layer == LINK_UNKNOWN) {
		snprintf(interface->error, sizeof(interface->error), "interfaces of type %u are not understood", type);
		return;
	}
	for (unsigned way = 0; way < 2; way++)
		interface->attachment.links[way] = bpf_obj_get(link_pin(kernel, interface->ifindex, way, path));
	int error = tc_attach(interface->ifindex, programs, forward->owner, TC_NONE, &interface->attachment);
	if (error)
		snprintf(interface->error, sizeof(interface->error), "%s", strerror(-error));
	if (!error && forward->pinned)
		pin_links(kernel, interface); /* over those of an interface that had the number before */
}

static void let_go(struct kernel *kernel, struct interface *interface, bool gone)
{
	struct kernel_forward *forward = kernel->forward;
	unpin_links(kernel, interface->ifindex);
	if (gone)
		tc_release(&interface->attachment); /* its filters went with it */
	else
		tc_detach(interface->ifindex, &interface->attachment);
	*interface = forward->interfaces[--forward->count];
}

static void see_link(void *context, const struct rtnetlink_link *link)
{
	struct kernel *kernel = context;
	struct kernel_forward *forward = kernel->forward;
	struct interface *known = find(forward, link->ifindex);
	bool wanted = !link->gone && is_wanted(forward, link->name); /* it may have another name now */
	if (known && wanted) {
		snprintf(known->name, sizeof(known->name), "%s", link->name);
		return;
	}
	if (known)
		let_go(kernel, known, link->gone);
	if (!wanted)
		return;
	struct interface *interface = &forward->interfaces[forward->count];
	*interface = (struct interface){ .ifindex = link->ifindex, .attachment.links = { -1, -1 } };
	snprintf(interface->name, sizeof(interface->name), "%s", link->name);
	if (forward->count == INTERFACES_MAX) {
		snprintf(interface->error, sizeof(interface->error), "%u interfaces are watched already", INTERFACES_MAX);
		forward->too_many = true;
		return;
	}
	forward->count++;
	attach(kernel, interface, link->type);
}

/* Marks the interfaces that are there. */
struct roll_call {
	const struct kernel_forward *forward;
	bool there[INTERFACES_MAX];
};

static void answer_roll_call(void *context, const struct rtnetlink_link *link)
{
	struct roll_call *call = context;
	for (unsigned i = 0; i < call->forward->count; i++)
		call->there[i] |= call->forward->interfaces[i].ifindex == link->ifindex;
}

/* Messages were lost: all is looked at again. */
static void look_again(struct kernel *kernel)
{
	struct roll_call call = { .forward = kernel->forward };
	if (rtnetlink_links(answer_roll_call, &call))
		return;
	for (unsigned i = kernel->forward->count; i-- > 0;) {
		if (!call.there[i])
			let_go(kernel, &kernel->forward->interfaces[i], true);
	}
	rtnetlink_links(see_link, kernel);
}

/* What an earlier agent has left on interfaces that are not watched any more. */
static void clear_link(void *context, const struct rtnetlink_link *link)
{
	struct kernel *kernel = context;
	if (!kernel->forward || !find(kernel->forward, link->ifindex))
		tc_remove_left(link->ifindex, cgroup_id(kernel->cgroup));
}

static void clear_pins(struct kernel *kernel)
{
	char path[512];
	unsigned ifindex;
	DIR *directory = opendir(kernel->pin_path);
	if (!directory)
		return;
	for (struct dirent *entry; (entry = readdir(directory));) {
		if (sscanf(entry->d_name, PIN_LINK_PREFIX "tcx-%u-", &ifindex) != 1 || (kernel->forward && find(kernel->forward, ifindex)))
			continue;
		snprintf(path, sizeof(path), "%s/%s", kernel->pin_path, entry->d_name);
		unlink(path);
	}
	closedir(directory);
}

/* ---- open and close --------------------------------------------------------------------------------------- */

/* The maps of the socket hooks, wherever the two objects have one of the same name. */
static int share_maps(struct kernel *kernel, struct bpf_object *object)
{
	struct bpf_map *map;
	bpf_object__for_each_map(map, object) {
		struct bpf_map *shared = bpf_object__find_map_by_name(kernel->bpf->obj, bpf_map__name(map));
		if (shared && !bpf_map__is_internal(map) && bpf_map__reuse_fd(map, bpf_map__fd(shared)))
			return -errno;
	}
	return 0;
}

static int load(struct kernel *kernel, struct kernel_forward *forward, const struct config *config)
{
	forward->bpf = forward_bpf__open();
	if (!forward->bpf)
		return -errno;
	for (unsigned i = 0; i < config->port_count; i++)
		forward->bpf->rodata->port_kinds[config->ports[i].number] =
			config->ports[i].implicit_tls ? PORT_IMPLICIT_TLS : PORT_STARTTLS;
	int error = share_maps(kernel, forward->bpf->obj);
	if (error)
		return error;
	adopt_maps(kernel);
	error = forward_bpf__load(forward->bpf);
	if (error)
		return error;
	forward->value = calloc(1, bpf_map__value_size(forward->bpf->maps.forwards));
	return forward->value ? 0 : -ENOMEM;
}

int kernel_forward_open(struct kernel *kernel, const struct config *config)
{
	struct kernel_forward *forward;
	int error = 0;
	if (config->tc.interface_count) {
		forward = kernel->forward = calloc(1, sizeof(*forward));
		if (!forward)
			return -ENOMEM;
		forward->monitor = -1;
		forward->patterns = config->tc.interfaces;
		forward->pattern_count = config->tc.interface_count;
		forward->owner = cgroup_id(kernel->cgroup);
		error = load(kernel, forward, config);
		if (!error) {
			forward->monitor = rtnetlink_open(); /* before the list, so that none appears in between */
			error = forward->monitor < 0 ? forward->monitor : rtnetlink_links(see_link, kernel);
		}
	}
	if (!error)
		rtnetlink_links(clear_link, kernel);
	clear_pins(kernel);
	return error;
}

void kernel_forward_close(struct kernel *kernel, bool leave)
{
	struct kernel_forward *forward = kernel->forward;
	if (!forward)
		return;
	for (unsigned i = 0; i < forward->count; i++) {
		if (leave)
			tc_release(&forward->interfaces[i].attachment);
		else
			tc_detach(forward->interfaces[i].ifindex, &forward->interfaces[i].attachment);
	}
	if (forward->monitor >= 0)
		close(forward->monitor);
	forward_bpf__destroy(forward->bpf);
	free(forward->value);
	free(forward);
	kernel->forward = NULL;
}

/* ---- at work ---------------------------------------------------------------------------------------------- */

bool kernel_forward_hook(const struct kernel *kernel, unsigned index, struct kernel_hook *hook, char name[KERNEL_FORWARD_NAME_SIZE])
{
	static const char *const kinds[] = { [TC_NONE] = "tc", [TC_TCX] = "tcx", [TC_CLSACT] = "clsact" };
	const struct kernel_forward *forward = kernel->forward;
	if (!forward || index >= forward->count + forward->too_many)
		return false;
	const struct interface *interface = &forward->interfaces[index];
	snprintf(name, KERNEL_FORWARD_NAME_SIZE, "%s/%s", kinds[interface->attachment.kind], interface->name);
	*hook = (struct kernel_hook){ .name = name, .attached = interface->attachment.kind != TC_NONE };
	snprintf(hook->error, sizeof(hook->error), "%s", interface->error);
	return true;
}

const char *kernel_forward_name(const struct kernel *kernel, uint64_t ifindex)
{
	const struct interface *interface = kernel->forward ? find(kernel->forward, (unsigned)ifindex) : NULL;
	return interface ? interface->name : NULL;
}

int kernel_forward_fd(const struct kernel *kernel)
{
	return kernel->forward ? kernel->forward->monitor : -1;
}

void kernel_forward_read(struct kernel *kernel)
{
	if (kernel->forward && rtnetlink_read(kernel->forward->monitor, see_link, kernel) == -ENOBUFS)
		look_again(kernel);
}

static uint64_t monotonic_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
}

int kernel_forward_find(struct kernel *kernel, const struct flow_event *event)
{
	struct forward_key key = { .client_port = event->client_port, .server_port = event->server_port };
	if (!kernel->forward)
		return -ENOENT;
	const struct forward_head *head = kernel->forward->value;
	int map = bpf_map__fd(kernel->forward->bpf->maps.forwards);
	memcpy(key.client_address, event->client_address, sizeof(key.client_address));
	memcpy(key.server_address, event->server_address, sizeof(key.server_address));
	if (bpf_map_lookup_elem(map, &key, kernel->forward->value))
		return -errno;
	if (head->flow_id != event->flow_id)
		return -ENOENT;
	if (monotonic_ns() < head->seen_ns + FORWARD_IDLE_NS)
		return 0;
	return bpf_map_delete_elem(map, &key) ? -errno : -ETIMEDOUT;
}
