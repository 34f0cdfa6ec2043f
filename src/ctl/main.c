/* quiltctl - what the operator does: tenants, keys, images, the state of things. One table of commands drives parsing and help. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "client.h"
#include "clock.h"
#include "str.h"
#include "store.h"

#define BUDGET_MS 10000

struct ctl {
	struct qt_conf conf;
	struct qt_store *store;
	struct rt_client rt;
	const char *tenant, *name, *plan;
	bool doc;
};

enum { NEEDS_STORE = 1, NEEDS_RUNTIME = 2 };

static void when(char *out, size_t size, int64_t ms)
{
	qt_iso8601(out, size, ms);
}

static int store_init(struct ctl *c, char **args, struct qt_err *e)
{
	(void)args;
	return qt_store_load_functions(c->store, e);
}

static int tenant_create(struct ctl *c, char **args, struct qt_err *e)
{
	struct qt_tenant t;

	if (qt_store_tenant_create(c->store, args[0], c->plan ? c->plan : "standard", &t, e) < 0)
		return -1;
	printf("%s\t%s\t%s\n", t.id.s, t.name, t.plan);
	return 0;
}

static void print_tenant(const struct qt_tenant *t, void *arg)
{
	char at[32];

	(void)arg;
	when(at, sizeof(at), t->created_ms);
	printf("%s\t%s\t%s\t%s\n", t->id.s, t->name, t->plan, at);
}

static int tenant_list(struct ctl *c, char **args, struct qt_err *e)
{
	(void)args;
	return qt_store_tenant_each(c->store, print_tenant, NULL, e);
}

static int tenant_of(const struct ctl *c, struct qt_id *ret, struct qt_err *e)
{
	struct qt_tenant t;

	if (!c->tenant)
		return qt_fail(e, QT_E_VALIDATION_ERROR, "which tenant? --tenant TENANT_ID");
	if (qt_store_tenant_get(c->store, c->tenant, &t, e) < 0)
		return -1;
	*ret = t.id;
	return 0;
}

static int key_create(struct ctl *c, char **args, struct qt_err *e)
{
	struct qt_apikey k;
	struct qt_id tenant;
	char text[64];

	(void)args;
	if (tenant_of(c, &tenant, e) < 0 || qt_store_key_create(c->store, &tenant, c->name ? c->name : "", text, &k, e) < 0)
		return -1;
	puts(text);
	fprintf(stderr, "quiltctl: %s; the key is not shown again\n", k.id.s);
	return 0;
}

static void print_key(const struct qt_apikey *k, void *arg)
{
	char at[32];

	(void)arg;
	when(at, sizeof(at), k->created_ms);
	printf("%s\t%s\t%s…\t%s\t%s\t%s\n", k->id.s, k->tenant.s, k->prefix, k->name, at, k->revoked ? "revoked" : "valid");
}

static int key_list(struct ctl *c, char **args, struct qt_err *e)
{
	struct qt_id tenant;

	(void)args;
	if (c->tenant && tenant_of(c, &tenant, e) < 0)
		return -1;
	return qt_store_key_each(c->store, c->tenant ? &tenant : NULL, print_key, NULL, e);
}

static int key_revoke(struct ctl *c, char **args, struct qt_err *e)
{
	return qt_store_key_revoke(c->store, args[0], e);
}

static int image_list(struct ctl *c, char **args, struct qt_err *e)
{
	char after[130] = "";

	(void)args;
	for (;;) {
		struct rt_images_req q = {.after = rt_str(after)};
		struct rt_images_rep r;
		const char *p = NULL, *last = NULL;

		if (rt_images(&c->rt, &q, &r, BUDGET_MS, e) < 0)
			return -1;
		for (unsigned i = 0; (p = rt_strv_next(&r.images, p)) != NULL; i++) {
			if (i % 5 == 0)
				last = p;
			printf("%s%c", p, i % 5 == 4 ? '\n' : '\t');
		}
		if (!last)
			return 0;
		(void)qt_copy(after, sizeof(after), last);
	}
}

static int status(struct ctl *c, char **args, struct qt_err *e)
{
	struct rt_info_req q = {0};
	struct qt_err store = {0};
	struct rt_info_rep i;
	int rc = qt_store_ping(c->store, &store);

	(void)args;
	printf("redis\t%s\n", rc == 0 ? "ok" : store.msg);
	if (rt_info(&c->rt, &q, &i, BUDGET_MS, e) < 0) {
		printf("runtime\t%s\n", e->msg);
		return -1;
	}
	printf("runtime\tok\nnode\t%s\ncontainers\t%u\nrunning\t%u\ncgroups\tv%u\nstorage\t%s\npool\t%llu of %llu bytes free\n",
	       c->conf.node, i.containers, i.running, i.cgroup_version, i.storage_driver.s,
	       (unsigned long long)i.pool_free_bytes, (unsigned long long)i.pool_bytes);
	if (rc < 0)
		*e = store;
	return rc;
}

static int config_dump(struct ctl *c, char **args, struct qt_err *e)
{
	(void)args;
	(void)e;
	qt_conf_dump(&c->conf, stdout, c->doc);
	return 0;
}

static const struct command {
	const char *noun, *verb; /* verb NULL: the noun alone */
	int n_args;
	unsigned needs;
	int (*fn)(struct ctl *c, char **args, struct qt_err *e);
	const char *usage, *doc;
} commands[] = {
	{"store", "init", 0, NEEDS_STORE, store_init, "", "load the function library into Redis (as its administrator)"},
	{"tenant", "create", 1, NEEDS_STORE, tenant_create, " NAME [--plan PLAN]", "make a tenant; prints its id first"},
	{"tenant", "list", 0, NEEDS_STORE, tenant_list, "", "id, name, plan, time"},
	{"key", "create", 0, NEEDS_STORE, key_create, " --tenant TENANT_ID [--name NAME]", "make an API key; prints it, alone, once"},
	{"key", "list", 0, NEEDS_STORE, key_list, " [--tenant TENANT_ID]", "id, tenant, prefix, name, time, state"},
	{"key", "revoke", 1, NEEDS_STORE, key_revoke, " KEY_ID", "from now on the key is refused"},
	{"image", "list", 0, NEEDS_RUNTIME, image_list, "", "name, version, digest, kind, size"},
	{"status", NULL, 0, NEEDS_STORE | NEEDS_RUNTIME, status, "", "Redis and the runtime; exit status 1 if one does not answer"},
	{"config", "dump", 0, 0, config_dump, " [--doc]", "every setting, as quilt.conf has it"},
};

static void usage(FILE *out)
{
	fputs("Usage: quiltctl [-c FILE] [--redis-secret FILE] COMMAND\n\n", out);
	for (size_t i = 0; i < QT_LEN(commands); i++)
		fprintf(out, "  %s%s%s%s\n      %s\n", commands[i].noun, commands[i].verb ? " " : "",
			commands[i].verb ? commands[i].verb : "", commands[i].usage, commands[i].doc);
	fputs("\n  -c, --config FILE        settings (default " QT_CONF_PATH ")\n"
	      "      --redis-secret FILE  USER:PASSWORD for Redis (default: redis-admin.secret beside the settings)\n"
	      "      --version, -h, --help\n\n"
	      "Exit status: 0 done, 1 failed, 2 not understood.\n",
	      out);
}

static const struct command *find(char **argv, int argc, int *used)
{
	for (size_t i = 0; i < QT_LEN(commands); i++) {
		const struct command *k = &commands[i];

		*used = k->verb ? 2 : 1;
		if (argc >= *used && qt_streq(argv[0], k->noun) && (!k->verb || qt_streq(argv[1], k->verb)))
			return k;
	}
	return NULL;
}

static bool secret_beside(char *out, size_t size, const char *conf_path)
{
	const char *slash = strrchr(conf_path, '/');

	return qt_fmt(out, size, "%.*sredis-admin.secret", slash ? (int)(slash - conf_path + 1) : 0, conf_path);
}

int main(int argc, char **argv)
{
	enum { SECRET = 256, TENANT, NAME, PLAN, DOC, VERSION_ };
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},  {"redis-secret", required_argument, NULL, SECRET},
		{"tenant", required_argument, NULL, TENANT}, {"name", required_argument, NULL, NAME},
		{"plan", required_argument, NULL, PLAN},   {"doc", no_argument, NULL, DOC},
		{"version", no_argument, NULL, VERSION_},  {"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	static struct ctl c;
	const char *conf_path = NULL, *secret = NULL;
	const struct command *k;
	struct qt_err e = {0};
	char socket[300];
	int opt, used, rc;

	while ((opt = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (opt) {
		case 'c':
			conf_path = optarg;
			break;
		case SECRET:
			secret = optarg;
			break;
		case TENANT:
			c.tenant = optarg;
			break;
		case NAME:
			c.name = optarg;
			break;
		case PLAN:
			c.plan = optarg;
			break;
		case DOC:
			c.doc = true;
			break;
		case VERSION_:
			puts("quiltctl " PACKAGE_VERSION);
			return 0;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	k = find(argv + optind, argc - optind, &used);
	if (!k || argc - optind - used != k->n_args) {
		usage(stderr);
		return 2;
	}
	if (qt_conf_load(&c.conf, conf_path, &e) < 0)
		goto failed;
	if (!secret && !secret_beside(c.conf.redis_secret_file, sizeof(c.conf.redis_secret_file), conf_path ? conf_path : QT_CONF_PATH))
		(void)qt_fail(&e, QT_E_VALIDATION_ERROR, "the settings' path is too long");
	else if (secret && !qt_copy(c.conf.redis_secret_file, sizeof(c.conf.redis_secret_file), secret))
		(void)qt_fail(&e, QT_E_VALIDATION_ERROR, "the secret's path is too long");
	if (e.code != QT_OK)
		goto failed;
	if (k->needs & NEEDS_STORE && qt_store_new(&c.store, &c.conf, &e) < 0)
		goto failed;
	if (!qt_fmt(socket, sizeof(socket), "%s/runtime.sock", c.conf.run_dir) || rt_client_init(&c.rt, socket, &e) < 0)
		goto failed;
	rc = k->fn(&c, argv + optind + used, &e);
	qt_store_free(c.store);
	rt_client_done(&c.rt);
	if (rc == 0 && fflush(stdout) == 0)
		return 0;
failed:
	fprintf(stderr, "quiltctl: %s\n", e.msg);
	return 1;
}
