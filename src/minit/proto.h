/*
 * proto.h - between quilt-minit, the init of every container, and who talks to it: the runtime (start, stop, ping) and, over
 * connections that the runtime made for them, workers (exec).
 *
 * One SOCK_SEQPACKET connection carries pings, and execs, one after the other. Messages are a struct mi_msg, then the texts it counts. Both
 * sides check every length; minit drops a peer that breaks the protocol, and nothing that a container's process can say ends
 * up here: the listening socket lies in the host's mount namespace, and minit obeys only peers whose SO_PEERCRED shows that
 * they are outside the container's pid namespace (pid 0) and its user namespace (the overflow uid; or minit's own, where there
 * is none). A minit that is not PID 1 (a test) makes itself a subreaper and obeys its own uid.
 *
 * A connection that its client closes (or half closes) before the exec ended takes the exec's process group with it. minit
 * keeps the connection after MI_EXITED and MI_FAILED: closing it is the client's part.
 *
 * An exec with MI_EXEC_KEEP has a key and outlives its connection: minit holds what it writes, or its terminal, until another connection
 * asks by the key (MI_ATTACH), and drops it on MI_FORGET or, once it ended, when its place is needed: a job's only after MI_SAVED.
 */
#ifndef QT_MINIT_PROTO_H
#define QT_MINIT_PROTO_H

#include <stdint.h>

#define MI_MAGIC   0x314e494dU /* "MIN1" */
#define MI_VERSION 4U
#define MI_MSG_MAX 196608U /* less than a socket's buffer: it is one packet */

#define MI_EXECS_MAX 256U  /* at once in one container; MI_FAILED with MI_STEP_FORK and EAGAIN beyond */
#define MI_CWD_MAX   4096U /* its NUL included */
#define MI_DIAL_MAX  108U  /* the same of a socket's path: what sockaddr_un holds */
#define MI_ID_MAX    65535U
#define MI_KEEPS_MAX 64U  /* kept at once, those that ended included; MI_FAILED with EAGAIN when all of them run, or are jobs that ended and are not saved (MI_SAVED) */
#define MI_KEY_MAX   64U  /* its NUL included */
#define MI_KEEP_BYTES (1U << 20) /* of each output of a kept exec; the rest is read and dropped */

/* What a terminal showed last. Its master end is read by one program of ours at a time, which is started again now and then: so minit keeps, with the master,
 * this file in memory (the container's memory), and whoever reads the master writes what it read in here. Its size is sealed. */
#define MI_SCROLL_BYTES 65528U
struct mi_scroll {
	uint64_t total; /* bytes that the terminal ever showed; the last of them stands before ring[total % MI_SCROLL_BYTES] */
	char ring[MI_SCROLL_BYTES];
};

/* The descriptors that minit is born with; 0 to 2 are /dev/null. All others are closed. */
enum {
	MI_FD_LISTEN = 3, /* SOCK_SEQPACKET, listening */
	MI_FD_LOG = 4,	  /* and 5: the two log files (logfmt.h) */
	MI_FD_STATUS = 6, /* a file that holds one struct mi_status */
	MI_FD_CONFIG = 7, /* struct mi_config and its texts, read once and closed */
	MI_FD_READY = 8,  /* minit writes one struct mi_ready and closes it: the container is up, or why not */
};

/* What to run first. Then come argv_len bytes of NUL-ended texts (0: no command, the container idles), env_len bytes, and the
 * working directory, absolute and there, with its NUL, and the user. Together at most MI_MSG_MAX bytes. */
struct mi_config {
	uint32_t magic, version;
	uint32_t argv_len, env_len, cwd_len;
	uint32_t log_file_bytes; /* each log file is at most so long; at least 1,024 */
	uint32_t umask;
	uint32_t uid, gid;    /* inside the container, of the first command and the default of exec */
	uint32_t stop_signal; /* sent to the command at stop; 15 if the image does not say */
	uint32_t device_env_len; /* the last so many bytes of the environment: what the container's devices bring, for execs as well */
	uint32_t user_len;    /* 0: uid and gid count; else a user as in an image, with its NUL, behind the working directory (user.h) */
};

/* step: 0 all is well, else enum mi_step, with the errno. A command that cannot be executed is not a failure of the
 * container: it is logged, and recorded as ended with 126 or 127. */
struct mi_ready {
	uint32_t magic, step, sys;
};

enum mi_step { MI_STEP_NONE, MI_STEP_CONFIG, MI_STEP_SETUP, MI_STEP_CWD, MI_STEP_USER, MI_STEP_EXEC, MI_STEP_FORK };

enum mi_kind {
	/* requests */
	MI_PING = 1,
	MI_EXEC,   /* with three descriptors: stdin, stdout, stderr of the new process. Kept: one, stdin. With a terminal: none */
	MI_SIGNAL, /* arg: the signal, for the process group of this connection's exec. After SIGTERM or SIGKILL (unless it has a terminal) whatever is left of the group when its
		    * leader has ended is killed: who pays SIGTERM no heed does not outlive an exec that ran out of time */
	MI_STOP,   /* end the command: its stop signal to its process group, SIGTERM to the rest when it is gone; minit exits with
		    * the command's exit code (0 if there was none) when nothing is left: that is the answer. SIGTERM from outside means the
		    * same. No exec begins any more (MI_STEP_FORK, ESHUTDOWN). */
	MI_ATTACH, /* with a key: this connection is about that kept exec from now on. Answered by MI_KEPT, or MI_FAILED with ENOENT */
	MI_FORGET, /* with a key: kill it if it runs, and forget it. MI_GONE, also if there is none */
	MI_DIAL,   /* connect to a listening stream socket of the container; cwd is its path. MI_DIALED, or MI_FAILED with connect()'s errno: ENOENT and
		    * ECONNREFUSED say that nobody listens there */
	MI_SAVED,  /* arg: a count that MI_FAILED told. Of all that had ended then, whatever anybody will want to know is written down: their places may be given
		    * away. MI_GONE */
	/* answers */
	MI_PONG = 64, /* a struct mi_pong follows */
	MI_STARTED,   /* the program runs; arg: the pid as the container sees it, and the number of its process group and session. With a
		       * terminal: one descriptor, its master */
	MI_FAILED,    /* arg: enum mi_step; arg2: errno. Nothing runs. Of an exec with EAGAIN, flags: how many kept ones have ended so far; 0 from an init of before there was
		       * MI_SAVED, which it does not understand */
	MI_EXITED,    /* arg: exit code, 128 + n for signal n; arg2: the signal or 0 */
	MI_ERROR,     /* arg2: errno; the request was not understood or not possible; the connection ends */
	MI_KEPT,      /* a struct mi_kept follows, and two descriptors: a terminal's master and its struct mi_scroll (of an init of before there was one: the
		       * master alone), or memfds of stdout and stderr */
	MI_GONE,      /* MI_FORGET and MI_SAVED are obeyed */
	MI_DIALED, /* with one descriptor: the connection, which does not block */
};

struct mi_msg {
	uint32_t magic;
	uint32_t kind;
	uint32_t arg, arg2; /* of a kept exec: arg is its time in ms, then SIGTERM and 2 s later SIGKILL (0: no end); arg2 the terminal's size,
			     * rows << 16 | columns */
	/* of MI_EXEC; 0 otherwise: the texts behind, in this order. cwd_len 0: the config's working directory. The key, with its NUL, is also
	 * that of MI_ATTACH and MI_FORGET, and cwd the path of MI_DIAL */
	uint32_t argv_len, env_len, cwd_len, key_len;
	uint32_t flags; /* MI_EXEC_*; of MI_FAILED, see there */
	uint32_t uid, gid; /* MI_ID_DEFAULT: those of the config */
};

#define MI_ID_DEFAULT 0xffffffffU

enum {
	MI_EXEC_MKCWD = 1 << 0, /* make the working directory if it is not there */
	MI_EXEC_KEEP = 1 << 1,	/* outlive the connection, under the key */
	MI_EXEC_TTY = 1 << 2,	/* with KEEP: on a terminal of the container's own, which becomes its controlling one */
};

struct mi_pong {
	uint32_t version;
	uint32_t command_state; /* 0 none, 1 runs, 2 ended */
	int32_t command_exit;
	uint32_t execs;	 /* running now */
	uint64_t uptime_ms;
};

struct mi_kept {
	uint32_t pid;	/* as the container sees it */
	uint32_t ended; /* 1: exit_code and signal are those of MI_EXITED, which does not come again */
	int32_t exit_code;
	uint32_t signal, timed_out, tty;
	uint64_t started_ms, ended_ms;	 /* since 1970 */
	uint64_t out_bytes, err_bytes;	 /* all that was written; the memfds hold the first MI_KEEP_BYTES of it */
};

/* What survives minit, in the file behind MI_FD_STATUS, written whole with one pwrite. */
struct mi_status {
	uint32_t magic;
	uint32_t command_state; /* as in mi_pong */
	int32_t command_exit;
	uint32_t exiting; /* 1: minit left of its own accord (stop), and exit_code is its exit code */
	int32_t exit_code;
	uint32_t pad;
	uint64_t command_ended_ms, exited_ms; /* since 1970 */
};

#endif
