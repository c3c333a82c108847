/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel itself reads of a TLS handshake: the ClientHello's random, for the witness, and the version chosen. */
#ifndef SMTPWARD_BPF_HELLO_H
#define SMTPWARD_BPF_HELLO_H

#include "maps.h"
#include "tls_record.h"

/*
 * Makes the flow known to the witness: by the ClientHello that begins at offset. Before the segment leaves, and so
 * before the library can have an answer to it.
 */
static __always_inline void note_hello(struct __sk_buff *skb, struct flow *flow, __u32 offset)
{
	__u8 head[6];
	__u32 zero = 0;
	struct settings *now = bpf_map_lookup_elem(&settings, &zero);
	struct hello hello = { .flow_id = flow->flow_id, .uid = flow->uid, .pid = flow->pid };
	__u64 key = 0;
	if (bpf_skb_load_bytes(skb, offset, head, sizeof(head)) || head[0] != TLS_HANDSHAKE || head[5] != TLS_CLIENT_HELLO)
		return;
	peer_note(hello.flow_id, flow->enforced && (flow->require == REQUIRE_VERIFIED || flow->min_tls));
	if (!now || !now->witness || flow->hello_key || bpf_skb_load_bytes(skb, offset + HELLO_KEY_AT, &key, sizeof(key)) ||
	    !key || bpf_map_update_elem(&hellos, &key, &hello, BPF_NOEXIST)) /* the same one twice tells nothing */
		return;
	flow->hello_key = key;
	__s64 *open = bpf_map_lookup_elem(&hello_count, &zero);
	if (open)
		__sync_fetch_and_add(open, 1);
}

/* At the flow's end. */
static __always_inline void forget_hello(struct flow *flow)
{
	__u64 key = flow->hello_key;
	__u32 zero = 0;
	__s64 *open;
	if (flow->client.facts & FACT(CLIENT_HELLO))
		peer_forget(flow->flow_id);
	if (!key)
		return;
	flow->hello_key = 0;
	bpf_map_delete_elem(&hellos, &key);
	open = bpf_map_lookup_elem(&hello_count, &zero);
	if (open)
		__sync_fetch_and_add(open, -1);
}

#define SERVER_HELLO_EXTENSIONS 12
#define VERSION_LOWEST 0x0300 /* SSL 3.0 */
#define VERSION_HIGHEST 0x0304 /* TLS 1.3 */

/*
 * Reads the version out of the ServerHello that begins a record at offset (RFC 8446 section 4.1.3): supported_versions if
 * it has that, else legacy_version. A function of its own, for the verifier's sake.
 */
__noinline int server_hello_version(struct __sk_buff *skb, __u32 offset)
{
	__u8 head[44], extension[4], chosen[2];
	__u32 at, end;
	if (bpf_skb_load_bytes(skb, offset, head, sizeof(head)) || head[0] != TLS_HANDSHAKE || head[5] != TLS_SERVER_HELLO)
		return 0;
	__u32 length = head[6] << 16 | head[7] << 8 | head[8];
	if ((__u32)(head[3] << 8 | head[4]) < 4 + length)
		return 0; /* it goes on in another record, and what stands here is not what it seems */
	int version = head[9] << 8 | head[10];
	at = offset + 5 + 4 + 2 + 32 + 1 + head[43] + 2 + 1; /* behind session id, cipher suite, compression method */
	end = offset + 5 + 4 + length;
	if (head[43] > 32)
		return 0;
	if (at + 2 >= end)
		return version;
	at += 2;
	for (int i = 0; i < SERVER_HELLO_EXTENSIONS && at + 4 <= end; i++) {
		if (bpf_skb_load_bytes(skb, at, extension, sizeof(extension)))
			return 0; /* the rest is not here */
		if (extension[0] == 0 && extension[1] == 43)
			return bpf_skb_load_bytes(skb, at + 4, chosen, sizeof(chosen)) ? 0 : chosen[0] << 8 | chosen[1];
		at += 4 + (extension[2] << 8 | extension[3]);
	}
	return at >= end ? version : 0;
}

#endif
