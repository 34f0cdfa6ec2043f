/* routes_containers.c - containers: the seed's primary routes, exec and environments. */
#include <stddef.h>

#include "handlers.h"
#include "replies.h"

static int check_name(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return qt_check_name(field, value, e);
}

static int check_workdir(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return qt_check_workdir(field, value, e);
}

static int check_env(const char *field, const char *name, const char *value, struct qt_err *e)
{
	return qt_check_env(field, name, value, false, e);
}

static int check_exec_env(const char *field, const char *name, const char *value, struct qt_err *e)
{
	return qt_check_env(field, name, value, true, e);
}

static int check_volume(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return qt_check_volume(field, value, e);
}

static int check_absolute(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return value[0] == '/' ? 0
			       : qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "an absolute path", "the directory is not absolute");
}

#define AT(type, member) .off = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)

/* clang-format off */
const struct qt_field qt_create_body[] = {
	{.name = "name", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_create_req, name), .min = 1, .check = check_name,
	 .doc = "unique among the tenant's containers"},
	{.name = "image", .kind = QT_K_STR, AT(qt_create_req, image), .min = 1, .doc = "a managed image (default prod) or, with oci, a reference that was pulled"},
	{.name = "oci", .kind = QT_K_BOOL, AT(qt_create_req, oci), .doc = "image is an OCI reference"},
	{.name = "volumes", .kind = QT_K_STRV, .off = offsetof(struct qt_create_req, volumes), .max = 32, .check = check_volume,
	 .doc = "NAME:/target or NAME:/target:ro"},
	{.name = "working_directory", .kind = QT_K_STR, AT(qt_create_req, workdir), .min = 1, .check = check_workdir,
	 .doc = "made if it is not there; default the image's, else /"},
	{.name = "memory_limit_mb", .kind = QT_K_U64, AT(qt_create_req, memory_mb), .min = 16, .max = 16777216, .doc = "default 512"},
	{.name = "cpu_limit_percent", .kind = QT_K_NUM, AT(qt_create_req, cpu_percent), .dmin = 0, .dmax = 102400,
	 .doc = "of one cpu; fractions allowed; default 50"},
	{.name = "strict", .kind = QT_K_BOOL, AT(qt_create_req, strict), .doc = "harden the container"},
	{.name = "labels", .kind = QT_K_MAP, .off = offsetof(struct qt_create_req, labels), .size = 4096, .max = QT_LABELS_MAX,
	 .doc = "free texts"},
	{.name = "environment", .kind = QT_K_MAP, .off = offsetof(struct qt_create_req, environment), .size = 8192, .max = QT_ENV_MAX,
	 .check = check_env, .doc = "variables of every process"},
	{.name = "command", .kind = QT_K_STRV, .off = offsetof(struct qt_create_req, command), .size = 8192, .min = 1, .max = QT_ARGV_MAX,
	 .example = "[\"/bin/sh\", \"-lc\", \"echo hi\"]", .hint = "command is an argv array; for a shell: [\"/bin/sh\", \"-lc\", \"…\"].",
	 .doc = "argv of the first process; default: none, the container idles"},
	{.name = "gpu_count", .kind = QT_K_I64, .flags = QT_F_BAD_IS_400, AT(qt_create_req, gpu_count), .min = 0, .max = 64, .doc = "GPUs of the node, for this container alone"},
	{.name = "gpu_ids", .kind = QT_K_STRV, .flags = QT_F_BAD_IS_400, .off = offsetof(struct qt_create_req, gpu_ids), .max = 64,
	 .doc = "which ones, as many as gpu_count: nvidia0, or the name of a CDI device; left out: any"},
	{.name = "mounts", .kind = QT_K_REFUSE, .example = "volumes", .hint = "Use volumes: [\"NAME:/target\"]."},
	{.name = "async_mode", .kind = QT_K_REFUSE, .example = "execution query parameter", .hint = "Use ?execution=async."},
	{0},
};
const struct qt_create_req qt_create_defaults = {.image = "prod", .memory_mb = 512, .cpu_percent = 50};

static const struct qt_field batch_body[] = {
	{.name = "items", .kind = QT_K_LIST, .flags = QT_F_REQUIRED, .off = offsetof(struct qt_batch_req, items), .min = 1, .max = QT_OP_ITEMS_MAX,
	 .sub = qt_create_body, .doc = "each as the body of a create"},
	{.name = "async_mode", .kind = QT_K_IGNORE}, /* it is never anything else here */
	{0},
};

static const struct qt_field rename_body[] = {
	{.name = "new_name", .alias = "name", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_rename_req, new_name), .min = 1,
	 .check = check_name, .doc = "the new name"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field stop_body[] = {
	{.name = "timeout_seconds", .kind = QT_K_U64, .flags = QT_F_NULL, AT(qt_stop_req, timeout_s), .max = 600,
	 .doc = "between SIGTERM and SIGKILL; default 10"},
	{.name = "async_mode", .kind = QT_K_REFUSE, .example = "execution query parameter", .hint = "Use ?execution=async."},
	{0},
};
/* Nothing is asked for, and what clients of other generations send is taken and left aside (contract 2.3, 3.5). */
static const struct qt_field start_body[] = {
	{.name = "async_mode", .kind = QT_K_IGNORE}, {.name = "idempotency_key", .kind = QT_K_IGNORE},
	{.name = "resume_policy", .kind = QT_K_IGNORE}, {.name = "network_mode", .kind = QT_K_IGNORE},
	{.name = "volume_mode", .kind = QT_K_IGNORE}, {.name = "placement_hint", .kind = QT_K_IGNORE},
	{.name = "labels", .kind = QT_K_IGNORE}, {.name = "dry_run", .kind = QT_K_IGNORE}, {0},
};
struct no_req { char unused; };
static const struct qt_field strict_empty_body[] = {
	{.name = "async_mode", .kind = QT_K_REFUSE, .example = "execution query parameter", .hint = "Use ?execution=async."}, {0},
};
static const struct qt_field env_patch_body[] = {
	{.name = "environment", .kind = QT_K_MAP, .flags = QT_F_REQUIRED | QT_F_NULL_VALUES, .off = offsetof(struct qt_env_req, environment),
	 .size = 8192, .max = QT_ENV_MAX, .check = check_env, .doc = "variables to set; null removes one"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field env_put_body[] = {
	{.name = "environment", .kind = QT_K_MAP, .flags = QT_F_REQUIRED, .off = offsetof(struct qt_env_req, environment), .size = 8192,
	 .max = QT_ENV_MAX, .check = check_env, .doc = "the whole new map"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field exec_body[] = {
	{.name = "command", .kind = QT_K_STRV, .flags = QT_F_REQUIRED, .off = offsetof(struct qt_exec_req, command), .size = QT_EXEC_BYTES,
	 .min = 1, .max = QT_ARGV_MAX, .example = "[\"/bin/sh\", \"-lc\", \"echo hi\"]",
	 .hint = "command is an argv array; for a shell: [\"/bin/sh\", \"-lc\", \"…\"].", .doc = "argv"},
	{.name = "workdir", .alias = "working_directory", .kind = QT_K_STR, AT(qt_exec_req, workdir), .min = 1, .check = check_absolute,
	 .doc = "default: the container's"},
	{.name = "timeout_ms", .kind = QT_K_I64, AT(qt_exec_req, timeout_ms), .min = 1, .max = INT64_MAX,
	 .doc = "then SIGTERM, and SIGKILL after 2 s; default 300000, at most 600000"},
	{.name = "capture_output", .kind = QT_K_BOOL, AT(qt_exec_req, capture), .doc = "default true"},
	{.name = "detach", .kind = QT_K_BOOL, AT(qt_exec_req, detach), .doc = "answer 202 at once, with a job; its timeout_ms is not bounded, default none"},
	{.name = "environment", .kind = QT_K_MAP, .off = offsetof(struct qt_exec_req, environment), .size = 8192, .max = QT_ENV_MAX,
	 .check = check_exec_env, .doc = "on top of the container's"},
	{.name = "stdin_data", .kind = QT_K_TEXT, .off = offsetof(struct qt_exec_req, stdin_data), .doc = "what the command reads"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_exec_req exec_defaults = {.timeout_ms = 300000, .capture = true};

static const char *const execution_words[] = {"sync", "async", NULL};
static const struct qt_qfield execution_query[] = {
	{"execution", QT_Q_WORD, 0, 0, execution_words, "sync (default), or async for a 202 and an operation"}, {0}};
static const struct qt_qfield list_query[] = {
	{"state", QT_Q_STR, 1, 20, NULL, "created, starting, running, exited (or stopped), error"},
	{"limit", QT_Q_U64, 1, 1000, NULL, "at most so many; default all"},
	{"cursor", QT_Q_STR, 0, 63, NULL, "next_cursor of the page before"}, {0}};
static const char *const log_streams[] = {"stdout", "stderr", "system", NULL};
static const char *const ndjson[] = {"application/x-ndjson", NULL};
static const char *const follow_types[] = {"text/event-stream", "application/x-ndjson", NULL};
static const struct qt_qfield logs_query[] = {
	{"limit", QT_Q_U64, 1, 1000, NULL, "the newest so many; default 100"},
	{"since", QT_Q_STR, 1, 30, NULL, "nothing older: 2026-04-17T10:00:00Z, or seconds since 1970"},
	{"stream", QT_Q_WORD, 0, 0, log_streams, "this one only"},
	{"follow", QT_Q_BOOL, 0, 0, NULL, "go on with what comes: events (Accept: text/event-stream) or one JSON object a line"}, {0}};

#define CONTAINER_FIELDS \
	{"container_id", "string", 0, NULL}, {"tenant_id", "string", 0, NULL}, {"name", "string", 0, NULL}, {"state", "string", 0, NULL}, {"pid", "integer|null", 0, NULL}, \
	{"exit_code", "integer|null", 0, NULL}, {"ip_address", "string|null", 0, NULL}, {"created_at", "string", 0, NULL}, {"started_at", "string|null", 0, NULL}, \
	{"exited_at", "string|null", 0, NULL}, {"working_directory", "string", 0, NULL}, {"memory_limit_mb", "integer", 0, NULL}, \
	{"cpu_limit_percent", "number", 0, NULL}, {"strict", "boolean", 0, NULL}, {"gpu_count", "integer", 0, NULL}, {"gpu_ids", "array", 0, NULL}, {"labels", "object", 0, NULL}

static const struct qt_rfield container_fields[] = {CONTAINER_FIELDS, {0}};
static const struct qt_reply container = {"Container", container_fields};
static const struct qt_rfield checks_fields[] = {
	{"state_running", "boolean", 0, NULL}, {"minit_responsive", "boolean", 0, NULL}, {"network_configured", "boolean", 0, NULL},
	{"managed_image_valid", "boolean", 0, NULL}, {"gui_backend_reachable", "boolean|null", 0, NULL}, {0}};
static const struct qt_reply checks = {"Checks", checks_fields};
static const struct qt_rfield created_fields[] = {
	CONTAINER_FIELDS, {"exec_ready", "boolean", 0, NULL}, {"network_ready", "boolean", 0, NULL}, {"gui_ready", "boolean", 1, NULL}, {"checks", "object", 0, &checks}, {0}};
static const struct qt_reply created = {"ContainerCreated", created_fields};
static const struct qt_rfield list_fields[] = {{"containers", "array", 0, &container}, {"pagination", "object", 0, &qt_reply_pagination}, {0}};
static const struct qt_reply list = {"ContainerList", list_fields};
static const struct qt_rfield by_name_fields[] = {{"container_id", "string|null", 0, NULL}, {"name", "string", 0, NULL}, {"found", "boolean", 0, NULL}, {0}};
static const struct qt_reply by_name = {"ContainerName", by_name_fields};
static const struct qt_rfield ready_fields[] = {
	{"container_id", "string", 0, NULL}, {"state", "string", 0, NULL}, {"uptime_seconds", "integer", 0, NULL}, {"ready", "boolean", 0, NULL},
	{"exec_ready", "boolean", 0, NULL}, {"network_ready", "boolean", 0, NULL}, {"gui_ready", "boolean", 1, NULL}, {"checks", "object", 0, &checks}, {0}};
static const struct qt_reply ready = {"Readiness", ready_fields};
#define COUNT(name) {name, "integer", 0, NULL}
static const struct qt_rfield cpu_fields[] = {{"usage_percent", "number", 0, NULL}, {0}};
static const struct qt_reply cpu_use = {"CpuUse", cpu_fields};
static const struct qt_rfield memory_fields[] = {{"used_mb", "number", 0, NULL}, {"limit_mb", "number", 0, NULL}, {0}};
static const struct qt_reply memory_use = {"MemoryUse", memory_fields};
static const struct qt_rfield metrics_fields[] = {
	{"container_id", "string", 0, NULL}, COUNT("timestamp"), COUNT("cpu_usage_usec"), COUNT("cpu_user_usec"), COUNT("cpu_system_usec"),
	COUNT("cpu_throttled_usec"), COUNT("memory_current_bytes"), COUNT("memory_peak_bytes"), COUNT("memory_limit_bytes"),
	COUNT("memory_cache_bytes"), COUNT("memory_rss_bytes"), COUNT("memory_oom_kills"), COUNT("pids"), COUNT("network_rx_bytes"),
	COUNT("network_tx_bytes"), COUNT("network_rx_packets"), COUNT("network_tx_packets"), COUNT("network_rx_errors"),
	COUNT("network_tx_errors"), COUNT("disk_read_bytes"), COUNT("disk_write_bytes"), COUNT("disk_read_ops"), COUNT("disk_write_ops"),
	{"cpu", "object", 0, &cpu_use}, {"memory", "object", 0, &memory_use}, {0}};
static const struct qt_reply metrics = {"Metrics", metrics_fields};
static const struct qt_rfield line_fields[] = {
	{"timestamp", "string", 0, NULL}, {"level", "string", 0, NULL}, {"message", "string", 0, NULL}, {"stream", "string", 0, NULL}, {0}};
static const struct qt_reply line = {"LogLine", line_fields};
static const struct qt_rfield logs_fields[] = {{"container_id", "string", 0, NULL}, {"logs", "array", 0, &line}, {0}};
static const struct qt_reply logs = {"Logs", logs_fields};
static const struct qt_rfield item_fields[] = {
	{"index", "integer", 0, NULL}, {"name", "string", 0, NULL}, {"status", "string", 0, NULL}, {"container_id", "string|null", 0, NULL},
	{"error", "string|null", 0, NULL}, {0}};
static const struct qt_reply item = {"BatchItem", item_fields};
static const struct qt_rfield batch_receipt_fields[] = {
	{"success", "boolean", 0, NULL}, {"operation_id", "string", 0, NULL}, {"status_url", "string", 0, NULL}, {"items", "array", 0, &item}, {0}};
static const struct qt_reply batch_receipt = {"BatchReceipt", batch_receipt_fields};
static const struct qt_rfield ended_fields[] = {
	{"success", "boolean", 0, NULL}, {"container_id", "string", 0, NULL}, {"state", "string", 0, NULL}, {"exit_code", "integer", 0, NULL}, {"exited_at", "string", 0, NULL}, {0}};
static const struct qt_reply ended = {"Ended", ended_fields};
static const struct qt_rfield removed_fields[] = {{"success", "boolean", 0, NULL}, {"container_id", "string", 0, NULL}, {"message", "string", 0, NULL}, {0}};
static const struct qt_reply removed = {"Removed", removed_fields};
static const struct qt_rfield renamed_fields[] = {
	{"success", "boolean", 0, NULL}, {"container_id", "string", 0, NULL}, {"old_name", "string", 0, NULL}, {"new_name", "string", 0, NULL}, {"dns_updated", "boolean", 0, NULL}, {0}};
static const struct qt_reply renamed = {"Renamed", renamed_fields};
static const struct qt_rfield env_fields[] = {{"container_id", "string", 0, NULL}, {"environment", "object", 0, NULL}, {0}};
static const struct qt_reply env = {"Environment", env_fields};
static const struct qt_rfield exec_fields[] = {
	{"container_id", "string", 0, NULL}, {"exit_code", "integer", 0, NULL}, {"stdout", "string", 0, NULL}, {"stderr", "string", 0, NULL},
	{"execution_time_ms", "integer", 0, NULL}, {"timed_out", "boolean", 0, NULL}, {"output_truncated", "boolean", 0, NULL}, {"success", "boolean", 0, NULL},
	{"job_id", "string", 0, NULL}, {"status", "string", 0, NULL}, {"status_url", "string", 0, NULL}, {0}};
static const struct qt_reply exec = {"ExecResult", exec_fields};
static const struct qt_rfield detached_fields[] = {
	{"success", "boolean", 0, NULL}, {"container_id", "string", 0, NULL}, {"job_id", "string", 0, NULL}, {"status", "string", 0, NULL}, {"status_url", "string", 0, NULL}, {0}};
static const struct qt_reply detached = {"JobReceipt", detached_fields};

#define RUNTIME_ERRORS QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT, QT_E_UNAVAILABLE

const struct qt_route qt_routes_containers[] = {
	{.id = "listContainers", .method = "GET", .path = "/api/containers", .summary = "List the tenant's containers",
	 .scope = QT_SCOPE_TENANT, .query = list_query, .ok = 200, .reply = &list, .budget_ms = 10000,
	 .errors = {QT_E_VALIDATION_ERROR}, .fn = qt_h_ctr_list},
	{.id = "createContainer", .method = "POST", .path = "/api/containers", .summary = "Create a container and start it",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .body = qt_create_body, .body_size = sizeof(struct qt_create_req),
	 .body_defaults = &qt_create_defaults, .query = execution_query, .ok = 201, .reply = &created, .also_ok = 202, .also_reply = &qt_reply_receipt,
	 .budget_ms = 30000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_PLAN_REQUIRED, QT_E_IMAGE_NOT_FOUND, QT_E_VOLUME_NOT_FOUND, QT_E_CONTAINER_NAME_CONFLICT, QT_E_QUOTA_EXCEEDED,
		    QT_E_CAPACITY_FULL, RUNTIME_ERRORS},
	 .fn = qt_h_ctr_create},
	{.id = "createContainerBatch", .method = "POST", .path = "/api/containers/batch", .summary = "Create several containers, in parallel",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .body = batch_body, .body_size = sizeof(struct qt_batch_req), .query = execution_query, .ok = 202,
	 .reply = &batch_receipt, .budget_ms = 20000,
	 .errors = {QT_E_PLAN_REQUIRED, QT_E_IMAGE_NOT_FOUND, QT_E_VOLUME_NOT_FOUND, QT_E_CONTAINER_NAME_CONFLICT, QT_E_QUOTA_EXCEEDED,
		    QT_E_CAPACITY_FULL, RUNTIME_ERRORS},
	 .fn = qt_h_ctr_batch},
	{.id = "getContainer", .method = "GET", .path = "/api/containers/{id}", .summary = "What state is it in?", .scope = QT_SCOPE_TENANT,
	 .ok = 200, .reply = &container, .budget_ms = 5000, .errors = {QT_E_CONTAINER_NOT_FOUND}, .fn = qt_h_ctr_get},
	{.id = "getContainerByName", .method = "GET", .path = "/api/containers/by-name/{name}", .summary = "The id of a name",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &by_name, .budget_ms = 5000, .errors = {QT_E_CONTAINER_NOT_FOUND}, .fn = qt_h_ctr_by_name},
	{.id = "getContainerReady", .method = "GET", .path = "/api/containers/{id}/ready", .summary = "What is it ready for?",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .ok = 200, .reply = &ready, .budget_ms = 10000,
	 .errors = {QT_E_CONTAINER_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_ctr_ready},
	{.id = "getContainerMetrics", .method = "GET", .path = "/api/containers/{id}/metrics", .summary = "Its counters now",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &metrics, .budget_ms = 10000, .errors = {QT_E_CONTAINER_NOT_FOUND, RUNTIME_ERRORS},
	 .fn = qt_h_ctr_metrics},
	{.id = "getContainerLogs", .method = "GET", .path = "/api/containers/{id}/logs", .summary = "The newest lines of its output",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_FOLLOW, .query = logs_query, .ok = 200, .reply = &logs, .types = follow_types, .budget_ms = 10000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_QUOTA_EXCEEDED, RUNTIME_ERRORS}, .fn = qt_h_ctr_logs},
	{.id = "startContainer", .method = "POST", .path = "/api/containers/{id}/start", .summary = "Start it again",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_EMPTY_OK, .body = start_body, .body_size = sizeof(struct no_req), .ok = 202,
	 .reply = &qt_reply_receipt, .budget_ms = 5000, .errors = {QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE}, .fn = qt_h_ctr_start},
	{.id = "resumeContainer", .method = "POST", .path = "/api/containers/{id}/resume", .summary = "Start it again",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_EMPTY_OK, .body = start_body, .body_size = sizeof(struct no_req),
	 .query = execution_query, .ok = 202, .reply = &qt_reply_receipt, .budget_ms = 5000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE}, .fn = qt_h_ctr_resume},
	{.id = "stopContainer", .method = "POST", .path = "/api/containers/{id}/stop", .summary = "Ask its command to end, then force it",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_EMPTY_OK, .body = stop_body, .body_size = sizeof(struct qt_stop_req),
	 .query = execution_query, .ok = 200, .reply = &ended, .also_ok = 202, .also_reply = &qt_reply_receipt, .budget_ms = 630000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, RUNTIME_ERRORS}, .fn = qt_h_ctr_stop},
	{.id = "killContainer", .method = "POST", .path = "/api/containers/{id}/kill", .summary = "End it at once",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_ENDS | QT_R_EMPTY_OK, .body = strict_empty_body, .body_size = sizeof(struct no_req),
	 .ok = 200, .reply = &ended, .budget_ms = 25000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, RUNTIME_ERRORS}, .fn = qt_h_ctr_kill},
	{.id = "renameContainer", .method = "POST", .path = "/api/containers/{id}/rename", .summary = "Give it another name",
	 .scope = QT_SCOPE_TENANT, .body = rename_body, .body_size = sizeof(struct qt_rename_req), .ok = 200, .reply = &renamed,
	 .budget_ms = 5000, .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_CONTAINER_NAME_CONFLICT}, .fn = qt_h_ctr_rename},
	{.id = "deleteContainer", .method = "DELETE", .path = "/api/containers/{id}", .summary = "Take it away",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW | QT_R_ENDS | QT_R_EMPTY_OK, .body = strict_empty_body, .body_size = sizeof(struct no_req),
	 .query = execution_query, .ok = 200, .reply = &removed, .also_ok = 202, .also_reply = &qt_reply_receipt, .budget_ms = 60000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_ctr_delete},
	{.id = "getContainerEnv", .method = "GET", .path = "/api/containers/{id}/env", .summary = "Its environment map",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &env, .budget_ms = 5000, .errors = {QT_E_CONTAINER_NOT_FOUND}, .fn = qt_h_env_get},
	{.id = "patchContainerEnv", .method = "PATCH", .path = "/api/containers/{id}/env", .summary = "Change some variables",
	 .scope = QT_SCOPE_TENANT, .body = env_patch_body, .body_size = sizeof(struct qt_env_req), .ok = 200, .reply = &qt_reply_success,
	 .budget_ms = 5000, .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND}, .fn = qt_h_env_patch},
	{.id = "putContainerEnv", .method = "PUT", .path = "/api/containers/{id}/env", .summary = "Replace the map",
	 .scope = QT_SCOPE_TENANT, .body = env_put_body, .body_size = sizeof(struct qt_env_req), .ok = 200, .reply = &qt_reply_success,
	 .budget_ms = 5000, .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND}, .fn = qt_h_env_put},
	{.id = "execInContainer", .method = "POST", .path = "/api/containers/{id}/exec", .summary = "Run a command in it",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_SLOW, .body = exec_body, .body_size = sizeof(struct qt_exec_req),
	 .body_defaults = &exec_defaults, .ok = 200, .reply = &exec, .also_ok = 202, .also_reply = &detached, .budget_ms = 610000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, QT_E_EXEC_NOT_READY, RUNTIME_ERRORS},
	 .fn = qt_h_exec},
	{.id = "streamExec", .method = "POST", .path = "/api/containers/{id}/stream", .summary = "Run a command in it, and see its output as it comes",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_STREAM, .body = exec_body, .body_size = sizeof(struct qt_exec_req), .body_defaults = &exec_defaults,
	 .ok = 200, .types = ndjson, .budget_ms = 30000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, QT_E_EXEC_NOT_READY, QT_E_QUOTA_EXCEEDED, RUNTIME_ERRORS},
	 .fn = qt_h_exec_stream},
	{0},
};
