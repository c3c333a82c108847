/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The texts of the findings about who the server is. */
#include "finding_text.h"

#define IDENTITY_SEVERITY "error where the policy requires verified, else warning; on port 25 info" NOT_REQUIRED
#define AUTHENTICATED "NIST CSF 2.0 PR.AA-03 (services are authenticated)"

const struct finding_text text_CERTIFICATE_UNTRUSTED = {
	.summary = "The server's certificate leads to no trusted authority",
	.meaning = "No chain leads from the server's certificate to an authority that this host trusts: it is self-signed, "
		   "of a private authority, or the server does not send its intermediate certificate. Anybody on the path "
		   "could show such a one.",
	.signature = "A certificate whose chain ends at no trust anchor, by the sender's TLS library (OpenSSL's errors 18 to 21, "
		     "GnuTLS' signer-not-found) or the agent's own check; a sender that trusts it by anchors of its own is believed.",
	.severity = "error where the policy requires verified, else warning; on port 25, or where the sender's library was not heard, "
		    "info" NOT_REQUIRED,
	.first = "See what the server sends: \"smtpward probe HOST\" shows the chain and what is missing of it.",
	.postfix = "Name the authority in smtp_tls_CAfile, or pin the key with \"fingerprint\" in smtp_tls_policy_maps. As a "
		   "server, have the intermediate certificates in smtpd_tls_chain_files.",
	.exim = "Name the authority in the smtp transport's tls_verify_certificates. As a server, put the intermediates into "
		"tls_certificate.",
	.opensmtpd = "Give \"action ... relay ... ca\" the authority's file. As a server, put the intermediates behind the "
		     "certificate that pki names.",
	.msmtp = "Name the authority in tls_trust_file, or pin the certificate with tls_fingerprint.",
	.application = "Give the TLS context the private authority: Python's context.load_verify_locations(), nodemailer's tls.ca. "
		       "Do not switch verification off.",
	.rfc8460 = "certificate-not-trusted",
	.attack = ADVERSARY,
	.control = IN_TRANSIT "; " AUTHENTICATED,
};

const struct finding_text text_CERTIFICATE_NAME_MISMATCH = {
	.summary = "The server's certificate is for another name",
	.meaning = "The certificate does not have the name that was wanted: the policy's, else the one that the sender's library "
		   "was told to check, else the one asked for in the ClientHello. A trusted certificate for another name says "
		   "nothing about this server.",
	.signature = "None of the certificate's subjectAltNames matches the name (RFC 9525), or the sender's library found a "
		     "mismatch (OpenSSL's errors 62 and 64, GnuTLS' unexpected-owner).",
	.severity = IDENTITY_SEVERITY,
	.first = "See the names that the server has: \"smtpward probe HOST\".",
	.postfix = "Use the name that the certificate has as the relayhost, or list it in smtp_tls_policy_maps: \"secure "
		   "match=mail.example.com\".",
	.exim = "Use the certificate's name as the host, or list it in tls_verify_cert_hostnames.",
	.opensmtpd = "Use the certificate's name in the relay's URL.",
	.msmtp = "Set \"host\" to the certificate's name, or tls_host_override.",
	.application = "Connect by the name that the certificate has, not by an address or an alias.",
	.rfc8460 = "certificate-host-mismatch",
	.attack = ADVERSARY,
	.control = IN_TRANSIT "; " AUTHENTICATED,
};

const struct finding_text text_CERTIFICATE_EXPIRED = {
	.summary = "The server's certificate has expired, or is not valid yet",
	.meaning = "A certificate of the chain is outside its time. Mostly a renewal has failed, or it succeeded and the mail "
		   "server was not restarted; otherwise a clock is wrong. Clients that verify do not send mail there.",
	.signature = "notBefore or notAfter of a certificate in the chain, by the sender's TLS library (OpenSSL's errors 9 and 10, "
		     "GnuTLS' expired and not-activated) or the agent's own check.",
	.severity = IDENTITY_SEVERITY,
	.first = "Look at this host's clock; then tell the server's postmaster.",
	.postfix = "As a server, reload Postfix after each renewal.",
	.exim = "Exim reads its certificate for each connection: renew the file.",
	.opensmtpd = "As a server, restart smtpd after each renewal.",
	.msmtp = "It is the server's certificate: tell its postmaster.",
	.application = "It is the server's certificate: tell its postmaster. Do not switch verification off.",
	.rfc8460 = "certificate-expired",
	.attack = ADVERSARY,
	.control = IN_TRANSIT "; " AUTHENTICATED,
};

const struct finding_text text_CERTIFICATE_KEY_WEAK = {
	.summary = "A certificate of the server's has a weak key or signature",
	.meaning = "A key of the chain can be broken (RSA below 2048 bits, EC below 224), or a signature in it stands on MD5 or "
		   "SHA-1, so that a certificate can be forged. Libraries of today refuse such certificates.",
	.signature = "The size of a public key in the chain, or the algorithm of a signature below the trust anchor.",
	.severity = "warning; on port 25 info" NOT_REQUIRED,
	.first = "See the chain: \"smtpward probe HOST\".",
	.postfix = "As a server, make a new key and have it certified. As a client, it is the other side.",
	.exim = "As a server, make a new key and have it certified. As a client, it is the other side.",
	.opensmtpd = "As a server, make a new key and have it certified. As a client, it is the other side.",
	.msmtp = "It is the server's certificate: tell its postmaster.",
	.application = "It is the server's certificate: tell its postmaster.",
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY,
	.control = IN_TRANSIT "; " CONFIGURATION,
};

const struct finding_text text_VERIFICATION_SKIPPED = {
	.summary = "The client went on without a verified server",
	.meaning = "The check of the server's certificate failed, or was never made, and the client sent its mail or its login "
		   "all the same. Whoever can get between the two can do so with any certificate, and reads everything. With "
		   "opportunistic TLS on port 25 that is usual, and better than cleartext; with a password it is not.",
	.signature = "The sender's TLS library reports a failed check, or was told not to insist on it, or was never asked to "
		     "check; then more application data from the client than a QUIT.",
	.severity = IDENTITY_SEVERITY,
	.postfix = "\"smtp_tls_security_level = secure\" for a smarthost, or per destination in smtp_tls_policy_maps; \"dane\" "
		   "where the resolver validates DNSSEC. \"may\" and \"encrypt\" check nothing.",
	.exim = "In the smtp transport set \"tls_verify_hosts = *\"; tls_try_verify_hosts checks, and goes on whatever it finds.",
	.opensmtpd = "Leave \"no-verify\" out of the relay action's tls.",
	.msmtp = "Set \"tls_certcheck on\" and \"tls_trust_file system\".",
	.application = "Python: ssl.create_default_context(), for smtplib checks nothing without it. Node: leave "
		       "rejectUnauthorized alone. PHP: leave verify_peer alone. Java: mail.smtp.ssl.checkserveridentity=true.",
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " SNIFFING,
	.control = IN_TRANSIT "; " AUTHENTICATED "; " CONFIGURATION,
};
