/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What all probes share: what a thread is doing in its TLS library, whose flow that is, and how it is told. */
#ifndef SMTPWARD_BPF_TASK_H
#define SMTPWARD_BPF_TASK_H

#include <linux/bpf.h>

#include <bpf/bpf_helpers.h>

#include "compiler.h"
#include "shared_maps.h"

/* Whether probes have cookies (Linux 5.15); without, all libraries of one kind share an entry. */
const volatile __u8 has_cookies = 0;

#define CHAINED_CHECKS_MAX 8

/* What a thread is doing in its TLS library. */
struct task {
	__u64 handshake;  /* the session whose handshake it is in; 0: in none */
	__u64 flow_id;    /* of that handshake; 0: not found (yet) */
	__u64 check;      /* X509_STORE_CTX, or a GnuTLS session: the outermost check; 0: in none */
	__u64 status;     /* where GnuTLS writes what it found */
	__u64 name;       /* the host name that GnuTLS was given */
	__u64 asked;      /* the session that SSL_get_verify_result is asked about, or crt_check_hostname2's name */
	__u64 checked_flow; /* of the last check by GnuTLS: a name may be checked next */
	__u64 handshake_at; /* address of the handshake function */
	__u32 library;    /* index of the file that runs the handshake */
	__u32 check_library;
	__u32 check_depth;
	__u32 reserved;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64); /* pid_tgid */
	__type(value, struct task);
} tasks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, WITNESS_LIBRARIES_MAX);
	__type(key, __u32);
	__type(value, struct witness_library_state);
} libraries SEC(".maps");

/* ---- who is it about? ------------------------------------------------------------------------------------- */

static __always_inline bool nobody_is_waiting(void)
{
	__u32 zero = 0;
	__s64 *open = bpf_map_lookup_elem(&hello_count, &zero);
	return !open || *open <= 0;
}

static __always_inline __u32 library_index(void *ctx, __u32 otherwise)
{
	return has_cookies ? (__u32)bpf_get_attach_cookie(ctx) : otherwise;
}

#define OPENSSL_WITHOUT_COOKIES 0
#define GNUTLS_WITHOUT_COOKIES 1

static __always_inline struct task *task_find(void)
{
	__u64 id = bpf_get_current_pid_tgid();
	return bpf_map_lookup_elem(&tasks, &id);
}

static __always_inline struct task *task_make(void)
{
	struct task fresh = {};
	__u64 id = bpf_get_current_pid_tgid();
	struct task *task = bpf_map_lookup_elem(&tasks, &id);
	if (task)
		return task;
	bpf_map_update_elem(&tasks, &id, &fresh, BPF_ANY);
	return bpf_map_lookup_elem(&tasks, &id);
}

static __always_inline __u64 read_word(__u64 address)
{
	__u64 word = 0;
	if (bpf_probe_read_user(&word, sizeof(word), (const void *)address))
		return 0;
	return word;
}

static __always_inline __u32 read_int(__u64 address, __u32 otherwise)
{
	__u32 number = 0;
	if (bpf_probe_read_user(&number, sizeof(number), (const void *)address))
		return otherwise;
	return number;
}

enum role { ROLE_UNKNOWN, ROLE_CLIENT, ROLE_SERVER };

#define GNUTLS_CLIENT 2 /* what a gnutls_session_t begins with */

/* A server on this host has the client's random, too. */
static __always_inline enum role role_of(__u64 session, const struct witness_library_state *state)
{
	if (state->library == WITNESS_GNUTLS)
		return read_int(session, 0) == GNUTLS_CLIENT ? ROLE_CLIENT : ROLE_SERVER;
	if (!state->layout.is_server)
		return ROLE_UNKNOWN;
	return read_int(session + state->layout.is_server, 1) ? ROLE_SERVER : ROLE_CLIENT;
}

/*
 * The flow whose ClientHello.random has these bytes, if it is this user's; 0 if there is none. Who may be the server is
 * heard only where the process is the one that connected.
 */
static __always_inline __u64 flow_by_key(__u64 key, enum role role)
{
	struct hello *hello = key ? bpf_map_lookup_elem(&hellos, &key) : 0;
	if (!hello || hello->uid != (__u32)bpf_get_current_uid_gid())
		return 0;
	if (role == ROLE_UNKNOWN && hello->pid != bpf_get_current_pid_tgid() >> 32)
		return 0;
	return hello->flow_id;
}

static __always_inline __u64 flow_at(__u64 session, __u32 outer, __u32 inner, enum role role)
{
	if (outer) {
		session = read_word(session + outer);
		if (!session)
			return 0;
	}
	return flow_by_key(read_word(session + inner + HELLO_KEY_AT - HELLO_RANDOM_AT), role);
}

#define SEARCH_WORDS 160
#define SEARCHES_MAX 4096 /* of one library: if the random has not been found by then, it is kept elsewhere */

/* Looks for the random in the session itself. A function of its own, so that the verifier walks the loop once. */
static __noinline __u64 flow_by_search(__u64 session, __u32 library, __u32 role)
{
	struct witness_library_state *state = bpf_map_lookup_elem(&libraries, &library);
	if (!state || state->place.inner || state->searches >= SEARCHES_MAX)
		return 0;
	state->searches++;
	for (__u32 i = 2; i < SEARCH_WORDS; i++) {
		__u64 flow_id = flow_by_key(read_word(session + i * 8), role);
		if (flow_id) {
			state->place.outer = 0;
			state->place.inner = (__u16)(i * 8 - (HELLO_KEY_AT - HELLO_RANDOM_AT));
			return flow_id;
		}
	}
	return 0;
}

/* Where OpenSSL 3.0, OpenSSL 1.1.1 and GnuTLS 3.7 have it on x86-64 and aarch64, in turn. */
static const struct random_place known_places[] = { { 0, 352 }, { 168, 184 }, { 0, 80 } };

static __noinline __u64 flow_of_session(__u64 session, __u32 library)
{
	struct witness_library_state *state = bpf_map_lookup_elem(&libraries, &library);
	if (!session || !state || nobody_is_waiting())
		return 0;
	enum role role = role_of(session, state);
	if (role == ROLE_SERVER)
		return 0;
	if (state->place.inner)
		return flow_at(session, state->place.outer, state->place.inner, role);
	for (__u32 i = 0; i < sizeof(known_places) / sizeof(known_places[0]); i++) {
		__u64 flow_id = flow_at(session, known_places[i].outer, known_places[i].inner, role);
		if (flow_id) {
			state->place = known_places[i];
			return flow_id;
		}
	}
	return flow_by_search(session, library, role);
}

static __always_inline __u64 flow_of_task(struct task *task)
{
	if (!task->flow_id)
		task->flow_id = flow_of_session(task->handshake, task->library);
	return task->flow_id;
}

static __always_inline struct witness *witness_of(__u64 flow_id)
{
	return bpf_map_lookup_elem(&witnesses, &flow_id);
}

/* ---- what is told ----------------------------------------------------------------------------------------- */

/* The ring was full: counted, and noted with the flow, whose session shall say so. */
static __always_inline void note_lost(__u64 flow_id, __u32 kind)
{
	struct witness *witness = witness_of(flow_id);
	if (witness && witness->lost < 255)
		witness->lost++;
	count_lost(kind);
}

static __always_inline struct witness_event *event_start(__u64 flow_id, __u8 library, __u8 kind, int result, __u32 error)
{
	struct witness_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		note_lost(flow_id, COUNTER_LOST_WITNESS);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	__u64 pid_tgid = bpf_get_current_pid_tgid();
	event->flow_id = flow_id;
	event->time_ns = bpf_ktime_get_ns();
	event->pid = pid_tgid >> 32;
	event->tid = (__u32)pid_tgid;
	event->library = library;
	event->kind = kind;
	event->result = result;
	event->error = error;
	return event;
}

static __always_inline void event_send(struct witness_event *event, bool urgent)
{
	bpf_ringbuf_submit(event, urgent ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	count(COUNTER_EVENTS_SENT);
}

/* Whether the agent waits for the library's word, and is to be woken for it. */
static __always_inline bool is_awaited(__u64 flow_id, const struct witness *witness)
{
	return witness->demanded && witness->good_for != flow_id && !peer_verdict_of(flow_id);
}

/* Reads a host name, and its hash; what is too long is named so. */
static __always_inline __u64 read_name(struct witness_event *event, __u64 address)
{
	__u64 hash = NAME_HASH_START;
	long n = bpf_probe_read_user_str(event->name, sizeof(event->name), (const void *)address);
	if (n <= 1 || n >= WITNESS_NAME_SIZE) {
		event->named = n >= WITNESS_NAME_SIZE ? WITNESS_NAMED_LONG : WITNESS_NAMED_NONE;
		event->name[0] = 0;
		return 0;
	}
	event->named = WITNESS_NAMED_HOST;
	event->name_length = (__u8)(n - 1);
	for (__u32 i = 0; i < WITNESS_NAME_SIZE; i++) {
		if (!event->name[i])
			break;
		hash = name_hash_step(hash, (__u8)event->name[i]);
	}
	return hash;
}

/* Before the ClientHello, perhaps: whose handshake it is shows later. */
static __always_inline int handshake_start(__u64 session, __u32 library, __u64 address)
{
	struct task *task = task_make();
	if (!task)
		return 0;
	task->handshake = session;
	task->flow_id = 0;
	task->check = 0;
	task->check_depth = 0;
	task->library = library;
	task->handshake_at = address;
	return 0;
}

/* The handshake call has returned success. */
static __always_inline void handshake_is_done(struct task *task, __u8 library)
{
	__u64 flow_id = flow_of_task(task);
	struct witness *witness = flow_id ? witness_of(flow_id) : 0;
	if (!witness || witness->handshake_done)
		return;
	witness->handshake_done = 1;
	struct witness_event *event = event_start(flow_id, library, WITNESS_HANDSHAKE, 1, 0);
	if (event)
		event_send(event, is_awaited(flow_id, witness));
}

#define CERTIFICATE_CHUNKS (CERTIFICATE_BYTES_MAX / CERTIFICATE_CHUNK)

/*
 * Sends the piece of a certificate of total bytes that begins at offset. Returns 1, or 0 if it is lost. A function that
 * is global, so that the verifier takes it on its own.
 */
__noinline int certificate_chunk(__u64 flow_id, __u64 address, __u32 offset, __u32 total, __u32 index)
{
	if (offset >= total)
		return 0;
	__u32 n = total - offset;
	if (n > CERTIFICATE_CHUNK)
		n = CERTIFICATE_CHUNK;
	barrier_var(n);
	n = ((n - 1) & (CERTIFICATE_CHUNK - 1)) + 1;
	struct certificate_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		note_lost(flow_id, COUNTER_LOST_CERTIFICATE);
		return 0;
	}
	__builtin_memset(event, 0, sizeof(*event));
	event->flow_id = flow_id;
	event->total = total;
	event->offset = offset;
	event->length = (__u16)n;
	event->index = (__u8)index;
	if (bpf_probe_read_user(event->bytes, n, (const void *)(address + offset))) {
		bpf_ringbuf_discard(event, BPF_RB_NO_WAKEUP);
		count(COUNTER_HELPER_FAILED);
		return 0;
	}
	bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
	count(COUNTER_EVENTS_SENT);
	return 1;
}

/* A certificate in DER that the library got from the peer. One that is too long is not sent at all. */
static __always_inline void tell_certificate(__u64 flow_id, __u64 address, __u32 total)
{
	struct witness *witness = bpf_map_lookup_elem(&witnesses, &flow_id);
	if (!witness || witness->checked || witness->certificates >= WITNESS_CERTIFICATES_MAX)
		return;
	__u8 index = witness->certificates++;
	if (total > CERTIFICATE_BYTES_MAX)
		return; /* the agent sees from the numbers that one is missing */
	for (__u32 i = 0; i < CERTIFICATE_CHUNKS; i++) {
		if (i * CERTIFICATE_CHUNK >= total || !certificate_chunk(flow_id, address, i * CERTIFICATE_CHUNK, total, index))
			break;
	}
}

/* The witness's word on the whole chain. */
static __always_inline void note_check(struct witness *witness, const struct witness_event *event, __u64 name_hash)
{
	bool fine = event->error == 0 && event->named != WITNESS_NAMED_NONE && event->named != WITNESS_NAMED_LONG;
	witness->checked = 1;
	witness->name_for = name_hash ? event->flow_id ^ name_hash : 0;
	witness->good_for = fine ? event->flow_id : 0;
}

#endif
