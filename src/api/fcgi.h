/* fcgi.h - a worker thread: FastCGI requests in, answers out. */
#ifndef QT_FCGI_H
#define QT_FCGI_H

#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "conf.h"

struct qt_worker {
	const struct qt_conf *conf;
	int listen_fd;
	struct qt_share *share; /* of the pool; NULL: none */
	struct qt_leases *leases;
	struct qt_conns *conns; /* of this process */
	unsigned row;		/* of this worker */
	atomic_uint begun;	/* threads: their numbers */
	atomic_bool stopping;
	atomic_uint running; /* threads */
};

/* Wakes a thread that waits for a request. Blocked in every thread; its handler does nothing, and does not restart system calls. */
#define QT_WAKE_SIGNAL SIGUSR1

/* Serve until stopping; the argument of pthread_create() is a struct qt_worker. Whoever was accepted is answered, and so is the queue of a
 * socket that was shut down. */
void *qt_fcgi_thread(void *worker);

#endif
