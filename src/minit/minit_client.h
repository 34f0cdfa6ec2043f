/* minit_client.h - talking to a container's init over a connection that somebody made: the runtime itself, or a worker that got it by
 * RT_CONNECT. Descriptors are borrowed. Whatever comes back is the word of a process inside the container: checked, and not trusted. */
#ifndef QT_MINIT_CLIENT_H
#define QT_MINIT_CLIENT_H

#include <sys/types.h>

#include "err.h"
#include "proto.h"
#include "rt.h"

/* EXEC_NOT_READY if it does not answer in time, or is gone. */
int mi_ping(int fd, struct mi_pong *ret, int budget_ms, struct qt_err *e);

/* Sends only: the end of minit is the answer. Never blocks. */
int mi_stop(int fd, struct qt_err *e);

struct mi_exec {
	struct rt_strv argv, env; /* argv: at least one; env: all that the process gets */
	const char *cwd;	  /* absolute; NULL: the container's working directory */
	uint32_t flags;		  /* MI_EXEC_* */
	uint32_t uid, gid;	  /* inside the container; MI_ID_DEFAULT: the container's */
	int fds[3];		  /* stdin, stdout, stderr. Pipes among them are made open to all, so that /dev/stdout opens inside. Kept: stdin
				   * alone is used, and with a terminal none */
	/* of a kept one (MI_EXEC_KEEP): */
	const char *key;      /* shorter than MI_KEY_MAX */
	uint32_t time_ms;     /* 0: no end */
	uint16_t rows, cols; /* of its terminal (MI_EXEC_TTY) */
};

/* Why nothing runs: enum mi_step and an errno; step 0 if it does. */
struct mi_failed {
	uint32_t step;
	int sys;
	uint32_t n_ended; /* with EAGAIN: how many kept execs have ended so far, for mi_saved(); 0: the init does not understand that */
};

/* 0 when minit answered: *RET_PID as the container sees it, or FAILED with a step that is not 0, and *RET_PID 0. -1: VALIDATION_ERROR if
 * the texts do not fit into a message, EXEC_NOT_READY if minit does not answer in time, is gone or breaks the protocol: then
 * close the connection, which ends what may have begun. */
int mi_exec_start(int fd, const struct mi_exec *x, int budget_ms, pid_t *ret_pid, struct mi_failed *failed, struct qt_err *e);
/* The same for MI_EXEC_KEEP | MI_EXEC_TTY: *RET_MASTER is the caller's, or -1 when nothing runs. It does not block. */
int mi_exec_start_tty(int fd, const struct mi_exec *x, int budget_ms, pid_t *ret_pid, int *ret_master, struct mi_failed *failed,
		      struct qt_err *e);

/* What became of a kept exec: 1 and *RET with its descriptors (the caller's; out's and err's memory, to be read by pread() alone, or a terminal's
 * master and -1), or 0: there is none of this key. FD is about it from then on: mi_exec_wait() and mi_signal() work. */
int mi_attach(int fd, const char *key, int budget_ms, struct mi_kept *ret, int ret_fds[2], struct qt_err *e);
/* Killed, if it runs, and forgotten. */
int mi_forget(int fd, const char *key, int budget_ms, struct qt_err *e);
/* Of the first N_ENDED that ended, all that anybody will want to know is written down: their places may be given away. */
int mi_saved(int fd, uint32_t n_ended, int budget_ms, struct qt_err *e);

/* Connect, inside the container, to the stream socket PATH (absolute, shorter than MI_DIAL_MAX): 1 and *RET, the caller's, a connected socket of AF_UNIX to be read
 * and written without blocking (MSG_DONTWAIT: its flags are shared with the container's init); 0: nobody listens there. */
int mi_dial(int fd, const char *path, int budget_ms, int *ret, struct qt_err *e);

/* What the client is to be told of a failure. MI_ANSWER_EXIT: the exit code EXIT_CODE with the text as its stderr. MI_ANSWER_CWD: the
 * working directory is at fault. MI_ANSWER_BUSY: no room for a process now. MI_ANSWER_GONE: the container is stopping.
 * MI_ANSWER_BROKEN: anything else. The text names the program or the directory (cut) and the reason. */
enum mi_answer { MI_ANSWER_EXIT, MI_ANSWER_CWD, MI_ANSWER_BUSY, MI_ANSWER_GONE, MI_ANSWER_BROKEN };
enum mi_answer mi_failed_answer(const struct mi_failed *f, const struct mi_exec *x, int *ret_exit_code, char *text, size_t size);

/* Wait until the process ended or DEADLINE (monotonic ms, 0: just look) has passed: 1 when it ended, 0 when not yet. *RET_CODE is 128 + n for
 * signal n, *RET_SIGNAL is n or 0. -1: UNAVAILABLE, the container ended meanwhile. FD may be polled for reading instead. */
int mi_exec_wait(int fd, int64_t deadline, int *ret_code, int *ret_signal, struct qt_err *e);

/* To the process group of this connection's exec. Not an error if it has ended. */
int mi_signal(int fd, int sig, struct qt_err *e);

#endif
