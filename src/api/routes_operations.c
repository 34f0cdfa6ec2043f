/* routes_operations.c - operation records. */
#include "handlers.h"

/* clang-format off */
static const struct qt_rfield op_fields[] = {
	{"operation_id", "string", 0}, {"operation_type", "string", 0}, {"status", "string", 0}, {"message", "string|null", 0},
	{"progress_pct", "integer", 0}, {"result", "object|null", 0}, {"container_id", "string|null", 0},
	{"snapshot_id", "string|null", 0}, {"result_container_id", "string|null", 0}, {"target_resource_type", "string|null", 0},
	{"target_resource_id", "string|null", 0}, {"error", "string|null", 0}, {"error_message", "string|null", 0},
	{"reason_code", "string|null", 0}, {"reason_message", "string|null", 0}, {"warnings", "array", 0},
	{"capability_downgrades", "array", 0}, {"created_at", "integer", 0}, {"started_at", "integer|null", 0},
	{"updated_at", "integer", 0}, {"completed_at", "integer|null", 0}, {0},
};
static const struct qt_reply op = {"Operation", op_fields};

const struct qt_route qt_routes_operations[] = {
	{.id = "getOperation", .method = "GET", .path = "/api/operations/{id}", .summary = "The record of an operation",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &op, .budget_ms = 5000, .errors = {QT_E_OPERATION_NOT_FOUND}, .fn = qt_h_op_get},
	{0},
};
