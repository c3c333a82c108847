/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The packet cursor of the TC programs: from a frame to its TCP payload.
 *
 * All that stands in a packet is hostile: every read goes through bpf_skb_load_bytes(), which checks its bounds, and
 * the payload ends where the IP header says, not where the frame does (Ethernet pads short ones).
 */
#ifndef SMTPWARD_BPF_FRAME_H
#define SMTPWARD_BPF_FRAME_H

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "forward.h"

#define VLAN_TAGS_MAX 3 /* in the frame itself; the outermost mostly is in the skb's metadata */
#define EXTENSION_HEADERS_MAX 6

#define ETH_P_QINQ_OLD 0x9100 /* before 802.1ad had a number */

#define IPV4_DONT_FRAGMENT 0x4000
#define IPV4_MORE_FRAGMENTS 0x2000
#define IPV4_FRAGMENT_OFFSET 0x1fff
#define IPV6_FRAGMENT_OFFSET 0xfff8
#define IPV6_MORE_FRAGMENTS 1

struct cursor {
	__u8 source[16], destination[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u16 source_port, destination_port;
	__u32 ip;       /* offset of the IP header */
	__u32 tcp;      /* of the TCP header */
	__u32 fragment; /* of the IPv6 fragment header; 0: none */
	__u32 payload;  /* of the TCP payload */
	__u32 end;      /* where it ends, by the IP header */
	__u32 sequence; /* of the first payload byte */
	__u32 acknowledged;
	__u32 length; /* of the payload */
	__u16 ipv4_fragment; /* that field of an IPv4 header, host byte order */
	__u16 ipv4_length;   /* the same of tot_len */
	bool ipv6;
	bool first_fragment; /* further ones belong to it */
	bool jumbo;          /* the IP header has no length */
	bool authenticated;  /* an AH stands before the TCP header */
	bool syn, ack, fin, rst, urgent;
	bool cut; /* the TCP header is not whole in here: ports and sequence number are known, no more */
};

/* Offset of the IP header, and in *protocol (network byte order) which. 0xffffffff: none. */
static __always_inline __u32 frame_network(struct __sk_buff *skb, __u32 ethernet, __u16 *protocol)
{
	__u32 offset = ethernet;
	if (!ethernet) {
		*protocol = (__u16)skb->protocol;
		return 0;
	}
	if (bpf_skb_load_bytes(skb, offset - 2, protocol, 2))
		return 0xffffffff;
#pragma unroll
	for (int i = 0; i < VLAN_TAGS_MAX; i++) {
		if (*protocol != bpf_htons(ETH_P_8021Q) && *protocol != bpf_htons(ETH_P_8021AD) && *protocol != bpf_htons(ETH_P_QINQ_OLD))
			return offset;
		if (bpf_skb_load_bytes(skb, offset + 2, protocol, 2))
			return 0xffffffff;
		offset += 4;
	}
	return offset;
}

static __always_inline bool frame_ipv4(struct __sk_buff *skb, struct cursor *at)
{
	struct iphdr ip;
	if (bpf_skb_load_bytes(skb, at->ip, &ip, sizeof(ip)) || ip.version != 4 || ip.ihl < 5 || ip.protocol != IPPROTO_TCP)
		return false;
	at->ipv4_fragment = bpf_ntohs(ip.frag_off);
	if (at->ipv4_fragment & IPV4_FRAGMENT_OFFSET)
		return false; /* the first one has told all that can be told */
	at->first_fragment = (at->ipv4_fragment & IPV4_MORE_FRAGMENTS) != 0;
	at->ipv4_length = bpf_ntohs(ip.tot_len);
	at->jumbo = ip.tot_len == 0; /* longer than 64 KiB: a segment that was put together here */
	at->tcp = at->ip + ip.ihl * 4U;
	at->end = at->jumbo ? skb->len : at->ip + at->ipv4_length;
	at->source[10] = at->source[11] = at->destination[10] = at->destination[11] = 0xff;
	__builtin_memcpy(at->source + 12, &ip.saddr, 4);
	__builtin_memcpy(at->destination + 12, &ip.daddr, 4);
	return true;
}

/* Passes over the extension headers (RFC 8200 section 4) from at->tcp on. Returns false if no TCP is to be found. */
static __always_inline bool frame_ipv6_extensions(struct __sk_buff *skb, struct cursor *at, __u8 next)
{
	__u8 head[4]; /* next header; length in units of 8 bytes beyond the first 8; of a fragment, its offset and M */
#pragma unroll
	for (int i = 0; i < EXTENSION_HEADERS_MAX; i++) {
		if (next == IPPROTO_TCP)
			return true;
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS && next != IPPROTO_AH &&
		    next != IPPROTO_FRAGMENT)
			return false;
		if (bpf_skb_load_bytes(skb, at->tcp, head, sizeof(head)))
			return false;
		if (next == IPPROTO_FRAGMENT) {
			if ((head[2] << 8 | head[3]) & IPV6_FRAGMENT_OFFSET)
				return false;
			at->first_fragment = head[3] & IPV6_MORE_FRAGMENTS;
			at->fragment = at->tcp;
			at->tcp += 8;
		} else if (next == IPPROTO_AH) { /* units of 4 bytes beyond the first 8 (RFC 4302 section 2.2) */
			at->authenticated = true;
			at->tcp += (head[1] + 2U) * 4;
		} else {
			at->tcp += (head[1] + 1U) * 8;
		}
		next = head[0];
	}
	return next == IPPROTO_TCP;
}

static __always_inline bool frame_ipv6(struct __sk_buff *skb, struct cursor *at)
{
	struct ipv6hdr ip;
	if (bpf_skb_load_bytes(skb, at->ip, &ip, sizeof(ip)) || ip.version != 6)
		return false;
	at->ipv6 = true;
	at->tcp = at->ip + sizeof(ip);
	at->jumbo = ip.payload_len == 0; /* RFC 2675 */
	at->end = at->jumbo ? skb->len : at->tcp + bpf_ntohs(ip.payload_len);
	__builtin_memcpy(at->source, &ip.saddr, 16);
	__builtin_memcpy(at->destination, &ip.daddr, 16);
	return frame_ipv6_extensions(skb, at, ip.nexthdr);
}

/* The TCP header at at->tcp. Returns false if it contradicts the IP header. */
static __always_inline bool frame_tcp(struct __sk_buff *skb, struct cursor *at)
{
	struct tcphdr tcp = {};
	__u32 offset = at->tcp;
	if (at->end > skb->len || offset + 8 > at->end)
		return false;
	/* RFC 1858: a first fragment may end within the TCP header, but has its ports and sequence number */
	at->cut = offset + sizeof(tcp) > at->end;
	if (at->cut ? bpf_skb_load_bytes(skb, offset, &tcp, 8) : bpf_skb_load_bytes(skb, offset, &tcp, sizeof(tcp)))
		return false;
	at->source_port = bpf_ntohs(tcp.source);
	at->destination_port = bpf_ntohs(tcp.dest);
	at->sequence = bpf_ntohl(tcp.seq);
	if (at->cut) {
		at->payload = at->end;
		return at->first_fragment;
	}
	at->acknowledged = bpf_ntohl(tcp.ack_seq);
	at->syn = tcp.syn;
	at->ack = tcp.ack;
	at->fin = tcp.fin;
	at->rst = tcp.rst;
	at->urgent = tcp.urg;
	at->sequence += tcp.syn; /* the SYN counts one; TCP Fast Open data stands behind it */
	at->payload = offset + tcp.doff * 4U;
	if (tcp.doff < 5)
		return false;
	if (at->payload > at->end) { /* its options go on in the next fragment */
		at->cut = at->first_fragment;
		at->payload = at->end;
		return at->cut;
	}
	at->length = at->end - at->payload;
	return true;
}

/*
 * Reads the packet's headers. ethernet: bytes of the link's header, 0 for an interface that has none. Returns false for
 * what is no TCP segment, or none that any receiver would take.
 */
static __always_inline bool frame_read(struct __sk_buff *skb, __u32 ethernet, struct cursor *at)
{
	__u16 protocol = 0;
	__builtin_memset(at, 0, sizeof(*at));
	at->ip = frame_network(skb, ethernet, &protocol);
	if (at->ip == 0xffffffff)
		return false;
	if (protocol == bpf_htons(ETH_P_IP))
		return frame_ipv4(skb, at) && frame_tcp(skb, at);
	if (protocol == bpf_htons(ETH_P_IPV6))
		return frame_ipv6(skb, at) && frame_tcp(skb, at);
	return false;
}

#endif
