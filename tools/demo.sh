#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# A scene in two acts, in network namespaces of its own: a mail client, a server that strips STARTTLS, and smtpward.
# Exit code 0: it played as told. (root; needs build/smtpwardd, build/smtpward and build/fault_server)
set -eu

cd "$(dirname "$0")/.."
build=${BUILD:-build}
name=smtpward-demo-$$
server=192.0.2.2
user=alice@example.org
password=Correct-Horse-42

if [ -t 1 ]; then
	bold=$(printf '\033[1m') plain=$(printf '\033[0m')
else
	bold='' plain=''
fi

title() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }
say() { printf '%s\n' "$*"; }
fail() {
	printf '\nThe scene did not play as told: %s\n' "$*" >&2
	[ ! -s "${scratch:-}/agent.out" ] || cat "$scratch/agent.out" >&2
	exit 1
}

[ "$(id -u)" = 0 ] || fail "it makes network namespaces and loads BPF programs, and so must run as root"
for program in smtpwardd smtpward fault_server; do
	[ -x "$build/$program" ] || fail "$build/$program is not built"
done

scratch=$(mktemp -d /tmp/smtpward-demo-XXXXXX)
cgroup='' own_mount='' agent='' listener=''

end() {
	[ -z "$agent" ] || kill "$agent" 2> /dev/null || true
	[ -z "$agent" ] || wait "$agent" 2> /dev/null || true
	[ -z "$listener" ] || kill "$listener" 2> /dev/null || true
	[ -z "$listener" ] || wait "$listener" 2> /dev/null || true
	ip netns delete "$name-client" 2> /dev/null || true
	ip netns delete "$name-server" 2> /dev/null || true
	[ -z "$cgroup" ] || rmdir "$cgroup" 2> /dev/null || true
	[ -z "$own_mount" ] || umount "$own_mount" 2> /dev/null || true
	rm -rf "$scratch"
}
trap end EXIT
trap 'exit 130' INT TERM HUP

# A cgroup for the client alone: the agent watches nothing else, and this host's own mail is not touched.
make_cgroup() {
	mount=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/self/mounts)
	if [ -z "$mount" ]; then
		own_mount=$scratch/cgroup2
		mount=$own_mount
		mkdir "$mount"
		mount -t cgroup2 none "$mount"
	fi
	cgroup=$mount/$name
	mkdir "$cgroup"
}

make_network() {
	ip netns add "$name-client"
	ip netns add "$name-server"
	ip -n "$name-client" link add veth0 type veth peer name veth0 netns "$name-server"
	ip -n "$name-client" addr add 192.0.2.1/24 dev veth0
	ip -n "$name-server" addr add "$server/24" dev veth0
	for side in client server; do
		ip -n "$name-$side" link set lo up
		ip -n "$name-$side" link set veth0 up
	done
}

# wait_for WHAT COMMAND ...: until the command succeeds
wait_for() {
	what=$1
	shift
	for _ in $(seq 200); do
		! "$@" > /dev/null 2>&1 || return 0
		sleep 0.05
	done
	fail "$what"
}

start_server() {
	tools/test_ca.sh "$scratch"
	nsenter --net="/run/netns/$name-server" "$build/fault_server" --listen "$server:587" --cert "$scratch/server.pem" \
		--key "$scratch/server.key" --log "$scratch/server.log" --behaviour strip --behaviour 'auth=PLAIN LOGIN' \
		> "$scratch/server.out" &
	listener=$!
	wait_for "the server does not start" grep -q ready "$scratch/server.out"
}

start_agent() {
	cat > "$scratch/smtpward.yaml" <<- EOF
		mode: monitor
		on_exit: detach
		cgroup: $cgroup
		control_socket: $scratch/control.sock
		journal: off
		syslog:
		  enabled: false
		file:
		  path: $scratch/alerts
		privileges:
		  user: nobody
		metrics:
		  enabled: false
	EOF
	"$build/smtpwardd" -f -c "$scratch/smtpward.yaml" > "$scratch/agent.out" 2>&1 &
	agent=$!
	wait_for "the agent does not start" "$build/smtpward" -s "$scratch/control.sock" status
}

smtpward() { "$build/smtpward" -s "$scratch/control.sock" "$@"; }

# The mail client: a shell with a socket, which does what a careless one does. Runs in the cgroup and the namespace.
client() {
	(
		echo 0 > "$cgroup/cgroup.procs"
		exec nsenter --net="/run/netns/$name-client" timeout 15 bash -s "$server" "$user" "$password"
	) <<- 'EOF'
		trap '' PIPE
		exec 3<> "/dev/tcp/$1/587"
		expect() {
			while IFS= read -r line <&3; do
				printf '    S: %s\n' "${line%?}"
				case $line in "$1"\ *) return 0 ;; esac
			done
			echo "    the connection is gone: nothing was sent, the mail stays here"
			exit 1
		}
		send() {
			printf '    C: %s\n' "$1"
			printf '%s\r\n' "$1" >&3
		}
		expect 220
		send "EHLO client.example"
		expect 250
		send "AUTH PLAIN $(printf '\0%s\0%s' "$2" "$3" | base64 -w 0)"
		expect 235
		send "MAIL FROM:<$2>"
		expect 250
		send "QUIT"
		expect 221
	EOF
}

# What the server has got since the given line of its record.
server_got() { tail -n "+$1" "$scratch/server.log" | sed -n 's/.*"event":"received".*"data":"\(.*\)"}$/    \1/p'; }

title "The scene"
say "A mail client at 192.0.2.1 submits mail to $server port 587. Somebody on the way strips STARTTLS from the"
say "server's EHLO reply. The client asks for no TLS then and goes on in clear, as many do."
make_cgroup
make_network
start_server
start_agent

title "Act 1: smtpward monitors"
client 2> /dev/null || fail "in monitor mode nothing may be stopped"
server_got 1 > "$scratch/first"
grep -q 'AUTH PLAIN' "$scratch/first" || fail "the server did not get the credential"
say "Whoever reads that line has the password: base64 hides nothing. smtpward has seen it:"
say
wait_for "no finding was raised" sh -c "'$build/smtpward' -s '$scratch/control.sock' -j sessions | grep -q cleartext-auth"
say "\$ smtpward sessions"
smtpward sessions
say
say "\$ smtpward findings"
smtpward findings
! grep -q "$password" "$scratch/alerts" "$scratch/agent.out" || fail "the password is in the agent's output"

title "Act 2: smtpward blocks"
say "\$ smtpward mode block"
smtpward mode block
from=$(($(wc -l < "$scratch/server.log") + 1))
if client 2> /dev/null; then
	fail "the client was not stopped"
fi
wait_for "the server's side did not end" sh -c "tail -n +$from '$scratch/server.log' | grep -q '\"closed\"'"
say
say "All that reached the server this time:"
server_got "$from" | tee "$scratch/second"
! grep -q -e AUTH -e MAIL "$scratch/second" || fail "the server got what should have been stopped"
grep -q EHLO "$scratch/second" || fail "the client did not come as far as the server"
wait_for "no session was told as blocked" sh -c "'$build/smtpward' -s '$scratch/control.sock' -j sessions | grep -q '\"blocked\": *true'"
say
say "\$ smtpward sessions"
smtpward sessions

title "Played as told: exposed in monitor mode, stopped in block mode, and the server has nothing of it."
