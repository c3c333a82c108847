#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# What the agent costs on this machine, in one run: prints it, and writes it to build/bench.json. Everything happens on
# the loopback interface of a network namespace and in cgroups of its own. (root; needs the agent, the CLI and the
# programs of tools/bench)
#
# ROUNDS may be set, FLOWS (tools/bench/scale.sh), READ_SESSIONS (tools/bench/read.sh), and SESSIONS and HANDSHAKES: how
# many a sample has, else as many as the machine does in SAMPLE_MS.
set -eu

cd "$(dirname "$0")/.."
build=$(realpath "${BUILD:-build}")
bench=$build/bench
rounds=${ROUNDS:-10}
sessions=${SESSIONS:-2000}
handshakes=${HANDSHAKES:-200} # of each process
SAMPLE_MS=1200
# shellcheck source=tools/bench/scale.sh
. tools/bench/scale.sh
name=smtpward-bench-$$
server=192.0.2.1 # not in 127.0.0.0/8, where the policy demands nothing: each session in clear is a finding
remote_port=587  # of the server with TLS
remote_name=server.example
senders=$(($(nproc) < 2 ? 1 : 2)) # processes with TLS

fail() {
	printf 'bench: %s\n' "$*" >&2
	[ ! -s "${scratch:-}/agent.out" ] || cat "$scratch/agent.out" >&2
	exit 1
}

skip() {
	printf 'bench: skipped: %s\n' "$*" >&2
	exit 77
}

[ "$(id -u)" = 0 ] || skip "it makes network namespaces and loads BPF programs, and so must run as root"
for program in smtpwardd smtpward bench/packet bench/run_time bench/handshakes bench/flows bench/latency; do
	[ -x "$build/$program" ] || fail "$build/$program is not built"
done

scratch=$(mktemp -d /tmp/smtpward-bench-XXXXXX)
chmod 711 "$scratch" # the agent's user has the syslog socket to find there
own_mount='' mount='' agent='' sink='' remote=''

end() {
	[ -z "$agent" ] || kill "$agent" 2> /dev/null || true
	[ -z "$sink" ] || kill "$sink" 2> /dev/null || true
	[ -z "$remote" ] || kill "$remote" 2> /dev/null || true
	wait 2> /dev/null || true
	ip netns delete "$name" 2> /dev/null || true
	[ -z "$mount" ] || rmdir "$mount/$name"-{watched,empty,sink,agent} 2> /dev/null || true
	[ -z "$own_mount" ] || umount "$own_mount" 2> /dev/null || true
	rm -rf "$scratch"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

make_cgroups() {
	mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	if [ -z "$mount" ]; then
		own_mount=$scratch/cgroup2
		mount=$own_mount
		mkdir "$mount"
		mount -t cgroup2 none "$mount"
	fi
	mkdir "$mount/$name"-{watched,empty,sink,agent}
}

make_network() {
	ip netns add "$name"
	ip -n "$name" link set lo up
	ip -n "$name" addr add "$server/32" dev lo
	# some hundred thousand connections to one port: enough ports, and used again after a second
	nsenter --net="/run/netns/$name" sh -c 'echo 1024 65535 > /proc/sys/net/ipv4/ip_local_port_range
		echo 1 > /proc/sys/net/ipv4/tcp_tw_reuse'
}

# Postfix's load generator, unpacked but not installed.
fetch_load_generator() {
	tools/mta_root.sh fetch "$bench/postfix" postfix
	rm -rf "$bench/root"
	mkdir "$bench/root"
	for archive in "$bench"/postfix/archives/*.deb; do
		dpkg-deb -x "$archive" "$bench/root"
	done
	local run=(env "LD_LIBRARY_PATH=$bench/root/usr/lib/postfix")
	send=("${run[@]}" "$bench/root/usr/sbin/smtp-source" -s 10)
	receive=("${run[@]}" "$bench/root/usr/sbin/smtp-sink" -u nobody "$server:25" 1000)
}

# become WHO COMMAND ...: in that cgroup, and in the namespace
become() {
	echo 0 > "$mount/$name-$1/cgroup.procs"
	shift
	exec nsenter --net="/run/netns/$name" "$@"
}

# wait_for WHAT COMMAND ...: until the command succeeds
wait_for() {
	local what=$1
	shift
	for _ in $(seq 400); do
		! "$@" > /dev/null 2>&1 || return 0
		sleep 0.05
	done
	fail "$what"
}

smtpward() { "$build/smtpward" -s "$scratch/control.sock" "$@"; }
status() { smtpward -j status | tr -d ' \n' | sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }
# status_in OBJECT KEY: a number in an object without others inside
status_in() { smtpward -j status | tr -d ' \n' | sed -n "s/.*\"$1\":{[^{}]*\"$2\":\([0-9.]*\).*/\1/p"; }

# start_agent MODE [YAML [SYSLOG]]: with these lines of configuration besides, and these of the syslog
start_agent() {
	cat > "$scratch/smtpward.yaml" <<- EOF
		mode: $1
		on_exit: detach
		cgroup: $mount/$name-watched
		control_socket: $scratch/control.sock
		journal: off
		syslog: {${3:-enabled: false}}
		file:
		  path: $scratch/alerts
		privileges:
		  user: nobody
		metrics:
		  enabled: false
		${2:-}
	EOF
	(echo 0 > "$mount/$name-agent/cgroup.procs" &&
		exec "$build/smtpwardd" -f -c "$scratch/smtpward.yaml" > "$scratch/agent.out" 2>&1) &
	agent=$!
	until smtpward status > /dev/null 2>&1; do
		kill -0 "$agent" 2> /dev/null || no_agent
		sleep 0.05
	done
}

# It has said why on its standard error.
no_agent() {
	local code=0
	wait "$agent" || code=$?
	agent=''
	case $code in
	69 | 77) skip "$(cat "$scratch/agent.out")" ;; # this kernel cannot; this user may not
	esac
	fail "the agent does not start"
}

stop_agent() {
	lost=$((lost + $(status events_lost)))
	kill "$agent"
	wait "$agent" || fail "the agent failed"
	agent=''
}

# The agent has read the end of that many sessions.
all_is_read() { [ "$(status flows_closed)" -ge "$1" ] && [ "$(status used)" = 0 ]; }

# wait_for_agent SESSIONS
wait_for_agent() {
	local seen
	for _ in $(seq 400); do
		! all_is_read "$1" || return 0
		sleep 0.05
	done
	seen="$(status flows_closed) sessions closed, $(status used) bytes in the ring"
	fail "the agent has not seen all of $1 sessions: $seen"
}

# cpu_us WHO ...: the user and system time of these cgroups, in microseconds
cpu_us() {
	for who in "$@"; do cat "$mount/$name-$who/cpu.stat"; done | awk '$1 == "usage_usec" { sum += $2 } END { printf "%d", sum }'
}

# send_mail: one sample. Sets elapsed, in nanoseconds.
send_mail() {
	local from
	from=$(date +%s%N)
	(become watched "${send[@]}" -m "$sessions" "$server:25") || fail "smtp-source failed"
	elapsed=$(($(date +%s%N) - from))
}

# A smaller sample would measure how the programs start, and a larger one takes long on a slow machine.
choose_sessions() {
	send_mail # in which the sink grows to its size
	[ -z "${SESSIONS:-}" ] || return 0
	send_mail
	sessions=$((sessions * SAMPLE_MS * 1000 / (elapsed / 1000)))
}

# sample MODE: appends sessions a second, and what each costs in all, to the files of that mode
sample() {
	local cpu agent_cpu
	cpu=$(cpu_us watched sink agent)
	agent_cpu=$(cpu_us agent)
	send_mail
	[ -z "$agent" ] || wait_for_agent "$sessions"
	cpu=$(($(cpu_us watched sink agent) - cpu))
	agent_cpu=$(($(cpu_us agent) - agent_cpu))
	awk -v n="$sessions" -v ns="$elapsed" 'BEGIN { printf "%.1f\n", n * 1e9 / ns }' >> "$scratch/$1"
	awk -v n="$sessions" -v us="$cpu" 'BEGIN { printf "%.2f\n", us / n }' >> "$scratch/$1.cpu"
	awk -v n="$sessions" -v us="$agent_cpu" 'BEGIN { printf "%.2f\n", us / n }' >> "$scratch/$1.agent"
}

measure_off() { sample off; }

measure_monitor() {
	start_agent monitor
	sample monitor
	[ "$(status cleartext-mail)" -ge "$sessions" ] || fail "not every session was a finding"
	stop_agent
}

measure_block() {
	start_agent block "policy: {default: {require: encrypted, action: block}, rules: [{to: $server, require: none}]}"
	sample block
	[ "$(status flows_blocked)" = 0 ] || fail "a flow was blocked that the policy permits"
	stop_agent
}

# Round by round, in turning order: what else the machine does, and what the run before left, meet all three alike.
measure_sessions() {
	local orders=("off monitor block" "monitor block off" "block off monitor")
	for ((round = 0; round < rounds; round++)); do
		for mode in ${orders[round % 3]}; do
			"measure_$mode"
		done
	done
}

# BPF statistics cost time themselves, so this is a run of its own.
measure_kernel_time() {
	start_agent monitor
	(become watched "$bench/run_time" "$mount/$name-watched" "${send[@]}" -m "$sessions" "$server:25") > "$scratch/kernel"
	stop_agent
}

measure_packets() {
	start_agent monitor
	nsenter --net="/run/netns/$name" "$bench/packet" "$mount/$name-watched" "$mount/$name-empty" > "$scratch/packets"
	[ "$(status segments_parsed)" -gt 10000 ] || fail "the agent has not read the commands"
	stop_agent
}

# ---- handshakes ----

# A server elsewhere has a library of its own, that no probe is on: a copy, under names that the agent does not look for.
start_remote() {
	local library path
	tools/test_ca.sh "$scratch/ca" "$remote_name"
	mkdir "$scratch/remote"
	ldd "$bench/handshakes" | awk '$1 ~ /^lib(ssl|crypto)\./ { print $1, $3 }' > "$scratch/libraries"
	while read -r library path; do
		cp -L "$path" "$scratch/remote/remote-$library"
		ln -s "remote-$library" "$scratch/remote/$library"
	done < "$scratch/libraries"
	become sink env "LD_LIBRARY_PATH=$scratch/remote" "$bench/handshakes" serve "$server" "$remote_port" \
		"$scratch/ca/good.pem" "$scratch/ca/good.key" &
	remote=$!
	wait_for "the server with TLS does not start" \
		nsenter --net="/run/netns/$name" bash -c ": < /dev/tcp/$server/$remote_port"
}

# shake_hands chain|name PROCESSES [COMMAND ...]: prints handshakes a second; the command is what runs the senders
shake_hands() {
	local checks=$1 processes=$2
	shift 2
	(become watched "$@" "$bench/handshakes" send "$checks" "$processes" "$handshakes" "$server" "$remote_port" \
		"$scratch/ca/ca.pem" "$remote_name") || fail "a session with TLS failed"
}

choose_handshakes() {
	[ -z "${HANDSHAKES:-}" ] || return 0
	shake_hands name "$senders" > "$scratch/rate"
	handshakes=$(awk -v ms="$SAMPLE_MS" -v n="$senders" '{ printf "%d", $1 * ms / 1000 / n }' "$scratch/rate")
}

# start_agent_for_tls MODE WITNESS [YAML]
start_agent_for_tls() {
	start_agent "$1" "identity: {witness: $2, trust: $scratch/ca/ca.pem}${3:+
$3}"
}

# Whether this kernel can have a witness; else there is nothing to compare.
can_witness() {
	start_agent_for_tls monitor true
	smtpward -j status | tr -d ' \n' | grep -q '"witness":{"enabled":true,"active":true'
	local code=$?
	stop_agent
	return "$code"
}

# stop_agent_for_tls OUTCOME PROCESSES: all sessions had it
stop_agent_for_tls() {
	local all=$(($2 * (handshakes + 1)))
	wait_for_agent "$all"
	[ "$(status_in outcomes "$1")" = "$all" ] || fail "not all of $all sessions were $1: $(smtpward -j status)"
	stop_agent
}

# sample_handshakes SETTING: appends handshakes a second, and CPU time of the senders and of the agent
sample_handshakes() {
	local n=$((senders * handshakes)) sender_cpu agent_cpu
	sender_cpu=$(cpu_us watched)
	agent_cpu=$(cpu_us agent)
	shake_hands name "$senders" >> "$scratch/tls.$1"
	[ -z "$agent" ] || wait_for_agent $((n + senders))
	sender_cpu=$(($(cpu_us watched) - sender_cpu))
	agent_cpu=$(($(cpu_us agent) - agent_cpu))
	awk -v n="$n" -v us="$sender_cpu" 'BEGIN { printf "%.2f\n", us / n }' >> "$scratch/tls.$1.sender"
	awk -v n="$n" -v us="$agent_cpu" 'BEGIN { printf "%.2f\n", us / n }' >> "$scratch/tls.$1.agent"
}

handshakes_off() { sample_handshakes off; }

handshakes_wire() {
	start_agent_for_tls monitor false
	sample_handshakes wire
	stop_agent_for_tls encrypted "$senders"
}

handshakes_witness() {
	start_agent_for_tls monitor true
	sample_handshakes witness
	stop_agent_for_tls verified "$senders"
}

measure_handshakes() {
	local orders=("off wire witness" "wire witness off" "witness off wire")
	for ((round = 0; round < rounds; round++)); do
		for setting in ${orders[round % 3]}; do
			"handshakes_$setting"
		done
	done
}

# The runs of this agent's own uprobes, and their time in nanoseconds: another agent may run here.
witness_runs() {
	local id
	awk '$1 == "prog_id:" { print $2 }' "/proc/$agent"/fdinfo/* | sort -u | while read -r id; do
		PATH=$PATH:/usr/sbin bpftool -j prog show id "$id"
		echo
	done | awk '
		function number(key) {
			if (!match($0, "\"" key "\":[0-9]+"))
				return 0
			return substr($0, RSTART + length(key) + 3, RLENGTH - length(key) - 3)
		}
		/"name":"(openssl|gnutls)_/ { runs += number("run_cnt"); ns += number("run_time_ns") }
		END { printf "%d %d\n", runs, ns }'
}

# Hits a handshake, and nanoseconds that a hit is in its program: a run of its own, for the statistics cost time. They are
# on for as long as run_time runs. The probes are on the file: whoever else uses it meanwhile is counted, too.
measure_hits() {
	start_agent_for_tls monitor true
	shake_hands name "$senders" "$bench/run_time" "$mount/$name-watched" > /dev/null
	wait_for_agent $((senders * (handshakes + 1)))
	witness_runs | awk -v n=$((senders * (handshakes + 1))) '$1 { printf "%.2f %.0f\n", $1 / n, $2 / $1 }' > "$scratch/hits"
	[ -s "$scratch/hits" ] || fail "no probe of the witness was hit"
	stop_agent_for_tls verified "$senders"
}

# What waits for the agent: the sender looks for no name in the certificate, so the agent has to. One process, which leaves
# a CPU to the agent. The quantiles are the upper ends of the agent's ranges, not times that were measured.
measure_verdict() {
	start_agent_for_tls block true "policy: {rules: [{to: $server, require: verified, undecided: block}]}"
	shake_hands chain 1 > /dev/null
	wait_for_agent $((handshakes + 1))
	[ "$(status flows_blocked)" = 0 ] || fail "a flow was blocked whose server is verified"
	[ "$(status_in verdict_ms count)" -gt "$handshakes" ] || fail "the agent was not asked about every session"
	for part in verdict_ms hold_ms; do
		printf '%s %g %g %d\n' "$part" "$(status_in $part p50)" "$(status_in $part p99)" "$(status_in $part count)"
	done > "$scratch/verdict"
	stop_agent_for_tls verified 1
}

# ---- what came of it ----

# median FORMAT: of the lines read
median() {
	sort -n | awk -v format="$1" '{ v[NR] = $1 }
		END { m = int((NR + 1) / 2); printf format, NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2 }'
}
# medians FORMAT PREFIX SUFFIX NAME ...: of the files PREFIX NAME SUFFIX, as JSON
medians() {
	local format=$1 prefix=$2 suffix=$3
	shift 3
	for name_of in "$@"; do
		printf '"%s":%s\n' "$name_of" "$(median "$format" < "$scratch/$prefix$name_of$suffix")"
	done | paste -sd ,
}
# modes FORMAT [SUFFIX]: the medians of the three modes as JSON
modes() { medians "$1" '' "${2:-}" off monitor block; }
# ratio FILE FILE: the median of the rounds' ratios
ratio() { paste "$scratch/$1" "$scratch/$2" | awk '{ print $1 / $2 }' | median %.3f; }
# Microseconds that a hit costs the sender: what a handshake takes longer with the witness than without, by hits. In CPU
# time; by the clock, everything else that runs here is in the difference, which is small.
hit_us() {
	paste "$scratch/tls.witness.sender" "$scratch/tls.wire.sender" |
		awk -v hits="$1" '{ print ($1 - $2) / hits }' | median %.2f
}
hit_us_by_clock() {
	paste "$scratch/tls.witness" "$scratch/tls.wire" |
		awk -v n="$senders" -v hits="$1" '{ print (n / $1 - n / $2) * 1e6 / hits }' | median %.2f
}
# The members of bench.json about handshakes, without a kernel for them null.
handshakes_json() {
	if [ ! -s "$scratch/hits" ]; then
		printf '  "%s": null,\n' handshakes_per_s verdict_ms handshake_cpu_us
		return
	fi
	local hits
	read -r hits _ < "$scratch/hits"
	printf '  "handshakes_per_s": {%s,"wire_ratio":%s,"witness_ratio":%s,"hits_per_handshake":%s,"hit_us":%s},\n' \
		"$(medians %.0f tls. '' off wire witness)" "$(ratio tls.wire tls.off)" "$(ratio tls.witness tls.off)" \
		"$hits" "$(hit_us "$hits")"
	printf '  "verdict_ms": {"p50":%s,"p99":%s,"hold_p50":%s,"hold_p99":%s},\n' \
		"$(verdict verdict_ms 2)" "$(verdict verdict_ms 3)" "$(verdict hold_ms 2)" "$(verdict hold_ms 3)"
	printf '  "handshake_cpu_us": {"sender":{%s},"agent":{%s}},\n' \
		"$(medians %.1f tls. .sender off wire witness)" "$(medians %.1f tls. .agent wire witness)"
}
verdict() { awk -v part="$1" -v column="$2" '$1 == part { print $column }' "$scratch/verdict"; }
packet() { awk -v name="$1" -v column="$2" '$1 == name { print $column }' "$scratch/packets"; }
# packets COLUMN: the cases as JSON
packets() { awk -v column="$1" '{ printf "%s\"%s\":%s", separator, $1, $column; separator = "," }' "$scratch/packets"; }

lost=0
make_cgroups
make_network
add_addresses
fetch_load_generator

echo "packets: four cases in turn ..."
measure_packets
measure_scale
# The sink stands for servers elsewhere: the agent does not see its side.
become sink "${receive[@]}" &
sink=$!
wait_for "smtp-sink does not start" nsenter --net="/run/netns/$name" bash -c ": < /dev/tcp/$server/25"
choose_sessions
echo "sessions: $rounds rounds of $sessions, three times each ..."
measure_sessions
measure_kernel_time
start_remote
if can_witness; then
	choose_handshakes
	echo "handshakes: $rounds rounds of $((senders * handshakes)) by $senders processes, three times each ..."
	measure_handshakes
	measure_hits
	measure_verdict
else
	echo "handshakes: this kernel cannot have a witness"
fi

echo "captures: smtpward, Suricata, tshark ..."
tools/bench/read.sh > "$scratch/read" || fail "tools/bench/read.sh failed"

kernel_us=$(awk -v n="$sessions" '{ printf "%.1f", $1 / 1000 / n }' "$scratch/kernel")
agent_us=$(median %.1f < "$scratch/monitor.agent")
cat > "$build/bench.json" << EOF
{
  "packet_ns": {$(packets 2)},
  "sessions_per_s": {$(modes %.0f)},
  "us_per_session": {"kernel":$kernel_us,"agent":$agent_us},
$(handshakes_json)
$(scale_json)
  $(cat "$scratch/read"),
  "lost": $lost,
  "packet_in_ns": {$(packets 3)},
  "cpu_us_per_session": {$(modes %.1f .cpu)}
}
EOF

cat "$build/bench.json"
# line WHAT VALUE AIM: the aim is a condition as awk writes it
line() {
	printf '%-50s %8s  aim %-8s %s\n' "$1" "$2" "$3" "$(awk "BEGIN { print ($2 $3) ? \"met\" : \"missed\" }")"
}
times_empty() { awk -v a="$(packet "$1" 2)" -v b="$(packet empty 2)" 'BEGIN { printf "%.2f", a / b }'; }
line "a packet that is not SMTP, times the empty one" "$(times_empty other)" "<= 1.3"
line "a packet in the TLS phase, times the empty one" "$(times_empty tls)" "<= 1.6"
for mode in off monitor block; do
	sort -n "$scratch/$mode" | awk -v mode="$mode" '{ v[NR] = $1 }
		END { printf "sessions/s, %s: %.0f to %.0f in %d rounds\n", mode, v[1], v[NR], NR }'
done
line "sessions/s, monitor to off (median of rounds)" "$(ratio monitor off)" ">= 0.95"
line "sessions/s, block to off (median of rounds)" "$(ratio block off)" ">= 0.95"
if [ -s "$scratch/hits" ]; then
	line "handshakes/s, no witness to off (median of rounds)" "$(ratio tls.wire tls.off)" ">= 0.98"
	line "handshakes/s, witness to off (median of rounds)" "$(ratio tls.witness tls.off)" ">= 0.95"
	read -r hits hit_ns < "$scratch/hits"
	printf '%-50s %8s\n' "us a hit, by the clock" "$(hit_us_by_clock "$hits")" \
		"ns of a hit in the witness's program" "$hit_ns" \
		"verdicts (p50, p99: upper ends of ranges)" "$(verdict verdict_ms 4)" \
		"sessions held meanwhile (likewise)" "$(verdict hold_ms 4)"
fi
scale_lines
# read_times NAME: how many times as fast smtpward reads a capture
read_times() {
	sed -n "s/.*\"smtpward\":{\"mb_per_s\":\([0-9.]*\).*\"$1\":{\"mb_per_s\":\([0-9.]*\).*/\1 \2/p" "$scratch/read" |
		awk '{ printf "%.1f", $1 / $2; n++ } END { if (!n) print "0" }'
}
line "a capture read, times as fast as Suricata" "$(read_times suricata)" ">= 5"
line "a capture read, times as fast as tshark" "$(read_times tshark)" ">= 50"
line "events lost" "$lost" "== 0"
# Where other programs take part of the CPUs, sessions/s says more of them than of the agent; this holds all the same.
printf '%-50s %8s\n' "CPU time of all, off to monitor" "$(ratio off.cpu monitor.cpu)" \
	"CPU time of all, off to block" "$(ratio off.cpu block.cpu)"
