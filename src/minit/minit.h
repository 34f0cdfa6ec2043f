/* minit.h - what the parts of minit share. Fixed tables, no heap; only minit.c knows all of them. */
#ifndef MI_MINIT_H
#define MI_MINIT_H

#include <stdbool.h>
#include <sys/types.h>

#include "frame.h"
#include "launch.h"
#include "user.h"

/* Connections beyond the execs, so that pings are answered when there is no room for another exec. */
#define MI_CONNS_MAX (MI_EXECS_MAX + 32U)

/* What an epoll event is about: the kind, the slot, and the slot's generation, so that an event for a closed one is known. */
enum mi_source { MI_SRC_LISTEN, MI_SRC_SIGNAL, MI_SRC_OUTPUT, MI_SRC_CONN, MI_SRC_START, MI_SRC_KEEP };

struct mi_init {
	int epoll;
	bool pid1;
	bool stopping;
	uint32_t command_state;
	int32_t command_exit;
	uint32_t uid, gid, umask, stop_signal;
	uint64_t started_mono_ms, command_ended_ms;
	char cwd[MI_CWD_MAX];
	const char *device_env; /* what the container's devices bring: texts, for each process that has no other of that name */
	uint32_t device_env_len;
	struct mi_user user; /* of the image: uid and gid are as above */
};
extern struct mi_init mi;

uint64_t mi_now_ms(void);
uint64_t mi_mono_ms(void);
bool mi_watch(int fd, enum mi_source source, unsigned slot, uint32_t gen);
void mi_unwatch_close(int *fd);

/* output.c: the command's output, and minit's own words, into the log. */
/* Two pipes, their write ends in FDS[1] and FDS[2]: the caller closes them. False with errno. */
bool mi_output_open(int fds[3]);
/* Takes what one of the pipes holds, as much as fits into one read. */
void mi_output_read(unsigned stream);
/* Takes what both hold now, and what stands there without a newline. */
void mi_output_drain(void);
/* A record of the system stream: the texts one after the other, bounded; NULL ends them. */
void mi_say(unsigned level, const char *const *texts);
#define mi_say(level, ...) mi_say(level, (const char *const[]){__VA_ARGS__, NULL})
/* V in decimal at the end of B; where it begins. */
const char *mi_num(char b[12], int v);

/* keep.c: execs that outlive their connections. A place is a number below MI_KEEPS_MAX. */
struct mi_keep_fds {
	int in, out, err; /* for the new process */
};
/* A place for KEY and what it writes to, or its terminal (SIZE: rows << 16 | columns); FDS->in is set already, but for a terminal. -1 with errno:
 * EEXIST, EAGAIN. Call mi_keep_drop() if nothing comes of it. */
int mi_keep_make(const char *key, bool tty, uint32_t size, uint32_t time_ms, struct mi_keep_fds *fds);
int mi_keep_find(const char *key); /* -1: none */
void mi_keep_drop(int place);
void mi_keep_started(int place, pid_t pid);
void mi_keep_ended(int place, int code, int sig);
bool mi_keep_has_ended(int place);
bool mi_keep_is_tty(int place);
/* A place that is free, or of one that ended, the oldest; -1 if all run, or are jobs of whose end somebody may have to be told. */
int mi_keep_oldest(void);
void mi_keep_tell(int place, struct mi_kept *ret, int fds[2], unsigned *ret_n_fds); /* borrowed */
uint32_t mi_keep_n_ended(void); /* of all that there ever were */
/* Of the first N that ended, nobody need be told any more. */
void mi_keep_saved(uint32_t n);
void mi_keep_read(unsigned slot); /* MI_SRC_KEEP: place * 2 + stream */
/* Ms until one of them runs out of time, at most MOST (-1: no bound); and what is due now is sent its signal by SIGNAL. */
int mi_keep_due(int most, void (*signal)(int place, int sig));

/* conn.c: connections and the processes that they asked for. Slot 0 is the command, which has no connection. */
bool mi_conn_accept(int listen_fd); /* false: no room, or no descriptors: stop listening for a while */
void mi_conn_event(unsigned slot, uint32_t gen);
void mi_start_event(unsigned slot, uint32_t gen);
bool mi_command_start(const struct mi_run *run);
/* Take what ended. False when there is no child left at all. */
bool mi_reap(void);
unsigned mi_execs(void);
/* One step further on the way out: see MI_STOP. */
void mi_stop_step(void);
void mi_keep_signal(int place, int sig);

/* minit.c */
void mi_stop(void);
void mi_command_ended(int code, int sig);
void mi_write_status(bool exiting, int exit_code);

#endif
