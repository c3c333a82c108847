# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Sends the message on standard input with Perl's Net::SMTP. Exit 0: the server took it.
# perl net_smtp.pl HOST PORT must|implicit none|chain+name TRUST FROM TO
use strict;
use warnings;
use IO::Socket::SSL;
use Net::SMTP;

my ($host, $port, $tls, $verify, $trust, $from, $to) = @ARGV;
my @ssl = (SSL_ca_file => $trust, SSL_hostname => $host, SSL_verify_mode => SSL_VERIFY_NONE);
push @ssl, SSL_verify_mode => SSL_VERIFY_PEER, SSL_verifycn_scheme => 'smtp', SSL_verifycn_name => $host if $verify ne 'none';

sub refuse {
	print "$_[0]: ", $SSL_ERROR || $@ || $!, "\n";
	exit 1;
}

my $smtp = Net::SMTP->new($host, Port => $port, Hello => 'client.example', SSL => $tls eq 'implicit', Timeout => 15, @ssl)
	or refuse('no connection');
$tls eq 'implicit' or $smtp->starttls(@ssl) or refuse('no TLS');
my $message = do { local $/; <STDIN> };
$smtp->mail($from) && $smtp->to($to) && $smtp->data($message) or refuse('not sent');
$smtp->quit;
print "sent\n";
