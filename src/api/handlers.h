/* handlers.h - one function a route, named after the operation; and the structs that the body tables fill. */
#ifndef QT_HANDLERS_H
#define QT_HANDLERS_H

#include "gui_pass.h"
#include "route.h"

struct qt_create_req {
	char name[QT_NAME_MAX + 2], image[QT_IMAGE_MAX + 1], workdir[QT_WORKDIR_MAX + 1];
	bool oci, strict;
	uint64_t memory_mb;
	double cpu_percent;
	int64_t gpu_count;
	const json_t *labels, *environment, *command, *volumes, *gpu_ids;
};
struct qt_img_pull_req {
	char reference[QT_IMAGE_MAX + 1], platform[64], user[256], password[1025];
	bool force;
};
struct qt_img_build_req {
	char context_id[64], reference[QT_IMAGE_MAX + 1], dockerfile[1024], target[129];
	const json_t *args;
	uint64_t memory_mb;
	double cpu_percent;
};
struct qt_rename_req {
	char new_name[QT_NAME_MAX + 2];
};
struct qt_vol_create_req {
	char name[QT_VOLNAME_MAX + 2];
	char driver[16];
	const json_t *labels, *options;
};
struct qt_vol_rename_req {
	char new_name[QT_VOLNAME_MAX + 2];
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

struct qt_file_req {
	char path[2048];
	const json_t *content;
	uint64_t mode;
};
struct qt_archive_req {
	const json_t *content;
	char path[2048];
	uint64_t strip;
};
/* Of snapshot, fork and clone; each body has its rows of them. */
struct qt_copy_req {
	char name[QT_NAME_MAX + 2];
	const char *consistency, *network, *volumes, *resume; /* words of their tables */
	uint64_t ttl_s;
	bool dry;
	const json_t *labels;
};
struct qt_batch_req {
	const json_t *items;
};
extern const struct qt_field qt_create_body[];
extern const struct qt_create_req qt_create_defaults;
struct qt_address_req {
	char ip[20];
};
struct qt_route_req {
	char destination[24];
};
struct qt_dns_rename_req {
	char new_name[QT_NAME_MAX + 2];
};
struct qt_cleanup_req {
	bool confirm;
};

int qt_h_health(struct qt_call *c, struct qt_err *e);
void qt_system_begin(void); /* what both call the API's start is now. For the master, before it has workers: they inherit it */
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
int qt_h_vol_list(struct qt_call *c, struct qt_err *e);
int qt_h_vol_get(struct qt_call *c, struct qt_err *e);
int qt_h_vol_inspect(struct qt_call *c, struct qt_err *e);
int qt_h_vol_create(struct qt_call *c, struct qt_err *e);
int qt_h_vol_rename(struct qt_call *c, struct qt_err *e);
int qt_h_vol_delete(struct qt_call *c, struct qt_err *e);
int qt_h_env_get(struct qt_call *c, struct qt_err *e);
int qt_h_env_patch(struct qt_call *c, struct qt_err *e);
int qt_h_env_put(struct qt_call *c, struct qt_err *e);
int qt_h_files_ls(struct qt_call *c, struct qt_err *e);
int qt_h_files_write(struct qt_call *c, struct qt_err *e);
int qt_h_files_read(struct qt_call *c, struct qt_err *e);
int qt_h_files_delete(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_archive(struct qt_call *c, struct qt_err *e);
int qt_h_vol_archive(struct qt_call *c, struct qt_err *e);
int qt_h_img_pull(struct qt_call *c, struct qt_err *e);
int qt_h_img_list(struct qt_call *c, struct qt_err *e);
int qt_h_img_inspect(struct qt_call *c, struct qt_err *e);
int qt_h_img_history(struct qt_call *c, struct qt_err *e);
int qt_h_img_delete(struct qt_call *c, struct qt_err *e);
int qt_h_build_context(struct qt_call *c, struct qt_err *e);
int qt_h_img_build(struct qt_call *c, struct qt_err *e);
int qt_h_op_logs(struct qt_call *c, struct qt_err *e);

/* ARCHIVE_REFUSED: FD holds neither gzip nor whole blocks of tar, by its first bytes. */
int qt_h_looks_like_archive(int fd, struct qt_err *e);
int qt_h_exec(struct qt_call *c, struct qt_err *e);
int qt_h_snap_create(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_fork(struct qt_call *c, struct qt_err *e);
int qt_h_snap_clone(struct qt_call *c, struct qt_err *e);
int qt_h_snap_list(struct qt_call *c, struct qt_err *e);
int qt_h_snap_get(struct qt_call *c, struct qt_err *e);
int qt_h_snap_lineage(struct qt_call *c, struct qt_err *e);
int qt_h_snap_pin(struct qt_call *c, struct qt_err *e);
int qt_h_snap_unpin(struct qt_call *c, struct qt_err *e);
int qt_h_snap_delete(struct qt_call *c, struct qt_err *e);
int qt_h_job_list(struct qt_call *c, struct qt_err *e);
int qt_h_job_get(struct qt_call *c, struct qt_err *e);
int qt_h_process_list(struct qt_call *c, struct qt_err *e);
int qt_h_process_signal(struct qt_call *c, struct qt_err *e);
int qt_h_op_get(struct qt_call *c, struct qt_err *e);
int qt_h_events(struct qt_call *c, struct qt_err *e);
int qt_h_exec_stream(struct qt_call *c, struct qt_err *e);
int qt_h_op_list(struct qt_call *c, struct qt_err *e);
int qt_h_op_cancel(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_batch(struct qt_call *c, struct qt_err *e);

/* Check Q against the plan and this node, and make RET of it: id, tenant and all that the request tells. RET is initialised on success. */
int qt_h_create_take(const struct qt_call *c, const struct qt_create_req *q, struct qt_ctr *ret, struct qt_err *e);

struct qt_session_req {
	const char *target;
	char container[QT_NAME_MAX + 1], shell[QT_SHELL_MAX + 1];
	uint64_t cols, rows;
};
int qt_h_session_create(struct qt_call *c, struct qt_err *e);
int qt_h_session_list(struct qt_call *c, struct qt_err *e);
int qt_h_session_get(struct qt_call *c, struct qt_err *e);
int qt_h_session_resize(struct qt_call *c, struct qt_err *e);
int qt_h_session_delete(struct qt_call *c, struct qt_err *e);
int qt_h_session_attach(struct qt_call *c, struct qt_err *e);

int qt_h_net_allocations(struct qt_call *c, struct qt_err *e);
int qt_h_net_get(struct qt_call *c, struct qt_err *e);
int qt_h_net_put(struct qt_call *c, struct qt_err *e);
int qt_h_net_setup(struct qt_call *c, struct qt_err *e);
int qt_h_net_diagnostics(struct qt_call *c, struct qt_err *e);
int qt_h_net_egress(struct qt_call *c, struct qt_err *e);
int qt_h_route_add(struct qt_call *c, struct qt_err *e);
int qt_h_route_remove(struct qt_call *c, struct qt_err *e);
int qt_h_dns_entries(struct qt_call *c, struct qt_err *e);
int qt_h_dns_rename(struct qt_call *c, struct qt_err *e);
int qt_h_activity(struct qt_call *c, struct qt_err *e);
int qt_h_cleanup_status(struct qt_call *c, struct qt_err *e);
int qt_h_cleanup_tasks(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_cleanup_tasks(struct qt_call *c, struct qt_err *e);
int qt_h_ctr_cleanup_force(struct qt_call *c, struct qt_err *e);
int qt_h_monitors(struct qt_call *c, struct qt_err *e);
int qt_h_monitor_processes(struct qt_call *c, struct qt_err *e);
int qt_h_monitor_profile(struct qt_call *c, struct qt_err *e);
int qt_h_monitor_get(struct qt_call *c, struct qt_err *e);

/* The container of the first parameter. RET is initialised on success. */
int qt_h_container(struct qt_call *c, struct qt_ctr *ret, struct qt_err *e);

/* What the exec of the body is; it borrows from C. */
void qt_h_exec_of(const struct qt_call *c, struct qt_exec *ret);
/* The volume of the first parameter, an id or a name; one that is still made is VOLUME_NOT_FOUND. RET is initialised on success. */
int qt_h_volume(struct qt_call *c, struct qt_vol *ret, struct qt_err *e);

/* ?execution=async? */
bool qt_h_async(const struct qt_call *c);

/* Submit O (tenant, type, what it is on, args) and make the 202 receipt (contract 4.1): success, operation_id, status_url, and what it is on. */
void qt_h_receipt_of(struct qt_call *c, const struct qt_op *o); /* of one that is submitted */
int qt_h_receipt_op(struct qt_call *c, struct qt_op *o, struct qt_err *e);

/* Submit an operation of TYPE on K and make the 202 receipt (contract 4.1), with K's id, name and state when MORE. */
int qt_h_receipt(struct qt_call *c, enum qt_op_type type, const struct qt_ctr *k, json_t *args, bool more, struct qt_err *e);

int qt_h_gui_url(struct qt_call *c, struct qt_err *e);
int qt_h_gui_file(struct qt_call *c, struct qt_err *e);
int qt_h_gui_socket(struct qt_call *c, struct qt_err *e);

#endif
