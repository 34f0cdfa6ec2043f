/* pool.h - the master: two sockets, a pool of worker processes behind each. */
#ifndef QT_POOL_H
#define QT_POOL_H

#include "conf.h"

/* Open RUN_DIR/api.sock and RUN_DIR/api-slow.sock (or take them from systemd), keep both pools full, until SIGTERM or SIGINT; SIGHUP replaces the workers by new ones with
 * the configuration read anew, the old ones finishing what they hold. Returns the exit status. */
int qt_pool_run(struct qt_conf *conf, const char *conf_path);

#endif
