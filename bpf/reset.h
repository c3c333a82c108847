/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Both ends of a blocked flow are reset, with the offending segment for paper: cut behind its TCP header, it goes back to
 * the client as the server's RST, and on to the server as the client's. Routing, NAT, VLAN tags and tunnels are then
 * those of the flow itself; nothing has to be looked up, and no agent is needed.
 *
 * The client takes an RST that has the number it waits for, which its segment acknowledges; the server one whose number
 * is that of the first byte which was not let through (RFC 5961 section 3.2: exactly so). If either is lost, or has been
 * overtaken, the client's next try makes another pair.
 */
#ifndef SMTPWARD_BPF_RESET_H
#define SMTPWARD_BPF_RESET_H

#include "forward_maps.h"

#define TCP_HEADER 20 /* of a reset: without options */
#define TCP_CHECK_AT 16
#define IPV6_HEADER 40

struct reset {
	__u32 ip, tcp;
	__u32 address_sum; /* of the pseudo header (RFC 9293 section 3.1): addresses and protocol */
	__u32 ifindex;
	__u16 source_port, destination_port; /* of the segment, network byte order */
	bool ipv6, ethernet;
	bool unfinished; /* the checksum field holds the pseudo header's sum, and the hardware does the rest */
};

static __always_inline __u16 fold(__u32 sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (__u16)sum;
}

/* Sum of addresses and protocol. ::ffff: before an IPv4 address adds 0xffff, which is 0 in this arithmetic. */
static __always_inline __u32 sum_of_addresses(struct cursor *at)
{
	return fold((__u32)bpf_csum_diff(0, 0, (__be32 *)at->source, 32, 0)) + (__u32)bpf_htons(IPPROTO_TCP);
}

/* CHECKSUM_PARTIAL does not show in a program's context. What the field holds then is known, and a finished checksum is
 * the same once in 65,536; that reset goes to waste, and the client's next try makes another. */
static __always_inline bool checksum_is_unfinished(struct __sk_buff *skb, const struct cursor *at, __u32 address_sum)
{
	__u16 field = 0;
	__u32 length = at->end - at->tcp;
	if (bpf_skb_load_bytes(skb, at->tcp + TCP_CHECK_AT, &field, sizeof(field)))
		return false;
	return field == fold(address_sum + bpf_htons((__u16)length) + bpf_htons((__u16)(length >> 16)));
}

static __always_inline bool swap(struct __sk_buff *skb, __u32 offset, __u32 half)
{
	__u8 bytes[32], swapped[32];
	if (half == 6) {
		if (bpf_skb_load_bytes(skb, offset, bytes, 12))
			return false;
		__builtin_memcpy(swapped, bytes + 6, 6);
		__builtin_memcpy(swapped + 6, bytes, 6);
		return bpf_skb_store_bytes(skb, offset, swapped, 12, 0) == 0;
	}
	if (half == 4) {
		if (bpf_skb_load_bytes(skb, offset, bytes, 8))
			return false;
		__builtin_memcpy(swapped, bytes + 4, 4);
		__builtin_memcpy(swapped + 4, bytes, 4);
		return bpf_skb_store_bytes(skb, offset, swapped, 8, 0) == 0;
	}
	if (bpf_skb_load_bytes(skb, offset, bytes, 32))
		return false;
	__builtin_memcpy(swapped, bytes + 16, 16);
	__builtin_memcpy(swapped + 16, bytes, 16);
	return bpf_skb_store_bytes(skb, offset, swapped, 32, 0) == 0;
}

/* Who sends and who receives change places. What a checksum is made of stays the same. */
static __always_inline bool turn_round(struct __sk_buff *skb, const struct reset *reset)
{
	if (reset->ethernet && !swap(skb, 0, 6))
		return false;
	return reset->ipv6 ? swap(skb, reset->ip + 8, 16) : swap(skb, reset->ip + 12, 4);
}

static __always_inline bool write_tcp(struct __sk_buff *skb, const struct reset *reset, bool to_client, __u32 sequence,
				      __u32 acknowledged)
{
	struct tcphdr tcp = {
		.source = to_client ? reset->destination_port : reset->source_port,
		.dest = to_client ? reset->source_port : reset->destination_port,
		.seq = bpf_htonl(sequence),
		.ack_seq = bpf_htonl(acknowledged),
		.doff = TCP_HEADER / 4,
		.rst = 1,
		.ack = 1,
	};
	__u32 pseudo = reset->address_sum + bpf_htons(TCP_HEADER);
	if (reset->unfinished)
		tcp.check = fold(pseudo);
	else
		tcp.check = (__u16)~fold(fold((__u32)bpf_csum_diff(0, 0, (__be32 *)&tcp, sizeof(tcp), 0)) + fold(pseudo));
	return bpf_skb_store_bytes(skb, reset->tcp, &tcp, sizeof(tcp), BPF_F_RECOMPUTE_CSUM | BPF_F_INVALIDATE_HASH) == 0;
}

/* Cuts off payload and TCP options, and says so in the IP header. Fragments become whole. */
static __always_inline bool cut_off(struct __sk_buff *skb, const struct cursor *at)
{
	__u32 end = at->tcp + TCP_HEADER;
	__u16 zero = 0;
	/* the helper itself looks after segmentation offload and a checksum that is unfinished */
	if (bpf_skb_change_tail(skb, end, 0))
		return false;
	if (at->ipv6) {
		__u16 length = bpf_htons((__u16)(end - at->ip - IPV6_HEADER));
		return bpf_skb_store_bytes(skb, at->ip + 4, &length, 2, 0) == 0 &&
		       (!at->fragment || bpf_skb_store_bytes(skb, at->fragment + 2, &zero, 2, 0) == 0);
	}
	__u16 old_length = bpf_htons(at->ipv4_length), length = bpf_htons((__u16)(end - at->ip));
	__u16 old_fragment = bpf_htons(at->ipv4_fragment), fragment = bpf_htons(at->ipv4_fragment & IPV4_DONT_FRAGMENT);
	return bpf_l3_csum_replace(skb, at->ip + 10, old_length, length, 2) == 0 &&
	       bpf_skb_store_bytes(skb, at->ip + 2, &length, 2, 0) == 0 &&
	       bpf_l3_csum_replace(skb, at->ip + 10, old_fragment, fragment, 2) == 0 &&
	       bpf_skb_store_bytes(skb, at->ip + 6, &fragment, 2, 0) == 0;
}

/*
 * Makes the segment of the client's in skb two resets: one is sent back the way it came (egress: it came from this
 * host's other side, so the reset is taken in as if the server had sent it), and skb becomes the other. client_next:
 * number of the first byte that did not pass. Returns false if the segment is to be dropped instead.
 */
static __always_inline bool reset_both_ends(struct __sk_buff *skb, struct cursor *at, __u32 client_next, bool egress, bool ethernet)
{
	struct reset reset = {
		.ip = at->ip,
		.tcp = at->tcp,
		.ifindex = skb->ifindex,
		.source_port = bpf_htons(at->source_port),
		.destination_port = bpf_htons(at->destination_port),
		.ipv6 = at->ipv6,
		.ethernet = ethernet,
	};
	__u32 acknowledged = at->acknowledged, after = at->sequence + at->length;
	/* behind an AH nobody believes us; a jumbogram's option would say another length than the header; no number, no reset */
	if (at->authenticated || at->jumbo || at->cut || !at->ack)
		return false;
	reset.address_sum = sum_of_addresses(at);
	reset.unfinished = checksum_is_unfinished(skb, at, reset.address_sum);
	if (!cut_off(skb, at))
		return false;
	/* from here on the scratch may be another packet's */
	if (!turn_round(skb, &reset) || !write_tcp(skb, &reset, true, acknowledged, after) ||
	    bpf_clone_redirect(skb, reset.ifindex, egress ? BPF_F_INGRESS : 0))
		return false;
	return turn_round(skb, &reset) && write_tcp(skb, &reset, false, client_next, acknowledged);
}

#endif
