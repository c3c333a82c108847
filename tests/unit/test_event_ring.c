/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The reading end of the ring, on memory laid out as kernel/bpf/ringbuf.c does; the test plays the kernel. */
#include <errno.h>
#include <linux/bpf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "event_ring.h"

#define SIZE 4096U /* one page of data */

static struct {
	size_t page;
	int fd;
	uint8_t *memory; /* consumer's page, producer's page, data twice */
	struct event_ring *ring;
	unsigned flows, handshakes, witnesses, certificates, malformed;
	uint64_t last_flow;
} fixture;

static void flow(void *context, const struct flow_event *event)
{
	(void)context;
	fixture.flows++;
	fixture.last_flow = event->flow_id;
}

static void handshake(void *context, const struct handshake_event *event)
{
	(void)context;
	(void)event;
	fixture.handshakes++;
}

static void witness(void *context, const struct witness_event *event)
{
	(void)context;
	(void)event;
	fixture.witnesses++;
}

static void certificate(void *context, const struct certificate_event *event)
{
	(void)context;
	(void)event;
	fixture.certificates++;
}

static void malformed(void *context)
{
	(void)context;
	fixture.malformed++;
}

static unsigned read_ring(void)
{
	const struct event_reader reader = { .flow = flow, .handshake = handshake, .witness = witness, .certificate = certificate,
					     .malformed = malformed };
	return event_ring_read(fixture.ring, &reader);
}

static unsigned long *consumer(void)
{
	return (unsigned long *)(void *)fixture.memory;
}

static unsigned long *producer(void)
{
	return (unsigned long *)(void *)(fixture.memory + fixture.page);
}

/* Both copies, since this memory is not mapped twice as the kernel's is. */
static void put(unsigned long position, const void *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		size_t at = (position + i) % SIZE;
		fixture.memory[2 * fixture.page + at] = ((const uint8_t *)bytes)[i];
		fixture.memory[2 * fixture.page + SIZE + at] = ((const uint8_t *)bytes)[i];
	}
}

/* Appends a record; flags are the header's. */
static void append(const void *bytes, size_t size, uint32_t flags)
{
	const uint32_t header[2] = { (uint32_t)size | flags, 0 };
	unsigned long position = *producer();
	put(position, header, sizeof(header));
	put(position + BPF_RINGBUF_HDR_SZ, bytes, size);
	*producer() = position + ((size + BPF_RINGBUF_HDR_SZ + 7) & ~7UL);
}

static void append_flow(uint64_t id, uint32_t flags)
{
	const struct flow_event event = { .flow_id = id, .sequence = 1, .reason = EVENT_OPENED };
	append(&event, sizeof(event), flags);
}

static int set_up(void **state)
{
	(void)state;
	memset(&fixture, 0, sizeof(fixture));
	fixture.page = (size_t)sysconf(_SC_PAGESIZE);
	size_t all = 2 * fixture.page + 2 * (size_t)SIZE;
	fixture.fd = memfd_create("ring", MFD_CLOEXEC);
	assert_int_equal(ftruncate(fixture.fd, (off_t)all), 0);
	fixture.memory = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_SHARED, fixture.fd, 0);
	assert_ptr_not_equal(fixture.memory, MAP_FAILED);
	fixture.ring = event_ring_open(dup(fixture.fd), SIZE);
	assert_non_null(fixture.ring);
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	event_ring_close(fixture.ring);
	munmap(fixture.memory, 2 * fixture.page + 2 * (size_t)SIZE);
	close(fixture.fd);
	return 0;
}

static void every_kind_of_event(void **state)
{
	(void)state;
	assert_int_equal(read_ring(), 0);
	append_flow(7, 0);
	const struct handshake_event hello = { .flow_id = 7, .length = 1 };
	append(&hello, sizeof(hello), 0);
	const struct witness_event word = { .flow_id = 7, .library = WITNESS_OPENSSL, .kind = WITNESS_HANDSHAKE };
	append(&word, sizeof(word), 0);
	const struct certificate_event piece = { .flow_id = 7, .length = 1, .total = 1 };
	append(&piece, sizeof(piece), 0);
	append("of a size that means none", 24, 0);
	assert_int_equal(read_ring(), 5);
	assert_int_equal(fixture.malformed, 1);
	assert_int_equal(fixture.flows, 1);
	assert_int_equal(fixture.last_flow, 7);
	assert_int_equal(fixture.handshakes, 1);
	assert_int_equal(fixture.witnesses, 1);
	assert_int_equal(fixture.certificates, 1);
	assert_int_equal(*consumer(), *producer());
	assert_int_equal(read_ring(), 0);
}

static void round_and_round(void **state)
{
	(void)state;
	for (uint64_t i = 1; i <= 1000; i++) {
		append_flow(i, 0);
		assert_int_equal(read_ring(), 1);
		assert_int_equal(fixture.last_flow, i);
	}
	assert_true(*consumer() > 80UL * SIZE);
}

static void what_is_being_written_waits(void **state)
{
	(void)state;
	append_flow(1, 0);
	unsigned long second = *producer();
	append_flow(2, BPF_RINGBUF_BUSY_BIT);
	append_flow(3, 0);
	assert_int_equal(read_ring(), 1);
	assert_int_equal(*consumer(), second);
	assert_int_equal(read_ring(), 0);
	const uint32_t header = sizeof(struct flow_event);
	put(second, &header, sizeof(header));
	assert_int_equal(read_ring(), 2);
	assert_int_equal(fixture.last_flow, 3);
}

static void what_was_discarded_is_passed_over(void **state)
{
	(void)state;
	append_flow(1, BPF_RINGBUF_DISCARD_BIT);
	append_flow(2, 0);
	assert_int_equal(read_ring(), 1);
	assert_int_equal(fixture.flows, 1);
	assert_int_equal(fixture.last_flow, 2);
	assert_int_equal(*consumer(), *producer());
}

/* The memory is the kernel's; if it were not, nothing outside it may be read. */
static void a_length_that_cannot_be(void **state)
{
	const uint32_t huge = SIZE;
	(void)state;
	append_flow(1, 0);
	put(0, &huge, sizeof(huge));
	assert_int_equal(read_ring(), 0);
	assert_int_equal(*consumer(), 0);
}

static void how_full_it_is(void **state)
{
	uint64_t used, size;
	(void)state;
	append_flow(1, 0);
	event_ring_fill(fixture.ring, &used, &size);
	assert_int_equal(size, SIZE);
	assert_int_equal(used, (sizeof(struct flow_event) + BPF_RINGBUF_HDR_SZ + 7) & ~7UL);
	read_ring();
	event_ring_fill(fixture.ring, &used, &size);
	assert_int_equal(used, 0);
}

static void sizes_that_no_ring_has(void **state)
{
	static const uint64_t sizes[] = { 0, 3, SIZE + 1, UINT64_MAX, 1ULL << 63 };
	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_null(event_ring_open(dup(fixture.fd), sizes[i]));
	int pair[2];
	assert_int_equal(pipe(pair), 0);
	assert_null(event_ring_open(pair[0], SIZE)); /* no map at all; it is taken over all the same */
	assert_int_equal(close(pair[0]), -1);
	close(pair[1]);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_kind_of_event),
		TEST(round_and_round),
		TEST(what_is_being_written_waits),
		TEST(what_was_discarded_is_passed_over),
		TEST(a_length_that_cannot_be),
		TEST(how_full_it_is),
		TEST(sizes_that_no_ring_has),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
