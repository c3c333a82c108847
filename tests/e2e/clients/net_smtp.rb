# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# Sends the message on standard input with Ruby's net/smtp. Exit 0: the server took it.
# ruby net_smtp.rb HOST PORT must|implicit none|chain+name TRUST FROM TO
require 'net/smtp'

host, port, tls, verify, trust, from, to = ARGV
context = OpenSSL::SSL::SSLContext.new
context.set_params(verify_mode: verify == 'none' ? OpenSSL::SSL::VERIFY_NONE : OpenSSL::SSL::VERIFY_PEER, ca_file: trust,
                   cert_store: nil, verify_hostname: verify != 'none')
smtp = Net::SMTP.new(host, Integer(port))
tls == 'implicit' ? smtp.enable_tls(context) : smtp.enable_starttls(context)
begin
  smtp.start(helo: 'client.example') { |client| client.send_message($stdin.read, from, to) }
  puts 'sent'
rescue OpenSSL::SSL::SSLError, SystemCallError, IOError, Net::ProtocolError => e
  puts "#{e.class}: #{e.message}"
  exit 1
end
