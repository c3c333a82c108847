// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The witness: uprobes on the TLS libraries of whoever sends mail. What they read is public (certificates, names) or a
 * verdict (return values, error numbers). See witness.h.
 *
 *   OpenSSL   SSL_do_handshake { d2i_X509 ..., X509_verify_cert }, SSL_get_verify_result
 *   GnuTLS    gnutls_handshake { gnutls_x509_crt_import }, gnutls_certificate_verify_peers* { gnutls_x509_crt_import ... },
 *             gnutls_x509_crt_check_hostname2
 */
#include <linux/bpf.h>
#include <linux/ptrace.h>

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "compiler.h"
#include "shared_maps.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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

static __always_inline struct witness_event *event_start(__u64 flow_id, __u8 library, __u8 kind, int result, __u32 error)
{
	struct witness_event *event = bpf_ringbuf_reserve(&events, sizeof(*event), 0);
	if (!event) {
		count(COUNTER_EVENTS_LOST);
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
		event_send(event, witness->demanded && !witness->good && !witness->verdict);
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
		count(COUNTER_EVENTS_LOST);
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
	witness->name_hash = name_hash;
	witness->good = fine;
}

/* ---- OpenSSL ---------------------------------------------------------------------------------------------- */

SEC("uprobe")
int BPF_KPROBE(openssl_handshake_entry, __u64 session)
{
	return handshake_start(session, library_index(ctx, OPENSSL_WITHOUT_COOKIES), PT_REGS_IP(ctx));
}

SEC("uretprobe")
int BPF_KRETPROBE(openssl_handshake_return, int result)
{
	struct task *task = task_find();
	if (!task || !task->handshake)
		return 0;
	if (result == 1)
		handshake_is_done(task, WITNESS_OPENSSL);
	task->handshake = 0;
	task->flow_id = 0;
	return 0;
}

static __always_inline __u64 return_address(struct pt_regs *ctx)
{
#if defined(__TARGET_ARCH_arm64)
	return PT_REGS_RET(ctx);
#else
	return read_word(PT_REGS_SP(ctx));
#endif
}

/*
 * Whether libssl itself has made the call: it reads the peer's certificates. Others are read in a handshake, too: curl
 * loads its authorities there, through libcrypto.
 */
static __always_inline bool is_called_by_libssl(struct pt_regs *ctx, const struct task *task)
{
	__u32 library = task->library;
	struct witness_library_state *state = bpf_map_lookup_elem(&libraries, &library);
	__u64 caller = return_address(ctx);
	if (!state)
		return false;
	if (caller < task->handshake_at)
		return task->handshake_at - caller <= state->text_before;
	return caller - task->handshake_at < state->text_after;
}

/* d2i_X509(X509 **a, const unsigned char **in, long length) */
SEC("uprobe")
int BPF_KPROBE(openssl_d2i_certificate, __u64 certificate, __u64 in, long length)
{
	struct task *task = task_find();
	if (!task || !task->handshake || task->check || length <= 0 || !is_called_by_libssl(ctx, task))
		return 0;
	__u64 flow_id = flow_of_task(task);
	__u64 der = flow_id ? read_word(in) : 0;
	if (der)
		tell_certificate(flow_id, der, length > CERTIFICATE_BYTES_MAX ? CERTIFICATE_BYTES_MAX + 1 : (__u32)length);
	return 0;
}

/* Where a stack of OpenSSL's (OPENSSL_STACK) has its length and its elements, and SSL_DANE the record that matched. */
#define STACK_COUNT 0
#define STACK_ELEMENTS 8
#define DANE_MATCHED 24

#define EX_DATA_SEARCHED 4

/*
 * The flow of a check in a handshake that runs inside SSL_read or SSL_write, as Node's do: there is no probe on those,
 * since they are called all the time. The check's context has its session among the data that others keep with it.
 */
static __always_inline __u64 flow_of_check(__u64 context, __u32 library)
{
	struct witness_library_state *state = bpf_map_lookup_elem(&libraries, &library);
	if (!state || !state->layout.ex_data || !state->partner || nobody_is_waiting())
		return 0;
	__u32 partner = state->partner - 1;
	__u64 stack = read_word(context + state->layout.ex_data);
	__u64 elements = stack ? read_word(stack + STACK_ELEMENTS) : 0;
	__u32 length = stack ? read_int(stack + STACK_COUNT, 0) : 0;
	for (__u32 i = 0; i < EX_DATA_SEARCHED && i < length; i++) {
		__u64 flow_id = flow_of_session(read_word(elements + i * 8), partner);
		if (flow_id)
			return flow_id;
	}
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(openssl_verify_entry, __u64 context)
{
	__u32 library = library_index(ctx, OPENSSL_WITHOUT_COOKIES);
	struct task *task = task_find();
	if (task && task->check) { /* for a CRL's issuer, say */
		task->check_depth++;
		return 0;
	}
	if (task && task->handshake) {
		if (!flow_of_task(task))
			return 0;
	} else {
		__u64 flow_id = flow_of_check(context, library);
		task = flow_id ? task_make() : 0;
		if (!task)
			return 0;
		task->flow_id = flow_id;
	}
	task->check = context;
	task->check_depth = 1;
	task->check_library = library;
	return 0;
}

/* What the check of the chain was told to look for beside it. Returns the hash of a single host name, else 0. */
static __always_inline __u64 read_identity(struct witness_event *event, const struct openssl_layout *layout, __u64 context)
{
	__u64 parameters = read_word(context + layout->param);
	__u64 hosts = parameters ? read_word(parameters + layout->hosts) : 0;
	__u64 dane = layout->dane ? read_word(context + layout->dane) : 0;
	__u64 hash = 0;
	if (hosts) {
		__u32 hosts_count = read_int(hosts + STACK_COUNT, 0);
		__u64 elements = hosts_count ? read_word(hosts + STACK_ELEMENTS) : 0;
		if (elements)
			hash = read_name(event, read_word(elements));
		if (hosts_count != 1) {
			hash = 0; /* which one was it? */
			event->named = event->named == WITNESS_NAMED_HOST ? WITNESS_NAMED_SEVERAL : event->named;
		}
	} else if (parameters) {
		__u64 address = read_word(parameters + layout->ip);
		__u64 length = read_word(parameters + layout->ip + 8);
		if (address && (length == 4 || length == 16) &&
		    bpf_probe_read_user(event->name, length == 4 ? 4 : 16, (const void *)address) == 0) {
			event->named = WITNESS_NAMED_ADDRESS;
			event->name_length = (__u8)length;
		}
	}
	if (event->named == WITNESS_NAMED_NONE && dane && read_word(dane + DANE_MATCHED))
		event->named = WITNESS_PINNED;
	return hash;
}

#define SSL_VERIFY_PEER 1

static __always_inline __u8 read_mode(const struct task *task)
{
	__u32 library = task->library;
	struct witness_library_state *state = bpf_map_lookup_elem(&libraries, &library);
	if (!task->handshake || !state || !state->layout.verify_mode)
		return WITNESS_MODE_UNKNOWN; /* without SSL_do_handshake: who knows what the application does about it */
	__u32 mode = read_int(task->handshake + state->layout.verify_mode, WITNESS_ERROR_UNKNOWN);
	if (mode == WITNESS_ERROR_UNKNOWN)
		return WITNESS_MODE_UNKNOWN;
	return mode & SSL_VERIFY_PEER ? WITNESS_MODE_STRICT : WITNESS_MODE_LENIENT;
}

SEC("uretprobe")
int BPF_KRETPROBE(openssl_verify_return, int result)
{
	struct task *task = task_find();
	if (!task || !task->check || !task->check_depth)
		return 0;
	if (--task->check_depth > 0)
		return 0;
	__u64 context = task->check, flow_id = task->flow_id;
	__u32 library = task->check_library;
	task->check = 0;
	struct witness *witness = witness_of(flow_id);
	struct witness_library_state *state = bpf_map_lookup_elem(&libraries, &library);
	if (!witness || !state)
		return 0;
	bool known = state->layout.known;
	/* an application's callback can have the call return 1 whatever it found; the error stays */
	__u32 error = known ? read_int(context + state->layout.error, WITNESS_ERROR_UNKNOWN) : WITNESS_ERROR_UNKNOWN;
	struct witness_event *event = event_start(flow_id, WITNESS_OPENSSL, WITNESS_CHAIN, result, error);
	if (!event)
		return 0;
	__u64 hash = known ? read_identity(event, &state->layout, context) : 0;
	event->mode = read_mode(task);
	if (result == 1)
		note_check(witness, event, hash);
	else
		witness->good = 0, witness->checked = 1;
	event_send(event, witness->demanded && !witness->good && !witness->verdict);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(openssl_result_entry, __u64 session)
{
	if (nobody_is_waiting())
		return 0;
	struct task *task = task_make();
	if (!task)
		return 0;
	task->asked = session;
	task->library = library_index(ctx, OPENSSL_WITHOUT_COOKIES);
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(openssl_result_return, long result)
{
	struct task *task = task_find();
	if (!task || !task->asked)
		return 0;
	__u64 flow_id = flow_of_session(task->asked, task->library);
	task->asked = 0;
	if (!flow_id)
		return 0;
	struct witness *witness = witness_of(flow_id);
	struct witness_event *event = event_start(flow_id, WITNESS_OPENSSL, WITNESS_RESULT, 1, (__u32)result);
	if (event)
		event_send(event, witness && witness->demanded && !witness->good && !witness->verdict);
	return 0;
}

/* ---- GnuTLS ----------------------------------------------------------------------------------------------- */

SEC("uprobe")
int BPF_KPROBE(gnutls_handshake_entry, __u64 session)
{
	return handshake_start(session, library_index(ctx, GNUTLS_WITHOUT_COOKIES), PT_REGS_IP(ctx));
}

SEC("uretprobe")
int BPF_KRETPROBE(gnutls_handshake_return, int result)
{
	struct task *task = task_find();
	if (!task || !task->handshake)
		return 0;
	if (result == 0)
		handshake_is_done(task, WITNESS_GNUTLS);
	task->handshake = 0;
	task->flow_id = 0;
	return 0;
}

#define GNUTLS_X509_FMT_DER 0

/*
 * gnutls_x509_crt_import(gnutls_x509_crt_t, const gnutls_datum_t *, format); gnutls_datum_t is { data, size }. The peer's
 * own certificate is read in the handshake, its whole chain for the check; nothing else is in either.
 */
SEC("uprobe")
int BPF_KPROBE(gnutls_import_certificate, __u64 certificate, __u64 datum, __u32 format)
{
	struct task *task = task_find();
	if (!task || format != GNUTLS_X509_FMT_DER || !(task->handshake || task->check))
		return 0;
	__u64 flow_id = task->check ? task->checked_flow : flow_of_task(task);
	__u64 der = flow_id ? read_word(datum) : 0;
	__u32 length = der ? read_int(datum + 8, 0) : 0;
	if (length)
		tell_certificate(flow_id, der, length);
	return 0;
}

static __always_inline int gnutls_check_start(void *ctx, __u64 session, __u64 name, __u64 status)
{
	if (nobody_is_waiting())
		return 0;
	struct task *task = task_make();
	if (!task)
		return 0;
	if (task->check && task->check_depth && task->check_depth < CHAINED_CHECKS_MAX && task->check == session) {
		task->check_depth++; /* the variants call one another */
		return 0;
	}
	task->check = session;
	task->check_depth = 1;
	task->checked_flow = flow_of_session(session, library_index(ctx, GNUTLS_WITHOUT_COOKIES));
	struct witness *witness = task->checked_flow ? witness_of(task->checked_flow) : 0;
	if (witness)
		witness->certificates = 0; /* they come again, now all of them */
	task->name = name;
	task->status = status;
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(gnutls_verify2_entry, __u64 session, __u64 status)
{
	return gnutls_check_start(ctx, session, 0, status);
}

SEC("uprobe")
int BPF_KPROBE(gnutls_verify3_entry, __u64 session, __u64 name, __u64 status)
{
	return gnutls_check_start(ctx, session, name, status);
}

#define TYPED_DNS_HOSTNAME 1 /* GNUTLS_DT_DNS_HOSTNAME */
#define TYPED_DATA_MAX 4

/* gnutls_certificate_verify_peers(session, gnutls_typed_vdata_st *, elements, status); { type, data, size } of 24 bytes */
SEC("uprobe")
int BPF_KPROBE(gnutls_verify_entry, __u64 session, __u64 data, __u32 elements, __u64 status)
{
	__u64 name = 0;
	for (__u32 i = 0; i < TYPED_DATA_MAX && i < elements; i++) {
		if (read_int(data + i * 24, 0) == TYPED_DNS_HOSTNAME)
			name = read_word(data + i * 24 + 8);
	}
	return gnutls_check_start(ctx, session, name, status);
}

SEC("uretprobe")
int BPF_KRETPROBE(gnutls_verify_return, int result)
{
	struct task *task = task_find();
	if (!task || !task->check || !task->check_depth)
		return 0;
	if (--task->check_depth > 0)
		return 0;
	__u64 flow_id = task->checked_flow;
	task->check = 0;
	struct witness *witness = flow_id ? witness_of(flow_id) : 0;
	if (!witness)
		return 0;
	__u32 error = result < 0 ? WITNESS_ERROR_UNKNOWN : read_int(task->status, WITNESS_ERROR_UNKNOWN);
	struct witness_event *event = event_start(flow_id, WITNESS_GNUTLS, WITNESS_CHAIN, result, error);
	if (!event)
		return 0;
	__u64 hash = task->name ? read_name(event, task->name) : 0;
	note_check(witness, event, hash);
	event_send(event, witness->demanded && !witness->good && !witness->verdict);
	return 0;
}

/* gnutls_x509_crt_check_hostname2(certificate, name, flags): on its own, behind a check of the chain. */
SEC("uprobe")
int BPF_KPROBE(gnutls_hostname_entry, __u64 certificate, __u64 name)
{
	struct task *task = task_find();
	if (task && !task->check)
		task->asked = name;
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(gnutls_hostname_return, int result)
{
	struct task *task = task_find();
	if (!task || !task->asked)
		return 0;
	__u64 name = task->asked, flow_id = task->checked_flow;
	task->asked = 0;
	struct witness *witness = flow_id ? witness_of(flow_id) : 0;
	if (!witness)
		return 0;
	/* which certificate it was cannot be told here: the agent holds the name against the flow's own */
	struct witness_event *event = event_start(flow_id, WITNESS_GNUTLS, WITNESS_NAME, result, 0);
	if (!event)
		return 0;
	read_name(event, name);
	event_send(event, witness->demanded);
	return 0;
}

/* ---- the trial -------------------------------------------------------------------------------------------- */

/* Does nothing: whether a uretprobe is survived by a process under seccomp. */
SEC("uretprobe")
int BPF_KRETPROBE(witness_trial)
{
	return 0;
}
