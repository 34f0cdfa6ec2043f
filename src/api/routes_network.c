/* routes_network.c - networks, routes, names, and what is told of a tenant as a whole (contract 10). */
#include <stddef.h>

#include "handlers.h"
#include "netaddr.h"

static int check_name(const char *field, const char *name, const char *value, struct qt_err *e)
{
	(void)name;
	return qt_check_name(field, value, e);
}

static int check_address(const char *field, const char *name, const char *value, struct qt_err *e)
{
	uint32_t ip;

	(void)name;
	return rt_net_parse(&ip, value) ? 0
					: qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "an IPv4 address", "this is no IPv4 address");
}

static int check_route(const char *field, const char *name, const char *value, struct qt_err *e)
{
	struct rt_cidr net;

	(void)field;
	(void)name;
	return rt_route_parse(&net, value, e);
}

#define AT(type, member) .off = offsetof(struct type, member), .size = sizeof(((struct type *)0)->member)

/* clang-format off */
static const struct qt_field address_body[] = {
	{.name = "ip_address", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_address_req, ip), .min = 1, .check = check_address,
	 .doc = "an address of the node's subnet"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field route_body[] = {
	{.name = "destination", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_route_req, destination), .min = 1, .check = check_route,
	 .example = "10.0.0.0/24", .doc = "an IPv4 network, by way of the gateway; the node's packet filter still decides what passes"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field rename_body[] = {
	{.name = "new_name", .alias = "name", .kind = QT_K_STR, .flags = QT_F_REQUIRED, AT(qt_dns_rename_req, new_name), .min = 1,
	 .check = check_name, .doc = "the container's new name"},
	{.name = "async_mode", .kind = QT_K_IGNORE},
	{0},
};
static const struct qt_field cleanup_body[] = {
	{.name = "confirm", .kind = QT_K_BOOL, AT(qt_cleanup_req, confirm), .doc = "must be true"},
	{.name = "remove_volumes", .kind = QT_K_IGNORE}, {.name = "async_mode", .kind = QT_K_IGNORE}, {0},
};
struct no_req { char unused; };
static const struct qt_field empty_body[] = {{.name = "async_mode", .kind = QT_K_IGNORE}, {0}};

static const struct qt_qfield limit_query[] = {{"limit", QT_Q_U64, 1, 1000, NULL, "the newest so many; default 50"}, {0}};

#define NETWORK_FIELDS \
	{"container_id", "string", 0, NULL}, {"container_name", "string", 0, NULL}, {"ip_address", "string|null", 0, NULL}, \
	{"bridge_interface", "null", 0, NULL}, {"veth_host", "string|null", 0, NULL}, {"veth_container", "string", 0, NULL}, \
	{"gateway", "string|null", 0, NULL}, {"setup_completed", "boolean", 0, NULL}, {"status", "string", 0, NULL}, \
	{"allocation_time", "string", 0, NULL}, {"routes", "array", 0, NULL}

static const struct qt_rfield network_fields[] = {NETWORK_FIELDS, {0}};
static const struct qt_reply network = {"Network", network_fields};
static const struct qt_rfield network_set_fields[] = {NETWORK_FIELDS, {"success", "boolean", 0, NULL}, {0}};
static const struct qt_reply network_set = {"NetworkSet", network_set_fields};
static const struct qt_rfield allocations_fields[] = {{"allocations", "array", 0, &network}, {0}};
static const struct qt_reply allocations = {"NetworkAllocations", allocations_fields};
static const struct qt_rfield net_check_fields[] = {{"name", "string", 0, NULL}, {"ok", "boolean", 0, NULL}, {"detail", "string", 0, NULL}, {0}};
static const struct qt_reply net_check = {"NetworkCheck", net_check_fields};
static const struct qt_rfield diagnostics_fields[] = {
	{"container_id", "string", 0, NULL}, {"state", "string", 0, NULL}, {"healthy", "boolean", 0, NULL}, {"checks", "array", 0, &net_check}, {0}};
static const struct qt_reply diagnostics = {"NetworkDiagnostics", diagnostics_fields};
static const struct qt_rfield egress_fields[] = {
	{"container_id", "string", 0, NULL}, {"egress_bytes", "integer", 0, NULL}, {"egress_limit_bytes", "null", 0, NULL},
	{"limit_mbit", "null", 0, NULL}, {"period_start", "string|null", 0, NULL}, {0}};
static const struct qt_reply egress = {"Egress", egress_fields};
static const struct qt_rfield route_fields[] = {
	{"success", "boolean", 0, NULL}, {"container_id", "string", 0, NULL}, {"destination", "string", 0, NULL}, {"routes", "array", 0, NULL}, {0}};
static const struct qt_reply route = {"ContainerRoute", route_fields};
static const struct qt_rfield entry_fields[] = {
	{"container_id", "string", 0, NULL}, {"container_name", "string", 0, NULL}, {"ip_address", "string", 0, NULL}, {"ttl", "integer", 0, NULL}, {0}};
static const struct qt_reply entry = {"DnsEntry", entry_fields};
static const struct qt_rfield entries_fields[] = {{"domain", "string", 0, NULL}, {"entries", "array", 0, &entry}, {0}};
static const struct qt_reply entries = {"DnsEntries", entries_fields};
static const struct qt_rfield dns_renamed_fields[] = {
	{"success", "boolean", 0, NULL}, {"container_id", "string", 0, NULL}, {"old_name", "string", 0, NULL}, {"new_name", "string", 0, NULL}, {0}};
static const struct qt_reply dns_renamed = {"DnsRenamed", dns_renamed_fields};
static const struct qt_rfield act_fields[] = {
	{"id", "string", 0, NULL}, {"type", "string", 0, NULL}, {"message", "string", 0, NULL}, {"container_id", "string|null", 0, NULL},
	{"created_at", "string|null", 0, NULL}, {0}};
static const struct qt_reply act = {"ActivityItem", act_fields};
static const struct qt_rfield activity_fields[] = {{"activity", "array", 0, &act}, {0}};
static const struct qt_reply activity = {"Activity", activity_fields};
static const struct qt_rfield cleanup_fields[] = {
	{"pending_tasks", "integer", 0, NULL}, {"completed_tasks", "integer", 0, NULL}, {"failed_tasks", "integer", 0, NULL},
	{"last_cleanup", "string|null", 0, NULL}, {0}};
static const struct qt_reply cleanup = {"CleanupStatus", cleanup_fields};
static const struct qt_rfield task_fields[] = {
	{"task_id", "string", 0, NULL}, {"container_id", "string", 0, NULL}, {"resource_type", "string", 0, NULL}, {"resource_path", "string", 0, NULL},
	{"status", "string", 0, NULL}, {"created_at", "string|null", 0, NULL}, {"completed_at", "string|null", 0, NULL},
	{"error_message", "string|null", 0, NULL}, {0}};
static const struct qt_reply task = {"CleanupTask", task_fields};
static const struct qt_rfield tasks_fields[] = {{"tasks", "array", 0, &task}, {0}};
static const struct qt_reply tasks = {"CleanupTasks", tasks_fields};
static const struct qt_rfield cleaned_fields[] = {
	{"success", "boolean", 0, NULL}, {"container_id", "string", 0, NULL}, {"cleaned_resources", "array", 0, NULL}, {0}};
static const struct qt_reply cleaned = {"Cleaned", cleaned_fields};
static const struct qt_rfield monitor_fields[] = {
	{"container_id", "string", 0, NULL}, {"container_name", "string", 0, NULL}, {"pid", "integer|null", 0, NULL}, {"status", "string", 0, NULL},
	{"started_at", "string|null", 0, NULL}, {"last_check", "string|null", 0, NULL}, {"error_message", "string|null", 0, NULL}, {0}};
static const struct qt_reply monitor = {"ProcessMonitor", monitor_fields};
static const struct qt_rfield monitors_fields[] = {{"monitors", "array", 0, &monitor}, {0}};
static const struct qt_reply monitors = {"Monitors", monitors_fields};
static const struct qt_rfield processes_fields[] = {{"processes", "array", 0, &monitor}, {0}};
static const struct qt_reply processes = {"MonitoredProcesses", processes_fields};
static const struct qt_rfield watch_fields[] = {{"exit_events", "boolean", 0, NULL}, {"compare_every_seconds", "integer", 0, NULL}, {0}};
static const struct qt_reply watch = {"MonitorProfileSettings", watch_fields};
static const struct qt_rfield profile_fields[] = {{"profile", "object", 0, &watch}, {"active_monitors", "integer", 0, NULL}, {0}};
static const struct qt_reply profile = {"MonitorProfile", profile_fields};

#define RUNTIME_ERRORS QT_E_RUNTIME_UNAVAILABLE, QT_E_TIMEOUT, QT_E_UNAVAILABLE
#define ROW(id_, method_, path_, summary_, reply_) \
	.id = id_, .method = method_, .path = path_, .summary = summary_, .scope = QT_SCOPE_TENANT, .ok = 200, .reply = &(reply_)
#define BODY(table, type) .body = table, .body_size = sizeof(struct type)

const struct qt_route qt_routes_network[] = {
	{ROW("listNetworkAllocations", "GET", "/api/network/allocations", "The networks of all containers", allocations), .flags = QT_R_SLOW,
	 .budget_ms = 30000, .errors = {RUNTIME_ERRORS}, .fn = qt_h_net_allocations},
	{ROW("getContainerNetwork", "GET", "/api/containers/{id}/network", "Its address, link and routes", network),
	 .budget_ms = 10000, .errors = {QT_E_CONTAINER_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_net_get},
	{ROW("putContainerNetwork", "PUT", "/api/containers/{id}/network", "Another address, while it does not run", network_set),
	 BODY(address_body, qt_address_req), .budget_ms = 15000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, QT_E_CONFLICT, RUNTIME_ERRORS}, .fn = qt_h_net_put},
	{ROW("setupContainerNetwork", "POST", "/api/containers/{id}/network/setup", "Put back what is missing of its network", network_set),
	 .flags = QT_R_EMPTY_OK, BODY(empty_body, no_req), .budget_ms = 20000,
	 .errors = {QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, RUNTIME_ERRORS}, .fn = qt_h_net_setup},
	{ROW("diagnoseContainerNetwork", "GET", "/api/containers/{id}/network/diagnostics", "What is well with its network, and what is not", diagnostics),
	 .budget_ms = 10000, .errors = {QT_E_CONTAINER_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_net_diagnostics},
	{ROW("getContainerEgress", "GET", "/api/containers/{id}/egress", "What it sent since its start", egress),
	 .budget_ms = 10000, .errors = {QT_E_CONTAINER_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_net_egress},
	{ROW("addContainerRoute", "POST", "/api/containers/{id}/routes", "A further route inside it", route), BODY(route_body, qt_route_req),
	 .budget_ms = 15000, .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_CONFLICT, RUNTIME_ERRORS}, .fn = qt_h_route_add},
	{ROW("removeContainerRoute", "DELETE", "/api/containers/{id}/routes", "One of its further routes goes", route), BODY(route_body, qt_route_req),
	 .budget_ms = 15000, .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, RUNTIME_ERRORS}, .fn = qt_h_route_remove},
	{ROW("listDnsEntries", "GET", "/api/dns/entries", "The names that resolve inside the containers", entries),
	 .budget_ms = 10000, .fn = qt_h_dns_entries},
	{ROW("renameDnsEntry", "POST", "/api/dns/entries/{name}/rename", "Rename the container of that name", dns_renamed),
	 BODY(rename_body, qt_dns_rename_req), .budget_ms = 10000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_CONTAINER_NAME_CONFLICT}, .fn = qt_h_dns_rename},
	{ROW("listActivity", "GET", "/api/activity", "What happened lately, the newest first", activity), .query = limit_query,
	 .budget_ms = 5000, .errors = {QT_E_VALIDATION_ERROR}, .fn = qt_h_activity},
	{ROW("getCleanupStatus", "GET", "/api/cleanup/status", "What is being taken away, and what was", cleanup),
	 .budget_ms = 10000, .fn = qt_h_cleanup_status},
	{ROW("listCleanupTasks", "GET", "/api/cleanup/tasks", "The same, one by one", tasks), .budget_ms = 10000, .fn = qt_h_cleanup_tasks},
	{ROW("listContainerCleanupTasks", "GET", "/api/containers/{id}/cleanup/tasks", "The same of one container", tasks),
	 .budget_ms = 10000, .errors = {QT_E_CONTAINER_NOT_FOUND}, .fn = qt_h_ctr_cleanup_tasks},
	{ROW("forceContainerCleanup", "POST", "/api/containers/{id}/cleanup/force", "Take away one that does not run", cleaned), .flags = QT_R_SLOW,
	 BODY(cleanup_body, qt_cleanup_req), .budget_ms = 60000,
	 .errors = {QT_E_VALIDATION_ERROR, QT_E_CONTAINER_NOT_FOUND, QT_E_INVALID_STATE, RUNTIME_ERRORS}, .fn = qt_h_ctr_cleanup_force},
	{ROW("listMonitors", "GET", "/api/monitors", "How each container is watched", monitors), .budget_ms = 10000, .fn = qt_h_monitors},
	{ROW("listMonitoredProcesses", "GET", "/api/monitors/processes", "The same of those that run", processes), .budget_ms = 10000,
	 .fn = qt_h_monitor_processes},
	{ROW("getMonitorProfile", "GET", "/api/monitors/profile", "How containers are watched", profile), .budget_ms = 5000,
	 .fn = qt_h_monitor_profile},
	{ROW("getMonitor", "GET", "/api/monitors/{id}", "How one container is watched", monitor), .budget_ms = 5000,
	 .errors = {QT_E_CONTAINER_NOT_FOUND}, .fn = qt_h_monitor_get},
	{0},
};
