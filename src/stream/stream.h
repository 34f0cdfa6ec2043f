/* stream.h - quilt-stream: one loop for everything that stays open, and a few threads for what blocks.
 *
 * The loop is libwebsockets'. It has all clients; whatever else we wait for (pipes, Redis' news, our threads) hangs on an epoll of our own,
 * which is one more file to it. Only the loop's thread touches anything but jobs under way. */
#ifndef QT_STREAM_H
#define QT_STREAM_H

#include <libwebsockets.h>
#include <stdbool.h>

#include "conf.h"
#include "life.h"

struct sq_jobs;
struct sq_hub;

struct sq {
	struct qt_conf conf;
	struct lws_context *lws;
	struct lws_vhost *vhost;
	int epoll;
	struct sq_jobs *jobs;
	struct sq_hub *hub;
	bool stopping;
};

/* --- watch.c: descriptors of ours ------------------------------------------------------------------------ */

/* Lives in its owner. EVENTS are EPOLLIN, EPOLLOUT. FN is called once for each sq_watch() or sq_watch_change(); with 0 it is not called, not
 * for a hang-up either. */
struct sq_watch {
	int fd; /* borrowed; -1: not watched */
	void (*fn)(void *arg, uint32_t events);
	void *arg;
};
int sq_watch_open(struct sq *sq, struct qt_err *e);
int sq_watch(struct sq *sq, struct sq_watch *w, int fd, uint32_t events, void (*fn)(void *arg, uint32_t events), void *arg, struct qt_err *e);
void sq_watch_change(struct sq *sq, struct sq_watch *w, uint32_t events);
void sq_unwatch(struct sq *sq, struct sq_watch *w); /* before the descriptor is closed */
/* Called by the loop when something is there. */
void sq_watch_serve(struct sq *sq);

/* --- jobs.c: what blocks --------------------------------------------------------------------------------- */

struct sq_lane;

/* Lives in its owner, which keeps it until `done` was called. WORK runs in a thread with a life of its own, DONE in the loop. A tenant never has more than
 * an eighth of the threads: what waits for a container of one (whose init stands still, say) is nothing to the others. */
struct sq_job {
	void (*work)(struct sq_job *j, struct qt_life *l);
	void (*done)(struct sq_job *j);
	struct qt_id tenant; /* "": ours */
	struct sq_job *next;
	struct sq_lane *lane;
};
int sq_jobs_open(struct sq *sq, struct qt_err *e);
void sq_job_submit(struct sq *sq, struct sq_job *j);

#endif
