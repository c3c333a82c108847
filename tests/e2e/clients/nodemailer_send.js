// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
// Sends the message on standard input with nodemailer. Exit 0: the server took it. NODE_PATH names its folder.
// node nodemailer_send.js HOST PORT may|must|implicit none|chain+name TRUST FROM TO [USER PASSWORD]
const fs = require('fs');
const nodemailer = require('nodemailer');

const [host, port, tls, verify, trust, from, to, user, pass] = process.argv.slice(2);
const transport = nodemailer.createTransport({
	connectionTimeout: 15000, greetingTimeout: 15000, socketTimeout: 15000,
	host, port: Number(port), name: 'client.example', secure: tls === 'implicit', requireTLS: tls === 'must',
	auth: user ? { user, pass } : undefined,
	tls: { rejectUnauthorized: verify !== 'none', ca: fs.readFileSync(trust) },
});

transport.sendMail({ envelope: { from, to }, raw: fs.readFileSync(0) }).then(
	(info) => console.log('sent:', info.response),
	(error) => {
		console.log(error.code, error.message);
		process.exitCode = 1;
	},
);
