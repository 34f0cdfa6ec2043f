/* runtime.h - what this process holds. One of it; no globals. */
#ifndef RT_RUNTIME_H
#define RT_RUNTIME_H

#include "cdi.h"
#include "cgroup.h"
#include "conf.h"
#include "ctr.h"
#include "journal.h"
#include "loop.h"
#include "net.h"
#include "obj.h"
#include "ranges.h"
#include "spares.h"
#include "spawn.h"
#include "store.h"

struct rt_peers;
struct rt_copy;
struct rt_layer_job;
struct rt_sessions;

struct rt {
	struct qt_conf conf;
	struct rt_loop *loop;
	struct rt_peers *peers;
	struct rt_net *net;
	struct rt_cdi *cdi;
	struct rt_cgroups *cgroups;
	struct rt_spawner *spawner;
	struct rt_spares spares;
	struct rt_sessions *sessions;
	struct rt_keep journal;
	struct rt_objs objs;
	struct rt_copy *copies;	    /* under way or waiting: copy.h */
	struct rt_later copies_later;
	struct rt_layer_job *layer_jobs; /* under way: op_image.c */
	struct rt_timer layers_again;	 /* rt_layers_sweep() */
	struct rt_store store;
	struct rt_ranges ranges;
	struct rt_ctrs ctrs;
	struct rt_ctrs leaving;	    /* deleted, or never finished: undo.h */
	int state_fd, run_fd;	    /* the directories of the settings */
	int ctr_state_fd;	    /* STATE_DIR/ctr: logs and status files */
	int sock_fd;		    /* RUN_DIR/c: the sockets of the containers' inits */
	int dns_fd[2];		    /* the resolver's sockets, UDP and TCP; -1: not open (yet) */
	int lock_fd;		    /* held as long as we live: one runtime for one state directory */
	int64_t started_ms;
	uint64_t memory_bytes;	    /* the machine's */
	uint32_t cpus;
	uint32_t memory_max_mb;	    /* for one container */
	uint64_t node_memory_mb;    /* for all that run */
	char boot_id[40];
	char resolv_conf[1024];
};

/* Everything but the peers, in the order in which each part needs the ones before. CONF_PATH as for qt_conf_load(). */
int rt_open(struct rt *rt, const char *conf_path, struct qt_err *e);
void rt_close(struct rt *rt); /* leaves what runs */

/* sweep.c: make journal, kernel and disk agree. After rt_open(), before anybody is served. */
int rt_sweep(struct rt *rt, struct qt_err *e);
/* End and record all that runs, take away what is ours outside of the state directory and the pool. */
int rt_shutdown(struct rt *rt, struct qt_err *e);

#endif
