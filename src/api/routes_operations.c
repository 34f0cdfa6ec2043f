/* routes_operations.c - operation records. */
#include "handlers.h"

/* clang-format off */
static const struct qt_rfield op_fields[] = {
	{"operation_id", "string", 0, NULL}, {"operation_type", "string", 0, NULL}, {"status", "string", 0, NULL}, {"message", "string|null", 0, NULL},
	{"progress_pct", "integer", 0, NULL}, {"result", "object|null", 0, NULL}, {"container_id", "string|null", 0, NULL},
	{"snapshot_id", "string|null", 0, NULL}, {"result_container_id", "string|null", 0, NULL}, {"target_resource_type", "string|null", 0, NULL},
	{"target_resource_id", "string|null", 0, NULL}, {"error", "string|null", 0, NULL}, {"error_message", "string|null", 0, NULL},
	{"reason_code", "string|null", 0, NULL}, {"reason_message", "string|null", 0, NULL}, {"warnings", "array", 0, NULL},
	{"capability_downgrades", "array", 0, NULL}, {"items", "array", 0, NULL}, {"created_at", "integer", 0, NULL}, {"started_at", "integer|null", 0, NULL},
	{"updated_at", "integer", 0, NULL}, {"completed_at", "integer|null", 0, NULL}, {0},
};
static const struct qt_reply op = {"Operation", op_fields};

static const struct qt_rfield pagination_fields[] = {{"has_next", "boolean", 0, NULL}, {"next_cursor", "string|null", 0, NULL}, {0}};
static const struct qt_reply pagination = {"Pagination", pagination_fields};
static const struct qt_rfield list_fields[] = {{"operations", "array", 0, &op}, {"pagination", "object", 0, &pagination}, {0}};
static const struct qt_reply list = {"OperationList", list_fields};

static const char *const status_words[] = {"accepted", "queued", "running", "succeeded", "failed", "cancelled", "timed_out", NULL};
static const struct qt_qfield list_query[] = {
	{"status", QT_Q_WORD, 0, 0, status_words, "only those"},
	{"limit", QT_Q_U64, 1, 1000, NULL, "at most so many; default 100"},
	{"cursor", QT_Q_STR, 0, 63, NULL, "next_cursor of the page before"}, {0}};

static const struct qt_qfield logs_query[] = {
	{"after", QT_Q_STR, 0, 40, NULL, "next of the answer before; default: from the first on"},
	{"limit", QT_Q_U64, 1, 500, NULL, "at most so many pieces; default 100"}, {0}};
static const struct qt_rfield log_fields[] = {
	{"cursor", "string", 0, NULL}, {"timestamp_ms", "integer", 0, NULL}, {"stream", "string", 0, NULL}, {"step", "integer", 0, NULL}, {"message", "string", 0, NULL},
	{0}};
static const struct qt_reply log_piece = {"OperationLog", log_fields};
static const struct qt_rfield logs_fields[] = {
	{"operation_id", "string", 0, NULL}, {"logs", "array", 0, &log_piece}, {"next", "string|null", 0, NULL}, {"complete", "boolean", 0, NULL}, {0}};
static const struct qt_reply logs = {"OperationLogs", logs_fields};

const struct qt_route qt_routes_operations[] = {
	{.id = "listOperations", .method = "GET", .path = "/api/operations", .summary = "The tenant's operations, newest first",
	 .scope = QT_SCOPE_TENANT, .query = list_query, .ok = 200, .reply = &list, .budget_ms = 10000,
	 .errors = {QT_E_VALIDATION_ERROR}, .fn = qt_h_op_list},
	{.id = "getOperation", .method = "GET", .path = "/api/operations/{id}", .summary = "The record of an operation",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &op, .budget_ms = 5000, .errors = {QT_E_OPERATION_NOT_FOUND}, .fn = qt_h_op_get},
	{.id = "operationLogs", .method = "GET", .path = "/api/operations/{id}/logs", .summary = "What the steps of a build have written so far, oldest first",
	 .scope = QT_SCOPE_TENANT, .query = logs_query, .ok = 200, .reply = &logs, .budget_ms = 5000, .errors = {QT_E_VALIDATION_ERROR, QT_E_OPERATION_NOT_FOUND},
	 .fn = qt_h_op_logs},
	{.id = "cancelOperation", .method = "DELETE", .path = "/api/operations/{id}", .summary = "End it: at once (200) if nobody works on it, else soon (202)",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &op, .also_ok = 202, .also_reply = &op, .budget_ms = 5000,
	 .errors = {QT_E_OPERATION_NOT_FOUND, QT_E_INVALID_STATE}, .fn = qt_h_op_cancel},
	{0},
};
