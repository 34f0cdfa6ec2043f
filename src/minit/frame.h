/* frame.h - is what came over a descriptor a config, a request? Pure, and all that minit believes of a message. */
#ifndef MI_FRAME_H
#define MI_FRAME_H

#include <stddef.h>

#include "proto.h"

/* A program to run, as texts in the message that was checked: it lives as long as that. Lists are NUL-ended texts. */
struct mi_run {
	const char *argv, *env, *cwd, *key; /* cwd, key: "" if the message names none */
	uint32_t argv_len, env_len;
};

/* MSG holds LEN bytes and is aligned as a struct mi_msg. 0, or an errno that says what is wrong; FDS is the number of descriptors that
 * came along. RET is set for MI_EXEC, its key for MI_ATTACH and MI_FORGET, its cwd for MI_DIAL. */
int mi_check_request(const void *msg, size_t len, unsigned fds, struct mi_run *ret);

/* The same for the config. */
int mi_check_config(const void *config, size_t len, struct mi_run *ret);

#endif
