/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the agent, which has no capability, may ask of the monitor, which has them: a fixed table of operations, each
 * with a request and a reply of fixed size. A message is a header and one of these structs, a packet of its own on a
 * SOCK_SEQPACKET socket; a packet of another size ends the connection. Descriptors go with a reply (SCM_RIGHTS).
 *
 * A new operation is a line in MONITOR_OPERATIONS, its two structs, a handler monitor_do_NAME() in
 * monitor_operations.c, a call for the agent in monitor.c, and a row in docs/privileges.md.
 */
#ifndef SMTPWARD_MONITOR_PROTOCOL_H
#define SMTPWARD_MONITOR_PROTOCOL_H

#include <linux/types.h>

#include "event.h"
#include "policy.h"

#define MONITOR_PATH_SIZE 1040 /* longest path in a message, and NUL; the configuration's texts have 1024 at most */

/*
 * Each lane is a connection and a thread of the monitor's own: what takes long in one holds up no other.
 * quick: answered at once, the agent waits. sockets: nobody waits, each answer comes when it is there.
 * witness: nobody waits, and nothing is answered. files: what may hang on a mount or a name service; somebody waits.
 */
enum monitor_lane { LANE_QUICK, LANE_SOCKETS, LANE_WITNESS, LANE_FILES, LANE_COUNT };

/* clang-format off */
/*       id              name             lane     */
#define MONITOR_OPERATIONS(X) \
	X(START,          start,          LANE_QUICK)   /* load and attach; the ring's map comes with the answer */ \
	X(STARTED,        started,        LANE_QUICK)   /* the agent is at work: tell whoever waits for that */ \
	X(STOP,           stop,           LANE_QUICK)   /* detach */ \
	X(HEARTBEAT,      heartbeat,      LANE_QUICK)   /* the agent's sign of life */ \
	X(COUNTERS,       counters,       LANE_QUICK)   /* the BPF programs' counters */ \
	X(PRIVILEGES,     privileges,     LANE_QUICK)   /* what the monitor may do itself */ \
	X(HOOK,           hook,           LANE_QUICK)   /* what is attached, one a call */ \
	X(WITNESS_STATE,  witness_state,  LANE_QUICK)   /* how the witness is */ \
	X(LIBRARY,        library,        LANE_QUICK)   /* what it watches, one a call */ \
	X(INTERFACE,      interface,      LANE_QUICK)   /* name of an interface that is watched, from its number */ \
	X(CGROUP_PATH,    cgroup_path,    LANE_QUICK)   /* a cgroup's path from its number */ \
	X(SET_MODE,       set_mode,       LANE_QUICK)   /* monitor or block */ \
	X(SET_IDENTITY,   set_identity,   LANE_QUICK)   /* the verdict on a flow's peer */ \
	X(POLICY_BEGIN,   policy_begin,   LANE_QUICK)   /* new rules follow */ \
	X(POLICY_RULE,    policy_rule,    LANE_QUICK)   /* one of them */ \
	X(POLICY_COMMIT,  policy_commit,  LANE_QUICK)   /* they were all: into force */ \
	X(POLICY_AGAIN,   policy_again,   LANE_QUICK)   /* rules that have ended, and cgroups that appeared */ \
	X(OPEN_CONFIG,    open_config,    LANE_FILES)   /* the configuration's file, for reading */ \
	X(USER_ID,        user_id,        LANE_FILES)   /* a user's number from the name, for a policy */ \
	X(DESTROY_SOCKET, destroy_socket, LANE_SOCKETS) /* end a blocked flow */ \
	X(FIND_SOCKET,    find_socket,    LANE_SOCKETS) /* whether a flow is still there */ \
	X(RELEASE_SOCKET, release_socket, LANE_SOCKETS) /* push what was held back */ \
	X(TIDY_SOCKETS,   tidy_sockets,   LANE_SOCKETS) /* let go of network namespaces */ \
	X(WITNESS_SENDER, witness_sender, LANE_WITNESS) /* look at a process's TLS libraries */ \
	X(WITNESS_TIDY,   witness_tidy,   LANE_WITNESS) /* let go of those that nobody maps */ \
	X(OPEN_SINK,      open_sink,      LANE_FILES)   /* the file of JSON lines, for appending */
/* clang-format on */

enum monitor_operation {
#define X(id, name, lane) MONITOR_##id,
	MONITOR_OPERATIONS(X)
#undef X
	MONITOR_OPERATION_COUNT
};

struct monitor_request_header {
	__u32 operation; /* enum monitor_operation */
	__u32 reserved;  /* 0 */
};

/* What comes back: 0 or a negative errno; without a 0 the reply behind it is all zero, but for start's. */
struct monitor_reply_header {
	__u32 operation;
	__s32 result;
};

struct monitor_nothing {
	__u64 reserved; /* 0 */
};

/* ---- requests --------------------------------------------------------------------------------------------- */

#define monitor_start_request monitor_nothing
#define monitor_started_request monitor_nothing
#define monitor_stop_request monitor_nothing
#define monitor_heartbeat_request monitor_nothing
#define monitor_counters_request monitor_nothing
#define monitor_privileges_request monitor_nothing
#define monitor_witness_state_request monitor_nothing
#define monitor_policy_commit_request monitor_nothing
#define monitor_policy_again_request monitor_nothing
#define monitor_open_config_request monitor_nothing
#define monitor_tidy_sockets_request monitor_nothing
#define monitor_witness_tidy_request monitor_nothing
#define monitor_open_sink_request monitor_nothing

struct monitor_hook_request {
	__u64 index;
};

#define monitor_library_request monitor_hook_request

struct monitor_interface_request {
	__u64 ifindex;
};

struct monitor_cgroup_path_request {
	__u64 cgroup_id;
};

struct monitor_set_mode_request {
	__u64 mode; /* enum policy_mode */
};

struct monitor_set_identity_request {
	__u64 flow_id;
	__u64 identity; /* enum identity */
};

struct monitor_policy_begin_request {
	struct policy_rule fallback;
	__u64 count; /* of the rules that follow */
};

struct monitor_policy_rule_request {
	struct policy_key key;
	struct policy_rule rule;
	__s64 until;
	__u64 for_user; /* 1: the scope is a user */
	char cgroup[MONITOR_PATH_SIZE]; /* below the cgroup root; "": the key's scope holds */
};

/* A flow's socket. The event is the agent's copy of what the kernel told. */
struct monitor_destroy_socket_request {
	struct flow_event event;
	__u64 pid; /* release: a process that may have the socket, beside the event's; 0: none */
};

#define monitor_find_socket_request monitor_destroy_socket_request
#define monitor_release_socket_request monitor_destroy_socket_request

struct monitor_user_id_request {
	char name[MONITOR_PATH_SIZE];
};

struct monitor_witness_sender_request {
	__u64 pid;
};

/* ---- replies ---------------------------------------------------------------------------------------------- */

#define monitor_started_reply monitor_nothing
#define monitor_stop_reply monitor_nothing
#define monitor_heartbeat_reply monitor_nothing
#define monitor_set_mode_reply monitor_nothing
#define monitor_set_identity_reply monitor_nothing
#define monitor_policy_begin_reply monitor_nothing
#define monitor_policy_rule_reply monitor_nothing
#define monitor_policy_commit_reply monitor_nothing
#define monitor_policy_again_reply monitor_nothing
#define monitor_open_config_reply monitor_nothing
#define monitor_tidy_sockets_reply monitor_nothing
#define monitor_witness_sender_reply monitor_nothing
#define monitor_witness_tidy_reply monitor_nothing
#define monitor_open_sink_reply monitor_nothing

/* With a 0, the descriptor of the ring's map comes along; else exit_code and problem say what is wrong. */
struct monitor_start_reply {
	__u64 ring_size; /* bytes */
	__s64 exit_code; /* sysexits */
	char problem[256];
	char cgroup[MONITOR_PATH_SIZE]; /* what the hooks are attached to */
};

struct monitor_counters_reply {
	__u64 counters[COUNTER_COUNT];
};

struct monitor_privileges_reply {
	char capabilities[256]; /* "bpf net_admin" */
};

struct monitor_hook_reply {
	char name[40];
	char error[96];
	__u64 attached;
};

struct monitor_interface_reply {
	char name[16];
};

struct monitor_witness_state_reply {
	__u64 enabled, active, outlives_agent, failed;
	char error[160];
};

struct monitor_library_reply {
	char path[256];
	__u64 gnutls, readable;
};

struct monitor_user_id_reply {
	__u64 uid;
};

struct monitor_cgroup_path_reply {
	char path[MONITOR_PATH_SIZE];
};

/* The lane's answers name the flow, since they do not come in order with anything. */
struct monitor_destroy_socket_reply {
	__u64 flow_id;
};

#define monitor_find_socket_reply monitor_destroy_socket_reply
#define monitor_release_socket_reply monitor_destroy_socket_reply

#define MONITOR_MESSAGE_MAX 4096 /* every request and reply with its header; checked where the table is */

/* From the monitor to the agent, a byte each, on a connection of its own. Its end is the monitor's end. */
enum monitor_order { ORDER_STOP = 's', ORDER_RELOAD = 'h' };

#endif
