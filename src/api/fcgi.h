/* fcgi.h - a worker thread: FastCGI requests in, answers out. */
#ifndef QT_FCGI_H
#define QT_FCGI_H

#include <stdatomic.h>
#include <stdbool.h>

#include "conf.h"

struct qt_worker {
	const struct qt_conf *conf;
	int listen_fd;
	atomic_bool stopping;
	atomic_uint busy; /* threads that hold a request */
};

/* Serve until stopping; the argument of pthread_create() is a struct qt_worker. */
void *qt_fcgi_thread(void *worker);

#endif
