/* routes_jobs.c - what runs in a container besides its command: jobs and processes. */
#include "handlers.h"

/* clang-format off */
static const struct qt_qfield output_query[] = {{"include_output", QT_Q_BOOL, 0, 0, NULL, "stdout and stderr; default true"}, {0}};
static const struct qt_qfield signal_query[] = {{"signal", QT_Q_STR, 1, 10, NULL, "TERM (default), KILL, INT, HUP, USR1, USR2, CONT, STOP, with or without SIG"}, {0}};

static const struct qt_rfield job_fields[] = {
	{"job_id", "string", 0, NULL}, {"container_id", "string", 0, NULL}, {"command", "string", 0, NULL}, {"status", "string", 0, NULL},
	{"exit_code", "integer|null", 0, NULL}, {"stdout", "string", 1, NULL}, {"stderr", "string", 1, NULL}, {"started_at", "integer", 0, NULL},
	{"completed_at", "integer|null", 0, NULL}, {"error_message", "string|null", 0, NULL}, {"output_truncated", "boolean", 1, NULL},
	{"detached", "boolean", 1, NULL}, {0}};
static const struct qt_reply job = {"Job", job_fields};
static const struct qt_rfield jobs_fields[] = {{"jobs", "array", 0, &job}, {0}};
static const struct qt_reply jobs = {"Jobs", jobs_fields};
static const struct qt_rfield process_fields[] = {
	{"pid", "integer", 0, NULL}, {"ppid", "integer", 0, NULL}, {"command", "string", 0, NULL}, {"state", "string", 0, NULL},
	{"memory_kb", "integer", 0, NULL}, {"started_at", "integer", 0, NULL}, {0}};
static const struct qt_reply process = {"Process", process_fields};
static const struct qt_rfield processes_fields[] = {{"container_id", "string", 0, NULL}, {"processes", "array", 0, &process}, {0}};
static const struct qt_reply processes = {"Processes", processes_fields};
static const struct qt_rfield signalled_fields[] = {
	{"success", "boolean", 0, NULL}, {"pid", "integer", 0, NULL}, {"signal", "string", 0, NULL}, {0}};
static const struct qt_reply signalled = {"Signalled", signalled_fields};

#define RUNTIME_ERRORS QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT, QT_E_UNAVAILABLE

const struct qt_route qt_routes_jobs[] = {
	{.id = "listJobs", .method = "GET", .path = "/api/containers/{id}/jobs", .summary = "Its execs, the newest first", .scope = QT_SCOPE_TENANT,
	 .flags = QT_R_SLOW, .ok = 200, .reply = &jobs, .budget_ms = 10000, .errors = {QT_E_CONTAINER_NOT_FOUND}, .fn = qt_h_job_list},
	{.id = "getJob", .method = "GET", .path = "/api/containers/{id}/jobs/{job_id}", .summary = "One exec", .scope = QT_SCOPE_TENANT,
	 .flags = QT_R_SLOW, .query = output_query, .ok = 200, .reply = &job, .budget_ms = 10000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_JOB_NOT_FOUND}, .fn = qt_h_job_get},
	{.id = "listProcesses", .method = "GET", .path = "/api/containers/{id}/processes", .summary = "What runs in it", .scope = QT_SCOPE_TENANT,
	 .ok = 200, .reply = &processes, .budget_ms = 10000, .errors = {QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, RUNTIME_ERRORS},
	 .fn = qt_h_process_list},
	{.id = "signalProcess", .method = "DELETE", .path = "/api/containers/{id}/processes/{pid}", .summary = "Send a process a signal",
	 .scope = QT_SCOPE_TENANT, .query = signal_query, .ok = 200, .reply = &signalled, .budget_ms = 10000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_PROCESS_NOT_FOUND, QT_E_INVALID_STATE, RUNTIME_ERRORS},
	 .fn = qt_h_process_signal},
	{0},
};
