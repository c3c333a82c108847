/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How programs get onto an interface and off again, by both ways, whichever this kernel would take by itself. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include "forward.h"
#include "rtnetlink.h"
#include "tc_attach.h"
#include "tc_remove.h"

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#include "forward.skel.h"
#pragma GCC diagnostic pop

#define OWNER 4711
#define OTHER_OWNER 815

static struct forward_bpf *object;
static int programs[2];
static unsigned device; /* its number; made anew for each test */
static const char *missing;
static bool has_tcx;

static int print_nothing(enum libbpf_print_level level, const char *format, va_list arguments)
{
	(void)level;
	(void)format;
	(void)arguments;
	return 0;
}

static int setup_all(void **state)
{
	(void)state;
	missing = geteuid() ? "root is needed" : unshare(CLONE_NEWNET) ? "no network namespace can be made" : NULL;
	libbpf_set_print(print_nothing);
	object = missing ? NULL : forward_bpf__open_and_load();
	if (!missing && !object) {
		print_error("the BPF object does not load\n");
		return -1;
	}
	if (missing)
		print_message("no test here: %s\n", missing);
	else
		programs[0] = bpf_program__fd(object->progs.smtpward_tc_in), programs[1] = bpf_program__fd(object->progs.smtpward_tc_out);
	return 0;
}

static int teardown_all(void **state)
{
	(void)state;
	forward_bpf__destroy(object);
	return 0;
}

static int setup(void **state)
{
	struct tc_attachment trial = { .links = { -1, -1 } };
	(void)state;
	if (missing)
		return 0;
	if (system("ip link delete va0 2>/dev/null; ip link add va0 type veth peer name vb0"))
		return -1;
	device = if_nametoindex("va0");
	if (tc_attach(device, programs, OWNER, TC_NONE, &trial))
		return -1;
	has_tcx = trial.kind == TC_TCX;
	tc_detach(device, &trial);
	return 0;
}

static void needed(void)
{
	if (missing)
		skip();
}

struct count {
	unsigned ours, others;
};

static void count_filter(void *context, const struct rtnetlink_filter *filter)
{
	struct count *count = context;
	if (filter->bpf && filter->priority == FORWARD_FILTER_PRIORITY && strncmp(filter->program, "smtpward_", 9) == 0)
		count->ours++;
	else
		count->others++;
}

static struct count filters(void)
{
	struct count count = { 0 };
	assert_int_equal(rtnetlink_filters(device, RTNETLINK_INGRESS, count_filter, &count), 0);
	assert_int_equal(rtnetlink_filters(device, RTNETLINK_EGRESS, count_filter, &count), 0);
	return count;
}

static void set_hook(struct bpf_tc_hook *hook, enum bpf_tc_attach_point point)
{
	memset(hook, 0, sizeof(*hook)); /* field by field: libbpf refuses options whose padding is not zero */
	hook->sz = sizeof(*hook);
	hook->ifindex = (int)device;
	hook->attach_point = point;
}

static bool has_qdisc(void)
{
	struct bpf_tc_hook hook;
	set_hook(&hook, BPF_TC_INGRESS | BPF_TC_EGRESS);
	int error = bpf_tc_hook_create(&hook);
	if (error == 0)
		assert_int_equal(bpf_tc_hook_destroy(&hook), 0);
	return error == -EEXIST;
}

static void attach(enum tc_kind kind, uint64_t owner, struct tc_attachment *attachment)
{
	*attachment = (struct tc_attachment){ .links = { -1, -1 } };
	assert_int_equal(tc_attach(device, programs, owner, kind, attachment), 0);
}

static void expect(unsigned ours, unsigned others, bool qdisc)
{
	struct count count = filters();
	assert_int_equal(count.ours, ours);
	assert_int_equal(count.others, others);
	assert_int_equal(has_qdisc(), qdisc);
}

static void filters_come_and_go_with_their_qdisc(void **state)
{
	struct tc_attachment attachment;
	(void)state;
	needed();
	attach(TC_CLSACT, OWNER, &attachment);
	assert_int_equal(attachment.kind, TC_CLSACT);
	expect(2, 0, true);
	tc_detach(device, &attachment);
	expect(0, 0, false);
}

static void anothers_qdisc_stays(void **state)
{
	struct tc_attachment attachment;
	(void)state;
	needed();
	struct bpf_tc_hook hook;
	set_hook(&hook, BPF_TC_INGRESS | BPF_TC_EGRESS);
	assert_int_equal(bpf_tc_hook_create(&hook), 0);
	attach(TC_CLSACT, OWNER, &attachment);
	expect(2, 0, true);
	tc_detach(device, &attachment);
	expect(0, 0, true);
}

/* As another program would put it there: with a priority of its own. */
static void attach_anothers_filter(void)
{
	struct bpf_tc_hook hook;
	struct bpf_tc_opts options;
	set_hook(&hook, BPF_TC_EGRESS);
	memset(&options, 0, sizeof(options));
	options.sz = sizeof(options);
	options.prog_fd = programs[1];
	options.priority = 7;
	options.handle = 1;
	assert_int_equal(bpf_tc_attach(&hook, &options), 0);
}

static void anothers_filter_stays_and_its_qdisc_with_it(void **state)
{
	struct tc_attachment attachment;
	(void)state;
	needed();
	attach(TC_CLSACT, OWNER, &attachment);
	attach_anothers_filter();
	expect(2, 1, true);
	tc_detach(device, &attachment);
	expect(0, 1, true);
}

static void a_killed_agents_filters_are_taken_over(void **state)
{
	struct tc_attachment killed, attachment;
	(void)state;
	needed();
	attach(TC_CLSACT, OWNER, &killed); /* and nobody detaches it */
	attach(TC_CLSACT, OWNER, &attachment);
	expect(2, 0, true);
	tc_detach(device, &attachment);
	expect(0, 0, false); /* that the qdisc was ours is remembered by the filters */
}

static void a_killed_agents_filters_are_removed(void **state)
{
	struct tc_attachment killed, other;
	(void)state;
	needed();
	attach(TC_CLSACT, OWNER, &killed);
	attach(TC_CLSACT, OTHER_OWNER, &other);
	expect(4, 0, true);
	assert_int_equal(tc_remove_left(device, OWNER), 2);
	expect(2, 0, true);
	assert_int_equal(tc_remove_left(device, OWNER), 0);
	attach(TC_CLSACT, OWNER, &killed);
	assert_int_equal(tc_remove_left(device, 0), 4);
	assert_int_equal(filters().ours, 0);
}

static void links_come_and_go(void **state)
{
	struct tc_attachment attachment;
	(void)state;
	needed();
	if (!has_tcx)
		skip();
	attach(TC_NONE, OWNER, &attachment);
	assert_int_equal(attachment.kind, TC_TCX);
	expect(0, 0, false);
	tc_detach(device, &attachment);
	assert_int_equal(attachment.links[0], -1);
}

/* As from pins: the link goes on with another program, and no other is made. */
static void links_are_taken_over(void **state)
{
	struct tc_attachment first, second = { 0 };
	struct bpf_link_info info = { 0 };
	__u32 size = sizeof(info), id;
	(void)state;
	needed();
	if (!has_tcx)
		skip();
	attach(TC_NONE, OWNER, &first);
	assert_int_equal(bpf_obj_get_info_by_fd(first.links[0], &info, &size), 0);
	id = info.id;
	second.links[0] = dup(first.links[0]);
	second.links[1] = dup(first.links[1]);
	assert_int_equal(tc_attach(device, programs, OWNER, TC_NONE, &second), 0);
	size = sizeof(info);
	assert_int_equal(bpf_obj_get_info_by_fd(second.links[0], &info, &size), 0);
	assert_int_equal(info.id, id);
	tc_release(&first);
	tc_detach(device, &second);
}

static void links_replace_left_filters(void **state)
{
	struct tc_attachment killed, attachment;
	(void)state;
	needed();
	if (!has_tcx)
		skip();
	attach(TC_CLSACT, OWNER, &killed);
	attach(TC_NONE, OWNER, &attachment);
	expect(0, 0, false);
	tc_detach(device, &attachment);
}

static void what_is_not_there_cannot_be_attached_to(void **state)
{
	struct tc_attachment attachment = { .links = { -1, -1 } };
	(void)state;
	needed();
	assert_true(tc_attach(9999, programs, OWNER, TC_NONE, &attachment) < 0);
	assert_int_equal(attachment.kind, TC_NONE);
	assert_true(tc_attach(9999, programs, OWNER, TC_CLSACT, &attachment) < 0);
	assert_int_equal(attachment.kind, TC_NONE);
	assert_int_equal(tc_remove_left(9999, 0), 0);
}

/* ---- rtnetlink -------------------------------------------------------------------------------------------- */

struct seen {
	unsigned count, gone;
	struct rtnetlink_link last;
};

static void see_link(void *context, const struct rtnetlink_link *link)
{
	struct seen *seen = context;
	if (strcmp(link->name, "va0") != 0 && strcmp(link->name, "va1") != 0)
		return;
	seen->count++;
	seen->gone += link->gone;
	seen->last = *link;
}

static void interfaces_are_heard_of(void **state)
{
	struct seen seen = { 0 };
	(void)state;
	needed();
	assert_int_equal(rtnetlink_links(see_link, &seen), 0);
	assert_int_equal(seen.count, 1);
	assert_int_equal(seen.last.ifindex, device);
	assert_int_equal(seen.last.type, 1);
	int fd = rtnetlink_open();
	assert_true(fd >= 0);
	seen = (struct seen){ 0 };
	assert_int_equal(rtnetlink_read(fd, see_link, &seen), 0);
	assert_int_equal(seen.count, 0);
	assert_int_equal(system("ip link set va0 name va1"), 0);
	assert_int_equal(rtnetlink_read(fd, see_link, &seen), 0);
	assert_string_equal(seen.last.name, "va1");
	assert_int_equal(system("ip link delete va1"), 0);
	assert_int_equal(rtnetlink_read(fd, see_link, &seen), 0);
	assert_int_equal(seen.gone, 1);
	assert_int_equal(seen.last.ifindex, device);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(filters_come_and_go_with_their_qdisc),
		TEST(anothers_qdisc_stays),
		TEST(anothers_filter_stays_and_its_qdisc_with_it),
		TEST(a_killed_agents_filters_are_taken_over),
		TEST(a_killed_agents_filters_are_removed),
		TEST(links_come_and_go),
		TEST(links_are_taken_over),
		TEST(links_replace_left_filters),
		TEST(what_is_not_there_cannot_be_attached_to),
		TEST(interfaces_are_heard_of),
	};
	return cmocka_run_group_tests(tests, setup_all, teardown_all);
}
