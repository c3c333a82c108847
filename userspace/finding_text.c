/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What each finding means and what to do about it. Written for whoever runs the mail system. */
#include "finding_text.h"

static const struct finding_text text_CLEARTEXT_AUTH = {
	.summary = "A credential was offered to the server without encryption",
	.meaning =
		"The client logged in before TLS was established. Whoever can read the path (a shared network, a "
		"provider, a hijacked route) has the account, or material to guess its password. The account is "
		"named where the mechanism shows it: change its password now, then close the way it leaked. Where "
		"the session says blocked, the command was stopped on this host and the credential never left it.",
	.signature = "The client sends \"AUTH mechanism\" while no TLS handshake has completed on the connection.",
	.severity =
		"critical where the mechanism gives the secret away (PLAIN, LOGIN, XOAUTH2, OAUTHBEARER, or one that "
		"is not known), error where it can be guessed offline (CRAM-MD5, DIGEST-MD5, NTLM, SCRAM), notice "
		"where it reveals no secret (GSSAPI, EXTERNAL); one step lower on port 25; warning at most where "
		"smtpward stopped it" NOT_REQUIRED,
	.postfix = POSTFIX_DEMAND
		" Set \"smtp_sasl_security_options = noplaintext, noanonymous\" and "
		"\"smtp_sasl_tls_security_options = noanonymous\", so that PLAIN and LOGIN are used over TLS only. "
		"For port 465 set \"smtp_tls_wrappermode = yes\" with \"smtp_tls_security_level = encrypt\".",
	.exim = EXIM_DEMAND
		" In each client authenticator set \"client_condition = ${if !eq{$tls_out_cipher}{}}\". "
		"hosts_try_auth goes on without a login where it fails; hosts_require_auth does not. On Debian leave "
		"AUTH_CLIENT_ALLOW_NOTLS_PASSWORDS undefined.",
	.opensmtpd = OPENSMTPD_DEMAND " Credentials belong to \"smtp+tls://\" or \"smtps://\" only.",
	.msmtp = MSMTP_DEMAND
		" Leave \"auth on\": msmtp sends PLAIN or LOGIN without TLS only if \"auth plain\" or \"auth login\" "
		"forces it to.",
	.application = APPLICATION_DEMAND " Where the server has port 465, prefer it: SMTP_SSL in Python, "
		"\"secure: true\" in nodemailer, mail.smtp.ssl.enable=true in Java.",
	.rfc8460 = "none",
	.attack = SNIFFING "; " ADVERSARY,
	.control = IN_TRANSIT "; " CREDENTIALS "; " NHI,
};

static const struct finding_text text_CLEARTEXT_MAIL = {
	.summary = "Mail was handed to the server without encryption",
	.meaning =
		"The client went on to MAIL before TLS was established, so envelope and message were readable and "
		"changeable on the way. The cause says which earlier step failed: read that finding too, since it "
		"decides whether to change this host, the server or the network between.",
	.signature = "The client sends MAIL (or SEND, SOML, SAML) while no TLS handshake has completed.",
	.severity =
		"error on submission ports; warning on port 25, where opportunistic TLS is usual, and where smtpward "
		"stopped it" NOT_REQUIRED,
	.postfix = POSTFIX_DEMAND " For mail to the world at large, \"smtp_tls_security_level = dane\" with "
		"\"smtp_dns_support_level = dnssec\" demands TLS of every domain that publishes TLSA records.",
	.exim = EXIM_DEMAND " To stop the retry in clear after a temporary failure, set "
		"\"tls_tempfail_tryclear = false\".",
	.opensmtpd = OPENSMTPD_DEMAND " Remove any \"smtp+notls://\".",
	.msmtp = MSMTP_DEMAND,
	.application = APPLICATION_DEMAND,
	.rfc8460 = "starttls-not-supported",
	.attack = SNIFFING "; " ADVERSARY,
	.control = IN_TRANSIT,
};

static const struct finding_text text_STARTTLS_MISSING = {
	.summary = "The server does not offer STARTTLS",
	.meaning =
		"The server's reply to EHLO has no STARTTLS keyword. Either the server has no TLS, or the keyword was "
		"removed on the way (stripping), which looks the same from here. A server that offered it before and "
		"no longer does is the suspicious case.",
	.signature = "A complete 2xx reply to EHLO, outside TLS, in which no line after the first is STARTTLS.",
	.severity =
		OFFER_SEVERITY NOT_REQUIRED,
	.first = ASK_SERVER,
	.postfix = POSTFIX_DEMAND,
	.exim = EXIM_DEMAND,
	.opensmtpd = OPENSMTPD_DEMAND,
	.msmtp = MSMTP_DEMAND,
	.application = APPLICATION_DEMAND,
	.rfc8460 = "starttls-not-supported",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_STARTTLS_MASKED = {
	.summary = "The STARTTLS offer was overwritten on the way",
	.meaning =
		"Where STARTTLS should stand, the reply has a keyword of the same length (XXXXXXXA and the like), or "
		"the banner is overwritten with asterisks. Servers do not do this; middleboxes do: a firewall's SMTP "
		"inspection (\"fixup\", ALG), a provider, or an attacker. The client then believes that there is no "
		"TLS.",
	.signature =
		"An eight-letter mask such as XXXXXXXA or XXXXXXXX among the EHLO keywords and no STARTTLS, or a "
		"greeting whose text is '*' or 'X' only.",
	.severity =
		"error: somebody rewrites the dialogue" NOT_REQUIRED,
	.postfix = "Switch off SMTP inspection on the firewall (Cisco: \"no inspect esmtp\", or \"allow-tls\" in its "
		   "policy-map). With a masked banner Postfix itself turns to HELO (smtp_pix_workarounds = "
		   "disable_esmtp): set \"smtp_pix_workarounds =\" to stop that. " POSTFIX_DEMAND,
	.exim = "Switch off SMTP inspection on the firewall. " EXIM_DEMAND,
	.opensmtpd = "Switch off SMTP inspection on the firewall. " OPENSMTPD_DEMAND,
	.msmtp = "Switch off SMTP inspection on the firewall, or use port 465 (\"tls_starttls off\"), where there is "
		 "no offer to mask. " MSMTP_DEMAND,
	.application = "Switch off SMTP inspection on the firewall, or use port 465, where there is no offer to mask. "
		APPLICATION_DEMAND,
	.rfc8460 = "starttls-not-supported",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_EHLO_REFUSED = {
	.summary = "The server refused EHLO and the client fell back to HELO",
	.meaning =
		"With HELO there are no extensions, so there is no STARTTLS. Hardly any server refuses EHLO today; a "
		"middlebox that does so takes TLS away with one line.",
	.signature = "A reply to EHLO that is not 2xx, then HELO from the client.",
	.severity =
		OFFER_SEVERITY NOT_REQUIRED,
	.first = ASK_SERVER,
	.postfix = "Keep \"smtp_always_send_ehlo = yes\" and \"smtp_never_send_ehlo = no\". " POSTFIX_DEMAND,
	.exim = "See that hosts_avoid_esmtp does not name the server. " EXIM_DEMAND,
	.opensmtpd = OPENSMTPD_DEMAND,
	.msmtp = MSMTP_DEMAND,
	.application = "smtplib's ehlo_or_helo_if_needed() falls back by itself: call starttls(), which raises "
		"SMTPNotSupportedError then. " APPLICATION_DEMAND,
	.rfc8460 = "starttls-not-supported",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_STARTTLS_UNUSED = {
	.summary = "The server offered STARTTLS and the client did not ask for it",
	.meaning =
		"Encryption was there for the asking. Almost always this is the client's configuration: TLS off, a "
		"library's default, or an exception that outlived its reason. It is the cheapest finding to mend.",
	.signature = "STARTTLS in the EHLO reply; the client sends MAIL or AUTH before STARTTLS, or without it.",
	.severity =
		"warning" NOT_REQUIRED,
	.postfix = "Look for \"smtp_tls_security_level = none\" or empty, a \"none\" line in smtp_tls_policy_maps, starttls "
		   "in smtp_discard_ehlo_keywords or its address map, and \"-o\" overrides in master.cf. Set at least "
		   "\"may\". \"smtp_tls_note_starttls_offer = yes\" logs such servers. " POSTFIX_DEMAND,
	.exim = "See that hosts_avoid_tls does not match the server. " EXIM_DEMAND,
	.opensmtpd = "Replace \"smtp+notls://\". " OPENSMTPD_DEMAND,
	.msmtp = "\"tls off\" is the default of msmtp. " MSMTP_DEMAND,
	.application = APPLICATION_DEMAND " Remove \"ignoreTLS: true\" in nodemailer and \"SMTPAutoTLS = false\" in "
		"PHPMailer.",
	.rfc8460 = "none",
	.attack = SNIFFING,
	.control = IN_TRANSIT "; " CONFIGURATION,
};

static const struct finding_text text_STARTTLS_REFUSED = {
	.summary = "The server refused STARTTLS",
	.meaning =
		"The client asked for TLS and the answer was 4xx or 5xx. 454 means that the server cannot use its "
		"certificate or key at the moment; a 5xx after an offer is odd and may come from a middlebox. "
		"Opportunistic clients go on in clear, mostly on the same connection.",
	.signature = "STARTTLS from the client, then a 4xx or 5xx reply.",
	.severity =
		TRIED_SEVERITY NOT_REQUIRED,
	.first = ASK_SERVER,
	.postfix = "Tell the server's postmaster. At \"may\" Postfix goes on in clear on the same connection. " POSTFIX_DEMAND,
	.exim = "\"tls_tempfail_tryclear = false\" stops the retry in clear after 4xx; a 5xx is stopped by "
		"hosts_require_tls only. " EXIM_DEMAND,
	.opensmtpd = OPENSMTPD_DEMAND,
	.msmtp = MSMTP_DEMAND,
	.application = "smtplib's starttls() returns the code where it raises nothing: check for 220. "
		APPLICATION_DEMAND,
	.rfc8460 = "starttls-not-supported",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_STARTTLS_UNANSWERED = {
	.summary = "The server never answered STARTTLS",
	.meaning =
		"The client asked for TLS and the connection ended, or went on, without a reply. Something on the way "
		"may drop the command, or the server hangs. Many clients come back without TLS.",
	.signature = "STARTTLS from the client, no reply to it until the end of the connection.",
	.severity =
		TRIED_SEVERITY NOT_REQUIRED,
	.first = ASK_SERVER,
	.postfix = "smtp_starttls_timeout says how long Postfix waits. " POSTFIX_DEMAND,
	.exim = "command_timeout says how long Exim waits. " EXIM_DEMAND,
	.opensmtpd = OPENSMTPD_DEMAND,
	.msmtp = "\"timeout\" says how long msmtp waits. " MSMTP_DEMAND,
	.application = "Treat a timeout as an error, never as a reason to try without TLS. " APPLICATION_DEMAND,
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_STARTTLS_BAD_REPLY = {
	.summary = "The server answered STARTTLS with a code that RFC 3207 does not know",
	.meaning =
		"The only yes to STARTTLS is 220. Other 2xx codes are taken as a yes by many clients (Postfix, Exim, "
		"mutt, Ruby) and as a no by others; what the server then does is undefined. Commonly a middlebox or a "
		"broken server; on a path under attack a way to confuse the client's state.",
	.signature = "STARTTLS from the client, then 1xx, 3xx, or 2xx that is not 220.",
	.severity =
		TRIED_SEVERITY "; notice where TLS came about nevertheless" NOT_REQUIRED,
	.first = ASK_SERVER,
	.postfix = "Tell the server's postmaster. " POSTFIX_DEMAND,
	.exim = "Tell the server's postmaster. " EXIM_DEMAND,
	.opensmtpd = "Tell the server's postmaster. " OPENSMTPD_DEMAND,
	.msmtp = "Tell the server's postmaster. " MSMTP_DEMAND,
	.application = "Start TLS after 220 only, and close the connection otherwise. " APPLICATION_DEMAND,
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_REPLY_INJECTION = {
	.summary = "Bytes followed the server's 220 before TLS began",
	.meaning =
		"After its 220 the server must be silent until the handshake. Bytes behind it, sent in clear, are read "
		"by a careless client as if they had come over TLS: faked replies, faked capabilities (CVE-2020-14954 "
		"in mutt, CVE-2021-22947 in curl). A correct server never does this.",
	.signature = "Further bytes from the server behind the 220 to STARTTLS, before any ClientHello.",
	.severity =
		"error" NOT_REQUIRED,
	.first = "Find out who sends those bytes. " ASK_SERVER,
	.postfix = "Update Postfix, whose client drops what is buffered before TLS.",
	.exim = "Update Exim.",
	.opensmtpd = "Update OpenSMTPD.",
	.msmtp = "msmtp ends such a session.",
	.application = "Throw away everything buffered when TLS starts, and ask EHLO again; or use port 465, where there is "
		       "no such moment. Keep the SMTP library up to date.",
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " MANIPULATION,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_COMMAND_INJECTION = {
	.summary = "Bytes followed the client's STARTTLS before the server answered",
	.meaning =
		"A client must wait for the answer to STARTTLS. Commands pipelined behind it travel in clear, and a "
		"careless server executes them as if they had come over TLS (CVE-2011-0411 and its relatives). Seen "
		"on the sending host, it is that program's own doing: a broken client, or one that is being misused.",
	.signature = "Plaintext from the client between its STARTTLS and its ClientHello.",
	.severity =
		"error" NOT_REQUIRED,
	.postfix = "Postfix as a client never does this: look at which process the session names.",
	.exim = "Exim's early pipelining (hosts_pipe_connect) ends with STARTTLS and is not reported: look at which process the "
		"session names.",
	.opensmtpd = "OpenSMTPD as a client never does this: look at which process the session names.",
	.msmtp = "msmtp never does this: look at which process the session names.",
	.application = "Wait for the 220 before sending anything else. In a program of your own: do not pipeline across "
		       "STARTTLS (RFC 3207 section 4).",
	.rfc8460 = "none",
	.attack = MANIPULATION,
	.control = IN_TRANSIT "; " CONFIGURATION,
};

static const struct finding_text text_TLS_NOT_STARTED = {
	.summary = "STARTTLS was accepted but no TLS handshake followed",
	.meaning =
		"The server said 220 and the client did not begin the handshake but went on in clear. A "
		"client without a working TLS library or certificate store does this, and so does one whose answer "
		"was forged.",
	.signature = "A 2xx reply to STARTTLS, then a plaintext line from the client instead of a ClientHello.",
	.severity =
		TRIED_SEVERITY NOT_REQUIRED,
	.postfix = "Search the log for \"TLS is required, but our TLS engine is unavailable\" and check smtp_tls_CAfile, "
		   "smtp_tls_CApath, smtp_tls_cert_file and their permissions. " POSTFIX_DEMAND,
	.exim = "Search the main log for \"TLS session\" errors; check tls_certificate and tls_privatekey of the transport. " EXIM_DEMAND,
	.opensmtpd = "Check the pki and ca files that smtpd.conf names. " OPENSMTPD_DEMAND,
	.msmtp = "Run \"msmtp --serverinfo --tls=on --host=HOST\". " MSMTP_DEMAND,
	.application = "Look for an exception between starttls() and the handshake that is swallowed. " APPLICATION_DEMAND,
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_TLS_HANDSHAKE_FAILED = {
	.summary = "The TLS handshake did not complete",
	.meaning =
		"A ClientHello was sent and no encrypted session came of it. The alert, where one was seen, says who "
		"gave up and why: unknown_ca, bad_certificate and certificate_expired are about the certificate; "
		"protocol_version and handshake_failure about versions and ciphers. An opportunistic client will "
		"probably try again in clear.",
	.signature = "A ClientHello, then an alert, a plaintext reply or the end of the connection before the "
		     "handshake was complete.",
	.severity =
		TRIED_SEVERITY NOT_REQUIRED,
	.postfix = "\"smtp_tls_loglevel = 1\" says why. Check smtp_tls_mandatory_protocols, smtp_tls_mandatory_ciphers and "
		   "smtp_tls_CAfile or smtp_tls_CApath; \"posttls-finger -l secure -c '[HOST]:25'\" shows the handshake. " POSTFIX_DEMAND,
	.exim = "The main log has the reason. Check tls_require_ciphers, tls_verify_certificates and tls_verify_hosts. Set "
		"\"tls_tempfail_tryclear = false\", or Exim delivers in clear after it.",
	.opensmtpd = "The mail log has the reason. Write \"smtp+tls://\" or \"relay tls\": with \"smtp://\" OpenSMTPD connects "
		     "again in clear.",
	.msmtp = "Check tls_trust_file, tls_priorities and, on a private CA, its file. Do not answer with "
		 "\"tls_certcheck off\".",
	.application = "Give the TLS context the CA that signed the server's certificate (load_verify_locations() in Python, "
		       "tls.ca in nodemailer). Do not switch verification off (rejectUnauthorized: false, CERT_NONE), and "
		       "never retry in clear.",
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY,
	.control = IN_TRANSIT "; NIST CSF 2.0 PR.AA-03 (services are authenticated)",
};

static const struct finding_text text_TLS_FALLBACK = {
	.summary = "After a failed TLS attempt the sender came back in clear",
	.meaning =
		"TLS to this server failed, and the same sender then delivered without it on a new connection. This is "
		"what an attacker who breaks handshakes is after: the mail flows, the log shows success, and nothing "
		"was encrypted. The linked session is the one that failed.",
	.signature = "A session with a failed handshake or STARTTLS, then from the same process or cgroup to the same server "
		     "a session with MAIL or AUTH in clear, within the configured window.",
	.severity =
		"error" NOT_REQUIRED,
	.postfix = "At \"may\" Postfix does this by design once a message is some minutes old. " POSTFIX_DEMAND,
	.exim = "Set \"tls_tempfail_tryclear = false\". " EXIM_DEMAND,
	.opensmtpd = OPENSMTPD_DEMAND,
	.msmtp = "msmtp does not fall back by itself: look for a wrapper that retries with another account. " MSMTP_DEMAND,
	.application = "Look for an exception handler that retries without TLS. " APPLICATION_DEMAND,
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " MONITORING,
};

static const struct finding_text text_PLAINTEXT_ON_TLS_PORT = {
	.summary = "SMTP in clear on a port of implicit TLS",
	.meaning =
		"On this port (465 by default) the first byte belongs to TLS (RFC 8314). Here somebody spoke SMTP in "
		"clear: a client set to STARTTLS or none on the wrong port, a server without its TLS wrapper, or a "
		"middlebox that took TLS off.",
	.signature = "A plaintext greeting or command on a port configured as implicit TLS.",
	.severity =
		TRIED_SEVERITY NOT_REQUIRED,
	.postfix = "For a smarthost on 465 set \"relayhost = [relay.example.com]:465\", \"smtp_tls_wrappermode = yes\" and "
		   "\"smtp_tls_security_level = encrypt\" or \"secure\". As a server, its master.cf entry needs "
		   "\"-o smtpd_tls_wrappermode=yes\".",
	.exim = "In the smtp transport set \"protocol = smtps\" (it implies port 465). As a server, add 465 to "
		"tls_on_connect_ports.",
	.opensmtpd = "Write the relay as \"smtps://label@relay.example.com\". As a server, \"listen on ... smtps pki NAME\".",
	.msmtp = "Set \"tls on\", \"tls_starttls off\" and \"port 465\".",
	.application = "Python: smtplib.SMTP_SSL. Node: nodemailer's \"secure: true\". PHP: PHPMailer::ENCRYPTION_SMTPS. Java: "
		       "mail.smtp.ssl.enable=true.",
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " SNIFFING,
	.control = IN_TRANSIT "; " CONFIGURATION,
};

static const struct finding_text text_TLS_VERSION_WEAK = {
	.summary = "The session uses a TLS version before 1.2",
	.meaning = "TLS 1.0 and 1.1 are retired (RFC 8996): they stand on MD5 and SHA-1. Mail in such a session is better off "
		   "than in clear, but an attacker on the path has more to try. Mostly one side is simply old.",
	.signature = "A ServerHello that chooses TLS 1.1 or older, and application data both ways after it.",
	.severity = "warning" NOT_REQUIRED,
	.postfix = "\"smtp_tls_protocols = >=TLSv1.2\", and the same in smtp_tls_mandatory_protocols. As a server, "
		   "smtpd_tls_protocols and smtpd_tls_mandatory_protocols.",
	.exim = "GnuTLS: \"tls_require_ciphers = NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2\". OpenSSL: "
		"\"openssl_options = +no_sslv3 +no_tlsv1 +no_tlsv1_1\".",
	.opensmtpd = "Its own floor is TLS 1.2 on current systems: it is the other side, or an old libressl.",
	.msmtp = "\"tls_priorities NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2\".",
	.application = "Set the floor in the TLS context: Python's context.minimum_version = ssl.TLSVersion.TLSv1_2, "
		       "nodemailer's tls.minVersion \"TLSv1.2\", Java's mail.smtp.ssl.protocols.",
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " CONFIGURATION,
};

static const struct finding_text text_TLS_CIPHER_WEAK = {
	.summary = "The session uses a weak cipher suite",
	.meaning = "RFC 9325 section 4.1 rules out suites without encryption, of export grade, with RC4, without authentication, "
		   "or with less than 112 bits: such a session is hardly better than cleartext. A suite whose key exchange "
		   "is static RSA is told as information: who gets the server's key later can read all that was recorded.",
	.signature = "A ServerHello that chooses such a suite, and application data both ways after it.",
	.severity = "error; info for static RSA" NOT_REQUIRED,
	.postfix = "\"smtp_tls_ciphers = medium\" or \"high\" and \"smtp_tls_exclude_ciphers = aNULL, eNULL, EXPORT, RC4, 3DES, "
		   "kRSA\"; aNULL is in use at \"may\" and \"encrypt\" unless excluded.",
	.exim = "Set tls_require_ciphers: \"NORMAL:-RSA\" with GnuTLS, \"HIGH:!aNULL:!kRSA\" with OpenSSL.",
	.opensmtpd = "\"smtp ciphers\" for the listener; as a client its library's defaults hold none of these.",
	.msmtp = "tls_priorities, for example \"NORMAL:-RSA\".",
	.application = "Leave the library's default cipher list alone, or set_ciphers(\"HIGH:!aNULL:!kRSA\") where it was changed.",
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " CONFIGURATION,
};

static const struct finding_text text_TLS_DOWNGRADE_SENTINEL = {
	.summary = "The server was offered less TLS than the client offered",
	.meaning = "A server that could do more than the ClientHello it got asked for marks its random value (RFC 8446 section "
		   "4.1.3). The client did offer more: somebody on the way changed its ClientHello. A client that knows "
		   "of the mark ends the handshake.",
	.signature = "DOWNGRD and 01 or 00 as the last eight bytes of ServerHello.random, in answer to a ClientHello that "
		     "offered a higher version.",
	.severity = "error" NOT_REQUIRED,
	.first = ASK_SERVER,
	.postfix = "TLS-inspecting firewalls and their like are the usual cause: have SMTP taken out of inspection.",
	.exim = "Have SMTP taken out of TLS inspection.",
	.opensmtpd = "Have SMTP taken out of TLS inspection.",
	.msmtp = "Have SMTP taken out of TLS inspection.",
	.application = "Have SMTP taken out of TLS inspection.",
	.rfc8460 = "validation-failure",
	.attack = ADVERSARY "; " DOWNGRADE,
	.control = IN_TRANSIT "; " MONITORING,
};

/* A finding without a text, or a text without a finding, does not compile. */
static const struct finding_text *const texts[] = {
#define X(id, name) [FINDING_##id] = &text_##id,
	FINDINGS(X)
#undef X
};

const struct finding_text *finding_text(enum finding finding)
{
	return texts[finding];
}
