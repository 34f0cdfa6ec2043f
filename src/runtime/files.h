/* files.h - the small files of a container: its init's socket (RUN_DIR/c), logs and status (STATE_DIR/ctr/ID), and the configuration that
 * its init reads. */
#ifndef RT_FILES_H
#define RT_FILES_H

#include "minit/proto.h"
#include "runtime.h"

int rt_files_make(struct rt *rt, const struct qt_id *id, struct qt_err *e);
void rt_files_drop(struct rt *rt, const char *id); /* idempotent */

/* For the init: read and write, the caller's. The status file is emptied. */
int rt_files_open(struct rt *rt, const struct qt_id *id, int ret_log[2], int *ret_status, struct qt_err *e);
/* For readers: read only. */
int rt_files_logs(struct rt *rt, const struct qt_id *id, int ret_log[2], struct qt_err *e);
/* What the init left. False if it left nothing that makes sense. */
bool rt_files_status(struct rt *rt, const struct qt_id *id, struct mi_status *ret);

/* A listening socket for the init, the caller's; one of the same name is replaced. */
int rt_files_listen(struct rt *rt, const struct qt_id *id, struct qt_err *e);
/* A connection to it, non-blocking, the caller's. EXEC_NOT_READY when nobody listens or too many wait. */
int rt_files_connect(struct rt *rt, const struct qt_id *id, struct qt_err *e);
bool rt_files_rename_socket(struct rt *rt, const struct qt_id *id, const struct qt_id *to);
void rt_files_drop_socket(struct rt *rt, const char *id); /* idempotent */

/* A sealed memfd with a struct mi_config and its texts, the caller's. The last DEVICE_ENV_LEN bytes of ENV are what devices bring. */
int rt_files_config(const struct rt *rt, const struct rt_strv *argv, const struct rt_strv *env, uint32_t device_env_len, const char *workdir,
		    const char *user, uint32_t stop_signal, struct qt_err *e);

#endif
