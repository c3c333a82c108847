/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Alerts of each kind in the handshake (RFC 8446 section 6, RFC 5246 section 7.2). Rows of vectors[]. */
/* clang-format off */

#define FAILED_BY_ALERT(byte, number, name_) FAILED_BY_ALERT_AS(byte, number, number, name_)
#define FAILED_BY_ALERT_AS(byte, number, told, name_)                                                                          \
	{ .name = "server-alert-" #number,                                                                             \
	  KNOWN(HANDSHAKE, "the ClientHello is answered with the alert " name_, ALERT_RULES),                          \
	  .steps = { START, C(CLIENT_HELLO), S(ALERT_PLAIN byte) },                                                     \
	  .facts = ACCEPTED | FACT(CLIENT_HELLO) | FACT(SERVER_ALERT), TLS_CODES, .server_alert = told,              \
	  .outcome = OUTCOME_FAILED, .findings = FOUND(TLS_HANDSHAKE_FAILED) },                                        \
	{ .name = "client-alert-" #number,                                                                             \
	  KNOWN(HANDSHAKE, "the client answers the server's TLS 1.2 flight with the alert " name_, ALERT_RULES),       \
	  .steps = { START, C(CLIENT_HELLO), S(SERVER_HELLO CERTIFICATE_12 HELLO_DONE_12), C(ALERT_PLAIN byte) },       \
	  .facts = HELLOS | FACT(CLIENT_ALERT), TLS_CODES, .client_alert = told, .outcome = OUTCOME_FAILED,          \
	  .findings = FOUND(TLS_HANDSHAKE_FAILED) }

	FAILED_BY_ALERT("\x0a", 10, "unexpected_message"),
	FAILED_BY_ALERT("\x14", 20, "bad_record_mac"),
	FAILED_BY_ALERT("\x16", 22, "record_overflow"),
	FAILED_BY_ALERT("\x28", 40, "handshake_failure"),
	FAILED_BY_ALERT("\x2a", 42, "bad_certificate"),
	FAILED_BY_ALERT("\x2b", 43, "unsupported_certificate"),
	FAILED_BY_ALERT("\x2c", 44, "certificate_revoked"),
	FAILED_BY_ALERT("\x2d", 45, "certificate_expired"),
	FAILED_BY_ALERT("\x2e", 46, "certificate_unknown"),
	FAILED_BY_ALERT("\x2f", 47, "illegal_parameter"),
	FAILED_BY_ALERT("\x30", 48, "unknown_ca"),
	FAILED_BY_ALERT("\x31", 49, "access_denied"),
	FAILED_BY_ALERT("\x32", 50, "decode_error"),
	FAILED_BY_ALERT("\x33", 51, "decrypt_error"),
	FAILED_BY_ALERT("\x46", 70, "protocol_version"),
	FAILED_BY_ALERT("\x47", 71, "insufficient_security"),
	FAILED_BY_ALERT("\x50", 80, "internal_error"),
	FAILED_BY_ALERT("\x56", 86, "inappropriate_fallback"),
	FAILED_BY_ALERT("\x5a", 90, "user_canceled"),
	FAILED_BY_ALERT("\x6d", 109, "missing_extension"),
	FAILED_BY_ALERT("\x6e", 110, "unsupported_extension"),
	FAILED_BY_ALERT("\x70", 112, "unrecognized_name"),
	FAILED_BY_ALERT("\x71", 113, "bad_certificate_status_response"),
	FAILED_BY_ALERT("\x73", 115, "unknown_psk_identity"),
	FAILED_BY_ALERT("\x74", 116, "certificate_required"),
	FAILED_BY_ALERT("\x78", 120, "no_application_protocol"),
	FAILED_BY_ALERT_AS("\x00", 0, VECTOR_CLOSE_NOTIFY, "close_notify"),
	{ .name = "server-alert-of-a-warning-and-tls-goes-on",
	  KNOWN(TRAP, "the alert unrecognized_name as a warning before a ServerHello: the handshake goes on", "RFC 6066 section 3"),
	  .steps = { START, C(CLIENT_HELLO), S("\x15\x03\x03\x00\x02\x01\x70"), S(SERVER_HELLO CERTIFICATE_12 HELLO_DONE_12),
		     C(KEY_12 CCS FINISHED_12), S(CCS FINISHED_12), C(APPLICATION), S(APPLICATION) },
	  .facts = ACCEPTED | TLS_UP | FACT(SERVER_ALERT), TLS_CODES, .server_alert = 112, .outcome = OUTCOME_ENCRYPTED },

	{ .name = "accepted-then-reset", KNOWN(HANDSHAKE, "the 220 to STARTTLS, then a reset", NO_STARTTLS), .ending = VECTOR_SERVER_RESETS,
	  .steps = { START }, .facts = ACCEPTED, TLS_CODES, .outcome = OUTCOME_REFUSED, .findings = FOUND(TLS_NOT_STARTED) },
	{ .name = "accepted-then-fin", KNOWN(HANDSHAKE, "the 220 to STARTTLS, then the end of the connection", NO_STARTTLS),
	  .ending = VECTOR_SERVER_CLOSES,
	  .steps = { START }, .facts = ACCEPTED, TLS_CODES, .outcome = OUTCOME_REFUSED, .findings = FOUND(TLS_NOT_STARTED) },
	{ .name = "client-hello-then-reset", KNOWN(HANDSHAKE, "the ClientHello is answered with a reset", OPPORTUNISM),
	  .ending = VECTOR_SERVER_RESETS,
	  .steps = { START, C(CLIENT_HELLO) },
	  .facts = ACCEPTED | FACT(CLIENT_HELLO), TLS_CODES, .outcome = OUTCOME_FAILED, .findings = FOUND(TLS_HANDSHAKE_FAILED) },
	{ .name = "client-hello-then-fin", KNOWN(HANDSHAKE, "the ClientHello is answered with the end of the connection", OPPORTUNISM),
	  .ending = VECTOR_SERVER_CLOSES,
	  .steps = { START, C(CLIENT_HELLO) },
	  .facts = ACCEPTED | FACT(CLIENT_HELLO), TLS_CODES, .outcome = OUTCOME_FAILED, .findings = FOUND(TLS_HANDSHAKE_FAILED) },
	{ .name = "client-hello-then-garbage", KNOWN(HANDSHAKE, "the ClientHello is answered with bytes that are no TLS", OPPORTUNISM),
	  .steps = { START, C(CLIENT_HELLO), S("\x80\xff\x01\x02\x7f\xfe\r\n") },
	  .facts = ACCEPTED | FACT(CLIENT_HELLO) | FACT(SERVER_PLAIN_REPLY), TLS_CODES, .outcome = OUTCOME_FAILED,
	  .findings = FOUND(TLS_HANDSHAKE_FAILED) },
	{ .name = "client-hello-then-plaintext", KNOWN(HANDSHAKE, "the ClientHello is answered with 500, as a server without TLS does", OPPORTUNISM),
	  .steps = { START, C(CLIENT_HELLO), S("500 5.5.1 what is that?\r\n") },
	  .facts = ACCEPTED | FACT(CLIENT_HELLO) | FACT(SERVER_PLAIN_REPLY), TLS_CODES, .outcome = OUTCOME_FAILED,
	  .findings = FOUND(TLS_HANDSHAKE_FAILED) },
	{ .name = "accepted-then-garbage", KNOWN(HANDSHAKE, "the 220 to STARTTLS, then bytes that are neither TLS nor SMTP; the client leaves", NO_STARTTLS),
	  .steps = { START, S("\x80\xff\x01\x02\x7f\xfe garbage\r\n") },
	  .facts = ACCEPTED | FACT(REPLY_INJECTED), TLS_CODES, .outcome = OUTCOME_REFUSED,
	  .findings = FOUND(REPLY_INJECTION) | FOUND(TLS_NOT_STARTED) },
	{ .name = "accepted-then-plaintext-error", KNOWN(HANDSHAKE, "the 220 to STARTTLS, then a plaintext error", NO_STARTTLS),
	  .steps = { START, S("454 4.7.0 TLS not available\r\n"), QUIT, BYE },
	  .facts = ACCEPTED | FACT(REPLY_INJECTED) | LEFT, TLS_CODES, .outcome = OUTCOME_REFUSED,
	  .findings = FOUND(REPLY_INJECTION) | FOUND(TLS_NOT_STARTED) },
	{ .name = "server-finished-never-comes", KNOWN(HANDSHAKE, "TLS 1.2 up to the client's Finished, then silence", OPPORTUNISM),
	  .steps = { START, C(CLIENT_HELLO), S(SERVER_HELLO CERTIFICATE_12 HELLO_DONE_12), C(KEY_12 CCS FINISHED_12) },
	  .facts = HELLOS | FACT(CLIENT_FINISHED), TLS_CODES, .outcome = OUTCOME_FAILED },
