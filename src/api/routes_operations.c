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

const struct qt_route qt_routes_operations[] = {
	{.id = "getOperation", .method = "GET", .path = "/api/operations/{id}", .summary = "The record of an operation",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &op, .budget_ms = 5000, .errors = {QT_E_OPERATION_NOT_FOUND}, .fn = qt_h_op_get},
	{0},
};
