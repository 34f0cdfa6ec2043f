/* life.h - what happens to containers: each verb once, for workers (at once) and agents (as operations) alike. Every verb goes: Redis
 * says whether it may, the runtime does it, Redis learns of it; and each survives a death of its process at any line, since the
 * agent mends what was left half done (settle.h). */
#ifndef QT_LIFE_H
#define QT_LIFE_H

#include "client.h"
#include "conf.h"
#include "minit/logread.h"
#include "store.h"

/* What a thread works with. Not for two threads. The process ignores SIGPIPE (exec writes to pipes). */
struct qt_life {
	const struct qt_conf *conf;
	struct qt_store *store;
	struct rt_client rt;
	struct qt_conns *conns; /* of the process, borrowed; NULL: none are kept */
	/* of qt_life_execute() */
	const struct qt_op_entry *entry; /* NULL: it is not executing */
	bool op_cancelled, op_lost;	 /* a client wants it to end; it is another agent's by now */
	int64_t op_began, op_give_up;	 /* this try; so long (monotonic) it is tried again while the runtime is away */
	bool op_again;			 /* an executor has left it half done, for that */
	bool op_anew;			 /* it was begun before, by whomever: what that try made may be there */
};
int qt_life_init(struct qt_life *l, const struct qt_conf *conf, struct qt_err *e);
void qt_life_done(struct qt_life *l);

struct qt_ready {
	enum qt_state state;
	int64_t uptime_ms;
	bool state_running, minit_responsive, network_configured, managed_image_valid;
	bool has_gui, gui_reachable; /* the second means something if the first is true */
	/* exec_ready = state_running, minit_responsive and managed_image_valid; network_ready = network_configured; gui_ready = both and gui_reachable; ready = all that
	 * there is of these */
};
bool qt_ready_exec(const struct qt_ready *r);
json_t *qt_ready_view(const struct qt_ready *r, const char *container_id); /* contract 3.6 */
/* The members exec_ready, network_ready, checks into a container object (3.3). */
void qt_ready_add(const struct qt_ready *r, json_t *container);

/* C holds what to create (id, tenant, name, limits …; node, state, times are set here). On success it is the running container. What the
 * runtime refuses leaves nothing. IMAGE_NOT_FOUND, CONTAINER_NAME_CONFLICT, QUOTA_EXCEEDED, CAPACITY_FULL, VALIDATION_ERROR. */
int qt_life_create(struct qt_life *l, struct qt_ctr *c, struct qt_ready *ready, struct qt_err *e);
/* VALIDATION_ERROR: this node does not have so much. */
int qt_life_fits(const struct qt_life *l, uint64_t memory_mb, double cpu_percent, struct qt_err *e);
/* The two halves, for execution=async: reserve now (all refusals are answered here), bring up in the agent. */
int qt_life_reserve(struct qt_life *l, struct qt_ctr *c, struct qt_err *e);
/* N of one tenant, all or none. On failure *BAD is the one that is to blame, or N when it is none of them. */
int qt_life_reserve_all(struct qt_life *l, struct qt_ctr *v, size_t n, size_t *bad, struct qt_err *e);
/* A reservation that nobody brings up: taken back, with all that there is of it. What the runtime does not say just now, the agent finds out. */
void qt_life_undo_create(struct qt_life *l, const struct qt_ctr *c);
int qt_life_bring_up(struct qt_life *l, struct qt_ctr *c, struct qt_ready *ready, struct qt_err *e);

/* C was read from the store and is brought up to date. INVALID_STATE as contract 3.9 says. */
int qt_life_start(struct qt_life *l, struct qt_ctr *c, struct qt_err *e);
int qt_life_stop(struct qt_life *l, struct qt_ctr *c, uint32_t timeout_ms, struct qt_err *e);
int qt_life_kill(struct qt_life *l, struct qt_ctr *c, struct qt_err *e);
int qt_life_delete(struct qt_life *l, struct qt_ctr *c, struct qt_err *e);
int qt_life_rename(struct qt_life *l, struct qt_ctr *c, const char *new_name, char *old_name, struct qt_err *e);
int qt_life_env(struct qt_life *l, struct qt_ctr *c, const json_t *env, bool merge, struct qt_err *e);

int qt_life_ready(struct qt_life *l, const struct qt_ctr *c, struct qt_ready *ret, struct qt_err *e);
json_t *qt_life_metrics(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e); /* contract 3.7 */
/* Contract 3.8: the array of the newest LIMIT that are wanted. SEQ, if not NULL, gets the number of the newest record that there is, wanted or not;
 * FDS, if not NULL, the two log files, which are the caller's then, for qt_logs_next(): so that it can go on without loss or repeat. */
json_t *qt_life_logs(struct qt_life *l, const struct qt_ctr *c, const struct qt_logs_want *want, uint64_t *seq, int fds[2], struct qt_err *e);
/* A record as the contract has it, one line of JSON. free(); NULL without memory. */
char *qt_life_log_line(const struct qt_log_record *r);

/* network.c: contract 10. The JSON objects are new references, or NULL with E. */
json_t *qt_life_network(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e);
json_t *qt_life_net_diagnose(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e);
json_t *qt_life_egress(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e);
/* Another address: INVALID_STATE while it runs, VALIDATION_ERROR outside of the subnet, CONFLICT if it is taken. */
int qt_life_address(struct qt_life *l, struct qt_ctr *c, const char *ip, struct qt_err *e);
/* Put right what is missing; INVALID_STATE if it does not run. */
int qt_life_net_setup(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e);
/* A further route to NET (IPv4 CIDR) by the gateway, now if it runs and at each start, or no longer. VALIDATION_ERROR, CONFLICT. */
int qt_life_route(struct qt_life *l, struct qt_ctr *c, const char *net, bool remove, struct qt_err *e);

/* May the state of C take this verb? The table of contract 3.9; INVALID_STATE with details otherwise. */
enum qt_verb { QT_V_START, QT_V_STOP, QT_V_KILL, QT_V_EXEC, QT_V_DELETE, QT_V_SNAPSHOT, QT_V_FORK };
int qt_life_may(const struct qt_ctr *c, enum qt_verb v, struct qt_err *e);

/* --- volumes: as containers, Redis first, then the runtime, then Redis -------------------------------- */
/* V holds what to make (id, tenant, name, labels, options, max_bytes; node and times are set here). What is refused leaves nothing.
 * VOLUME_NAME_CONFLICT, QUOTA_EXCEEDED, INSUFFICIENT_STORAGE. */
int qt_life_vol_create(struct qt_life *l, struct qt_vol *v, struct qt_err *e);
/* V was read from the store, and its name is brought up to date. OLD_NAME has QT_VOLNAME_MAX + 1 bytes. VOLUME_IN_USE, VOLUME_NAME_CONFLICT. */
int qt_life_vol_rename(struct qt_life *l, struct qt_vol *v, const char *new_name, char *old_name, struct qt_err *e);
/* VOLUME_IN_USE; VOLUME_NOT_FOUND when it is gone already. */
int qt_life_vol_delete(struct qt_life *l, const struct qt_vol *v, struct qt_err *e);
/* What it holds now. */
int qt_life_vol_size(struct qt_life *l, const struct qt_vol *v, uint64_t *ret_bytes, uint64_t *ret_files, struct qt_err *e);
/* C's volumes for the runtime, with ids in place of names, in BUF (QT_MOUNTS_BYTES). VOLUME_NOT_FOUND. */
int qt_life_volumes(struct qt_life *l, const struct qt_ctr *c, char *buf, struct rt_strv *ret, struct qt_err *e);

/* GPUs have ids ("nvidia0") for clients, records and Redis, and the names of CDI devices ("nvidia.com/gpu=0") for the runtime (gpus.c). What a client may write:
 * an id, a CDI name of one of gpu_kinds, or only its name ("0", "GPU-…") for the first of them. False if TEXT is nothing of that. */
bool qt_gpu_cdi(char ret[QT_GPU_ID_MAX + 1], const struct qt_conf *conf, const char *text);
void qt_gpu_id(char ret[QT_GPU_ID_MAX + 1], const struct qt_conf *conf, const char *cdi);
/* C's GPUs for the runtime, in BUF (QT_GPUS_BYTES). */
int qt_life_gpus(struct qt_life *l, const struct qt_ctr *c, char *buf, struct rt_strv *ret, struct qt_err *e);
/* The agent's: tell Redis which GPUs the runtime has, and who has them. */
int qt_life_tell_gpus(struct qt_life *l, struct qt_err *e);

/* exec (contract 7.1) */
struct qt_exec {
	const json_t *command;	   /* array of at least one string */
	const char *workdir;	   /* NULL: the container's */
	const json_t *environment; /* object or NULL: on top of the container's */
	const char *stdin_data;
	size_t stdin_len;
	uint32_t timeout_ms;
	bool capture;
};
struct qt_exec_result {
	int exit_code;
	bool timed_out, out_cut, err_cut;
	char *out, *err; /* raw bytes; free with qt_exec_result_done() */
	size_t out_len, err_len;
	int64_t started_ms, took_ms;
};
/* GONE, if not NULL, is asked now and then whether the client went away; then the process is killed and UNAVAILABLE returned. A missing
 * program is exit 127 and one that cannot be executed 126, with a sentence in err; a missing workdir is VALIDATION_ERROR.
 * EXEC_NOT_READY when the init does not answer. */
int qt_life_exec(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, bool (*gone)(void *arg), void *arg,
		 struct qt_exec_result *ret, struct qt_err *e);
void qt_exec_result_done(struct qt_exec_result *r);

/* The beginning of it alone, for whoever goes on by himself: a command that runs, our ends of its pipes (they do not block), and the connection by
 * which its end is told (minit_client.h), and with which it ends. PID 0: nothing runs, and EXIT_CODE and TEXT say why. X's input and time are the
 * caller's to see to. The same errors. */
struct qt_exec_running {
	int conn, in, out, err;
	pid_t pid; /* as the container sees it */
	int exit_code;
	char *text;
};
int qt_life_exec_open(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, struct qt_exec_running *ret, struct qt_err *e);
void qt_exec_running_done(struct qt_exec_running *r);

/* The same without waiting: a job, kept by the container's init under JOB (job_…), whoever of ours dies meanwhile. *RET_RECORD is the contract's job
 * object (7.2), written to the store; a program that cannot be executed is a job that failed. X->capture is not looked at. */
int qt_life_detach(struct qt_life *l, const struct qt_ctr *c, const struct qt_exec *x, const struct qt_id *job, json_t **ret_record,
		   struct qt_err *e);
/* The record of a job, of one that runs as it is now; WITH_OUTPUT: stdout and stderr. A new reference. JOB_NOT_FOUND. */
json_t *qt_life_job(struct qt_life *l, const struct qt_ctr *c, const char *job, bool with_output, struct qt_err *e);
json_t *qt_life_jobs(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e); /* without output: an array, newest first */

/* The contract's processes array (7.4). Not running: INVALID_STATE. */
json_t *qt_life_processes(struct qt_life *l, const struct qt_ctr *c, struct qt_err *e);
/* PROCESS_NOT_FOUND. PID is not 1. */
int qt_life_signal(struct qt_life *l, const struct qt_ctr *c, uint32_t pid, int sig, struct qt_err *e);

/* Raw bytes as a JSON string; those that are not UTF-8 become U+FFFD. */
json_t *qt_text_of(const char *bytes, size_t len);
/* "sh -lc echo hi", cut: what a job shows as its command. */
json_t *qt_command_text(const json_t *command);

/* Operations: submit the record for an agent. O has tenant, type, what it is on (container, snapshot, volume), args; id and node ("": this one)
 * if they matter; the rest is set here. The second is for one on C, made from scratch; ARGS is stolen. */
int qt_life_submit_op(struct qt_life *l, struct qt_op *o, struct qt_err *e);
int qt_life_submit(struct qt_life *l, enum qt_op_type type, const struct qt_ctr *c, json_t *args, struct qt_op *ret, struct qt_err *e);
/* A client wants the operation ID to end; as qt_store_op_cancel(), and what lies in files for one that is over by that goes. */
int qt_life_op_cancel(struct qt_life *l, const struct qt_id *tenant, const char *id, struct qt_op *ret, struct qt_err *e);
/* The agent's executor: do what x->op says; the result is in x->op, for qt_store_op_finish(). The caller renews the lease meanwhile, by
 * another thread with a store of its own. Never returns an error that belongs to the operation: that is its result. -1 only when the
 * store is away: then it is executed again when the lease has run out. */
int qt_life_execute(struct qt_life *l, struct qt_op_entry *x, struct qt_err *e);

#endif
