/* launch.h - minit's fork and what lies between it and exec. */
#ifndef MI_LAUNCH_H
#define MI_LAUNCH_H

#include <sys/types.h>

#include "frame.h"
#include "user.h"

struct mi_launch {
	struct mi_run run; /* cwd is set */
	uint32_t uid, gid, umask;
	uint32_t flags; /* MI_EXEC_* */
	const struct mi_user *user; /* whose further groups and home directory go with these ids; NULL: nobody's */
	const char *device_env; /* texts: further variables, but those whose names RUN has too */
	uint32_t device_env_len;
	int fds[3];	/* become 0 to 2; each is that number already, or above 2. With MI_EXEC_TTY: the same terminal three times */
};

/* What a child that could not become the program says on its start pipe, which ends without a word when it could. */
struct mi_start_error {
	uint32_t step, sys; /* enum mi_step, errno */
};

/* Reads what children need to know; once, at start. */
void mi_launch_init(void);
/* No signal is ignored or handled: what children rely on, but for SIGPIPE. In a container it is so (child.c of the runtime). */
void mi_launch_no_signals(void);

/* The pid, leader of its own session and process group once it is the program; its start pipe in *RET_START_FD, non-blocking. -1 with errno. */
pid_t mi_launch(const struct mi_launch *l, int *ret_start_fd);

/* The exit code by which shells tell that the program could not be executed. */
static inline int mi_exec_failed_code(uint32_t sys)
{
	return sys == 2 /* ENOENT */ ? 127 : 126;
}

#endif
