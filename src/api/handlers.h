/* handlers.h - one function a route, named after the operation; and the structs that the body tables fill. */
#ifndef QT_HANDLERS_H
#define QT_HANDLERS_H

#include "route.h"

struct qt_create_req {
	char name[QT_NAME_MAX + 2], image[QT_IMAGE_MAX + 1], workdir[QT_WORKDIR_MAX + 1];
	bool oci, strict;
	uint64_t memory_mb;
	double cpu_percent;
	int64_t gpu_count;
	const json_t *labels, *environment, *command, *volumes, *gpu_ids;
};
struct qt_rename_req {
	char new_name[QT_NAME_MAX + 2];
};
struct qt_stop_req {
	uint64_t timeout_s;
};
struct qt_env_req {
	const json_t *environment;
};
struct qt_exec_req {
	const json_t *command, *environment, *stdin_data;
	char workdir[QT_WORKDIR_MAX + 1];
	int64_t timeout_ms;
	bool capture, detach;
};

int qt_h_health(struct qt_call *c, struct qt_err *e);
int qt_h_system_info(struct qt_call *c, struct qt_err *e);
int qt_h_guide_help(struct qt_call *c, struct qt_err *e);
int qt_h_guide_examples(struct qt_call *c, struct qt_err *e);
int qt_h_guide_health(struct qt_call *c, struct qt_err *e);

int qt_h_ctr_list(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_get(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_by_name(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_ready(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_metrics(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_logs(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_create(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_start(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_resume(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_stop(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_kill(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_delete(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_rename(struct qt_call *c, struct qt_err *e);
int qt_h_env_get(struct qt_call *c, struct qt_err *e);
int qt_h_env_patch(struct qt_call *c, struct qt_err *e);
int qt_h_env_put(struct qt_call *c, struct qt_err *e);
int qt_h_exec(struct qt_call *c, struct qt_err *e);
int qt_h_op_get(struct qt_call *c, struct qt_err *e);

/* The container of the first parameter. RET is initialised on success. */
int qt_h_container(struct qt_call *c, struct qt_ctr *ret, struct qt_err *e);

/* ?execution=async? */
bool qt_h_async(const struct qt_call *c);

/* Submit an operation of TYPE on K and make the 202 receipt (contract 4.1), with K's id, name and state when MORE. */
int qt_h_receipt(struct qt_call *c, enum qt_op_type type, const struct qt_ctr *k, json_t *args, bool more, struct qt_err *e);

#endif
