#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
# In place of tools/test_ca.sh, in the guest: the authority was made outside, where openssl is. test_ca.sh DIR
set -eu
mkdir -p "$1"
cp /tls/*.pem /tls/*.key "$1/"
