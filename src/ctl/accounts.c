#include <inttypes.h>
#include <string.h>

#include "clock.h"
#include "ctl.h"
#include "num.h"
#include "str.h"

int ctl_store_init(struct ctl *c, struct qt_err *e)
{
	return qt_store_load_functions(c->store, e) < 0 ? -1 : qt_store_tenants_mend(c->store, e);
}

int ctl_tenant_create(struct ctl *c, struct qt_err *e)
{
	struct qt_tenant t;

	if (qt_store_tenant_create(c->store, c->operand, c->opt[CTL_PLAN], &t, e) < 0)
		return -1;
	puts(t.id.s);
	return 0;
}

static void print_tenant(const struct qt_tenant *t, void *arg)
{
	char when[32];

	(void)arg;
	qt_iso8601(when, sizeof(when), t->created_ms);
	printf("%-30s  %-20s  %-10s  %10" PRIu64 "  %s\n", t->id.s, when, t->plan, t->max_containers, t->name);
}

int ctl_tenant_list(struct ctl *c, struct qt_err *e)
{
	if (qt_store_check(c->store, e) < 0)
		return -1;
	printf("%-30s  %-20s  %-10s  %10s  %s\n", "TENANT_ID", "CREATED", "PLAN", "CONTAINERS", "NAME");
	return qt_store_tenant_each(c->store, print_tenant, NULL, e);
}

int ctl_tenant_of(const struct ctl *c, struct qt_id *ret, struct qt_err *e)
{
	const char *text = c->opt[CTL_TENANT];

	if (!text)
		return 0;
	if (!qt_id_parse(ret, "ten", text))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "--tenant takes a tenant's id, ten_…");
	return 1;
}

static void print_quota(const char *name, uint64_t limit, uint64_t used, const char *doc, void *arg)
{
	(void)arg;
	printf("%-12s  %16" PRIu64 "  %16" PRIu64 "  %s\n", name, limit, used, doc);
}

/* --set NAME=NUMBER */
static int set_quota(struct ctl *c, const struct qt_id *tenant, struct qt_err *e)
{
	const char *text = c->opt[CTL_SET], *eq = strchr(text, '=');
	char name[32];
	uint64_t value;

	if (!eq || !qt_fmt(name, sizeof(name), "%.*s", (int)(eq - text), text) || !qt_u64(&value, eq + 1, 0, 1ULL << 53))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "--set takes NAME=NUMBER, such as volumes=50");
	return qt_store_tenant_quota(c->store, tenant, name, value, e);
}

int ctl_tenant_quota(struct ctl *c, struct qt_err *e)
{
	struct qt_id tenant;

	if (!qt_id_parse(&tenant, "ten", c->operand))
		return qt_fail(e, QT_E_VALIDATION_ERROR, "a tenant's id is needed, ten_…");
	if (c->opt[CTL_SET])
		return set_quota(c, &tenant, e);
	printf("%-12s  %16s  %16s  %s\n", "QUOTA", "LIMIT", "TAKEN", "OF WHAT");
	return qt_store_tenant_quotas(c->store, &tenant, print_quota, NULL, e);
}

int ctl_key_create(struct ctl *c, struct qt_err *e)
{
	const char *name = c->opt[CTL_NAME] ? c->opt[CTL_NAME] : "";
	struct qt_apikey k;
	struct qt_id tenant;
	char text[64];

	if (ctl_tenant_of(c, &tenant, e) < 0 || qt_store_key_create(c->store, &tenant, name, text, &k, e) < 0)
		return -1;
	puts(text);
	explicit_bzero(text, sizeof(text));
	return 0;
}

static void print_key(const struct qt_apikey *k, void *arg)
{
	char when[32];

	(void)arg;
	qt_iso8601(when, sizeof(when), k->created_ms);
	printf("%-30s  %-20s  %-16s  %-30s  %-7s  %s\n", k->id.s, when, k->prefix, k->tenant.s, k->revoked ? "revoked" : "valid", k->name);
}

int ctl_key_list(struct ctl *c, struct qt_err *e)
{
	struct qt_id tenant;
	int given = ctl_tenant_of(c, &tenant, e);

	if (given < 0 || qt_store_check(c->store, e) < 0)
		return -1;
	printf("%-30s  %-20s  %-16s  %-30s  %-7s  %s\n", "KEY_ID", "CREATED", "BEGINS WITH", "TENANT_ID", "STATE", "NAME");
	return qt_store_key_each(c->store, given ? &tenant : NULL, print_key, NULL, e);
}

int ctl_key_revoke(struct ctl *c, struct qt_err *e)
{
	return qt_store_key_revoke(c->store, c->operand, e);
}
