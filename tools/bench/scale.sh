# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# shellcheck shell=bash disable=SC2154
# What happens when there is much of it: flows, sessions a second; and how long an alert and a reset take. Sourced by
# tools/bench.sh, whose functions and variables it uses.
#
# FLOWS may be set: a list of how many flows are held at once.

flow_counts=${FLOWS:-1 1000 100000}
LATENCY_SAMPLES=300
RATE_SECONDS=3
RATE_FIRST=1000

# The server's address and those behind it, for more ports than one address has.
add_addresses() {
	local last=${server##*.}
	for ((i = 1; i < 4; i++)); do
		ip -n "$name" addr add "${server%.*}.$((last + i))/32" dev lo
	done
}

# Kilobytes that the agent's processes have in memory at their peak, without the ring, which is mapped into one of them.
# For a command of `flows hold`: it prints as the flows are held.
# shellcheck disable=SC2016
rss_script='
	for pid in $(cat "$0/cgroup.procs"); do
		awk "/^VmHWM:/ { kb += \$2 } END { print kb }" "/proc/$pid/status"
		awk "/^[0-9a-f]+-[0-9a-f]+ / { ring = /bpf_ringbuf|bpf-map/ } /^Rss:/ && ring { kb -= \$2 } END { print kb + 0 }" \
			"/proc/$pid/smaps"
	done | awk "{ kb += \$1 } END { print \"rss_kb\", kb }"'

# One agent for each number of flows: a peak does not go back.
measure_flows() {
	local flows open
	for flows in $flow_counts; do
		start_agent monitor "identity: {witness: false}"
		(become_watched_later "$bench/flows" hold "$mount/$name-watched" "$server" "$flows" sh -c "$rss_script" "$mount/$name-agent") \
			> "$scratch/flows.$flows" || fail "flows failed"
		open=$(status flows_opened)
		[ "$open" = "$flows" ] || fail "the agent has seen $open flows, not $flows"
		stop_agent
	done
}

# The program enters the watched cgroup by itself, once its servers' sockets are made.
become_watched_later() { exec nsenter --net="/run/netns/$name" "$@"; }

# The program stands for the syslog daemon, so it is there before the agent.
measure_alert() {
	local program
	become_watched_later "$bench/latency" alert "$mount/$name-watched" "$server" "$LATENCY_SAMPLES" "$scratch/log" \
		> "$scratch/alert_ms" &
	program=$!
	wait_for "latency does not start" [ -S "$scratch/log" ]
	start_agent monitor "alerts: {rate: 1000000}" "socket: $scratch/log"
	wait "$program" || fail "latency failed"
	stop_agent
}

measure_reset() {
	start_agent block "policy: {default: {require: encrypted, action: block}}"
	(become_watched_later "$bench/latency" reset "$mount/$name-watched" "$server" "$LATENCY_SAMPLES") > "$scratch/reset_ms" ||
		fail "latency failed"
	[ "$(status flows_blocked)" = "$LATENCY_SAMPLES" ] || fail "not every flow was blocked"
	stop_agent
}

# rate_without_loss SESSIONS-A-SECOND: sets achieved; fails if an event was lost
rate_without_loss() {
	local before after
	before=$(status events_lost)
	achieved=$( (become_watched_later "$bench/flows" rate "$mount/$name-watched" "$server" "$1" "$RATE_SECONDS")) ||
		fail "flows failed"
	after=$(status events_lost)
	[ "$before" = "$after" ]
}

# Faster and faster, until an event is lost or the machine does no more; then between the last two. Sets max_rate and
# max_rate_limit: what it was that gave in.
measure_max_rate() {
	local wanted=$RATE_FIRST good=0 bad=0 tries
	max_rate=0 max_rate_limit=machine
	start_agent monitor "identity: {witness: false}"
	for ((tries = 0; tries < 14; tries++)); do
		if rate_without_loss "$wanted"; then
			good=$wanted
			[ "$achieved" -le "$max_rate" ] || max_rate=$achieved
			[ $((achieved * 10)) -ge $((wanted * 9)) ] || break
		else
			bad=$wanted max_rate_limit=ring
		fi
		[ "$bad" = 0 ] || [ $((bad * 10)) -gt $((good * 11)) ] || break
		wanted=$((bad ? (good + bad) / 2 : wanted * 2))
	done
	kill "$agent" # what was lost here was meant to be
	wait "$agent" || fail "the agent failed"
	agent=''
}

measure_scale() {
	echo "alerts and resets: $LATENCY_SAMPLES of each ..."
	measure_alert
	measure_reset
	echo "flows: $flow_counts at once ..."
	measure_flows
	echo "sessions: as many a second as can be ..."
	measure_max_rate
}

# of_flows FLOWS WHAT COLUMN: a number that was measured with so many flows
of_flows() { awk -v what="$2" -v column="$3" '$1 == what { print $column }' "$scratch/flows.$1"; }

# The members of bench.json.
scale_json() {
	local flows
	printf '  "flows": {'
	printf '%s' "$(for flows in $flow_counts; do
		printf '"%s":{"packet_ns":%s,"turn_ns":%s,"rss_kb":%s,"kernel_bytes_per_flow":%s}\n' "$flows" "$(of_flows "$flows" hot 2)" \
			"$(of_flows "$flows" turn 2)" "$(of_flows "$flows" rss_kb 2)" "$(of_flows "$flows" optmem 2)"
	done | paste -sd ,)"
	printf '},\n'
	awk '{ printf "  \"alert_ms\": {\"p50\":%s,\"p99\":%s},\n", $1, $2 }' "$scratch/alert_ms"
	awk '{ printf "  \"reset_ms\": {\"p50\":%s,\"p99\":%s},\n", $1, $2 }' "$scratch/reset_ms"
	printf '  "max_sessions_per_s": %s,\n' "$max_rate"
}

ratio_of() { awk -v a="$1" -v b="$2" 'BEGIN { printf "%.2f", a / b }'; }

scale_lines() {
	local first last p99
	first=${flow_counts%% *} last=${flow_counts##* }
	line "a hot flow among $last, times that among $first" "$(ratio_of "$(of_flows "$last" hot 2)" "$(of_flows "$first" hot 2)")" "<= 1.3"
	line "$last flows in turn, times a hot one" "$(ratio_of "$(of_flows "$last" turn 2)" "$(of_flows "$last" hot 2)")" "<= 5"
	line "MB of the agent at $last flows" "$(ratio_of "$(of_flows "$last" rss_kb 2)" 1024)" "<= 40"
	read -r _ p99 < "$scratch/alert_ms"
	line "ms from a credential to the syslog line (p99)" "$p99" "<= 5"
	printf '%-50s %8s  (%s)\n' "sessions/s at most without loss" "$max_rate" "the $max_rate_limit gave in"
}
