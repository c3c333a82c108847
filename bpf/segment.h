/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The packet cursor: from the IP header of a cgroup_skb packet to its TCP payload. */
#ifndef SMTPWARD_BPF_SEGMENT_H
#define SMTPWARD_BPF_SEGMENT_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define EXTENSION_HEADERS_MAX 6

struct segment {
	__u32 sequence; /* of the first payload byte */
	__u32 payload;  /* its offset in the packet */
	__u32 length;   /* of the payload; may be 0 */
	bool syn;
	bool fin;
	bool rst;
	bool urgent; /* URG is set: the urgent byte may be in it */
};

/* Offset of the TCP header, or 0 if there is none to be found. Headers are in the linear part, in both directions. */
static __always_inline __u32 tcp_offset_ipv4(void *data, void *data_end)
{
	struct iphdr *ip = data;
	if ((void *)(ip + 1) > data_end || ip->ihl < 5 || ip->protocol != IPPROTO_TCP)
		return 0;
	return ip->ihl * 4U;
}

static __always_inline __u32 tcp_offset_ipv6(struct __sk_buff *skb, void *data, void *data_end)
{
	struct ipv6hdr *ip = data;
	if ((void *)(ip + 1) > data_end)
		return 0;
	__u8 next = ip->nexthdr;
	__u32 offset = sizeof(*ip);
#pragma unroll
	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		__u8 head[2]; /* next header, and the length in units of 8 bytes beyond the first 8 (RFC 8200 section 4) */
		if (next == IPPROTO_TCP)
			return offset;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_AH)
			return 0;
		if (bpf_skb_load_bytes(skb, offset, head, sizeof(head)))
			return 0;
		/* AH counts units of 4 bytes beyond the first 8 (RFC 4302 section 2.2) */
		offset += next == IPPROTO_AH ? (head[1] + 2U) * 4 : (head[1] + 1U) * 8;
		next = head[0];
	}
	return next == IPPROTO_TCP ? offset : 0;
}

static __always_inline bool segment_read(struct __sk_buff *skb, struct segment *segment)
{
	void *data = (void *)(long)skb->data;
	void *data_end = (void *)(long)skb->data_end;
	struct tcphdr tcp;
	__u32 offset = skb->protocol == bpf_htons(ETH_P_IPV6) ? tcp_offset_ipv6(skb, data, data_end)
							       : tcp_offset_ipv4(data, data_end);
	if (offset == 0 || bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)))
		return false;
	segment->syn = tcp.syn;
	segment->fin = tcp.fin;
	segment->rst = tcp.rst;
	segment->urgent = tcp.urg;
	segment->sequence = bpf_ntohl(tcp.seq) + tcp.syn; /* the SYN counts one; TCP Fast Open data stands behind it */
	segment->payload = offset + tcp.doff * 4U;
	if (segment->payload > skb->len)
		return false;
	segment->length = skb->len - segment->payload;
	return true;
}

#endif
