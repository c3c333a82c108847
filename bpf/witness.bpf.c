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

#include "task.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

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
		witness->good_for = 0, witness->checked = 1;
	event_send(event, is_awaited(flow_id, witness));
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
		event_send(event, witness && is_awaited(flow_id, witness));
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
	event_send(event, is_awaited(flow_id, witness));
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
