/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The configuration's key "policy". */
#ifndef SMTPWARD_CONFIG_POLICY_H
#define SMTPWARD_CONFIG_POLICY_H

#include <stdbool.h>

#include "config.h"
#include "config_check.h"
#include "config_raw.h"

/*
 * Fills config's default rule and its rules, the built-in ones last; raw is NULL where the file has no policy. Returns
 * false with the message in text->error (or what stood there, if there is no memory); config_free() frees what was
 * filled in.
 */
bool config_take_policy(const struct config_text *text, const struct raw_policy *raw, struct config *config);

#endif
