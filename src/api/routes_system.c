/* routes_system.c - health, what this installation is, and the guides. */
#include "handlers.h"

/* clang-format off */
static const struct qt_rfield health_fields[] = {{"status", "string", 0, NULL}, {"version", "string", 0, NULL}, {"uptime_seconds", "integer", 0, NULL}, {0}};
static const struct qt_reply health = {"Health", health_fields};
static const struct qt_rfield features_fields[] = {
	{"exec", "boolean", 0, NULL}, {"volumes", "boolean", 0, NULL}, {"gpu", "boolean", 0, NULL}, {"oci", "boolean", 0, NULL}, {0}};
static const struct qt_reply features = {"Features", features_fields};
static const struct qt_rfield limits_fields[] = {{"containers", "integer", 0, NULL}, {"cpus", "integer", 0, NULL}, {"gpus", "integer", 0, NULL}, {"memory_bytes", "integer", 0, NULL},
						 {"max_body_bytes", "integer", 0, NULL}, {"exec_output_bytes", "integer", 0, NULL}, {0}};
static const struct qt_reply limits = {"Limits", limits_fields};
static const struct qt_rfield info_fields[] = {{"version", "string", 0, NULL},  {"runtime", "string", 0, NULL}, {"start_time", "string", 0, NULL},
					       {"node", "string", 0, NULL}, {"features", "object", 0, &features}, {"limits", "object", 0, &limits}, {0}};
static const struct qt_reply info = {"SystemInfo", info_fields};
static const struct qt_rfield route_fields[] = {
	{"method", "string", 0, NULL}, {"path", "string", 0, NULL}, {"summary", "string", 0, NULL}, {"success", "integer", 0, NULL}, {0}};
static const struct qt_reply route = {"HelpRoute", route_fields};
static const struct qt_rfield help_fields[] = {{"concern", "string", 0, NULL}, {"routes", "array", 0, &route}, {"notes", "array", 0, NULL}, {0}};
static const struct qt_reply help = {"Help", help_fields};
static const struct qt_rfield example_fields[] = {
	{"title", "string", 0, NULL}, {"method", "string", 0, NULL}, {"path", "string", 0, NULL}, {"body", "object|null", 0, NULL}, {0}};
static const struct qt_reply example = {"Example", example_fields};
static const struct qt_rfield examples_fields[] = {{"concern", "string", 0, NULL}, {"examples", "array", 0, &example}, {0}};
static const struct qt_reply examples = {"Examples", examples_fields};
static const struct qt_rfield check_fields[] = {{"name", "string", 0, NULL}, {"ok", "boolean", 0, NULL}, {0}};
static const struct qt_reply check = {"Check", check_fields};
static const struct qt_rfield concern_fields[] = {
	{"concern", "string", 0, NULL}, {"status", "string", 0, NULL}, {"ready", "boolean", 0, NULL}, {"checks", "array", 0, &check}, {0}};
static const struct qt_reply concern = {"ConcernHealth", concern_fields};

static const char *const formats[] = {"json", "markdown", NULL};
static const struct qt_qfield format_query[] = {{"format", QT_Q_WORD, 0, 0, formats, "json (default) or markdown"}, {0}};

const struct qt_route qt_routes_system[] = {
	{.id = "health", .method = "GET", .path = "/health", .summary = "Is the API there?", .scope = QT_SCOPE_PUBLIC, .ok = 200,
	 .reply = &health, .budget_ms = 2000, .fn = qt_h_health},
	{.id = "systemInfo", .method = "GET", .path = "/api/system/info", .summary = "Version, features and limits",
	 .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &info, .budget_ms = 5000, .errors = {QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT},
	 .fn = qt_h_system_info},
	{.id = "containersHelp", .method = "GET", .path = "/api/containers/help", .summary = "The routes, and what to know",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_TEXT_TOO, .query = format_query, .ok = 200, .reply = &help, .budget_ms = 2000,
	 .errors = {QT_E_VALIDATION_ERROR}, .fn = qt_h_guide_help},
	{.id = "containersExamples", .method = "GET", .path = "/api/containers/examples", .summary = "Requests to copy",
	 .scope = QT_SCOPE_TENANT, .flags = QT_R_TEXT_TOO, .query = format_query, .ok = 200, .reply = &examples,
	 .budget_ms = 2000, .errors = {QT_E_VALIDATION_ERROR}, .fn = qt_h_guide_examples},
	{.id = "containersHealth", .method = "GET", .path = "/api/containers/health",
	 .summary = "Can containers be made and used now?", .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &concern,
	 .budget_ms = 5000, .errors = {QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT}, .fn = qt_h_guide_health},
	{0},
};
