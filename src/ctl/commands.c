#include <string.h>

#include "cleanup.h"
#include "ctl.h"
#include "installed.h"
#include "str.h"

#define BIT(o) (1U << CTL_##o)

/* clang-format off */
const struct ctl_cmd ctl_cmds[] = {
	{"store",  "init",   NULL,     0,                        0,           true,  ctl_store_init,    "load the function library into Redis, or a newer one"},
	{"tenant", "create", "NAME",   BIT(PLAN),                0,           true,  ctl_tenant_create, "make a tenant; prints its id"},
	{"tenant", "list",   NULL,     0,                        0,           true,  ctl_tenant_list,   "all tenants, oldest first"},
	{"tenant", "quota",  "TENANT_ID", BIT(SET),              0,           true,  ctl_tenant_quota,  "what a tenant may have and has; with --set, change one quota"},
	{"usage",  NULL,     NULL,     BIT(TENANT) | BIT(SINCE) | BIT(UNTIL) | BIT(JSON), 0, true, ctl_usage, "sum the usage records, a line a tenant"},
	{"key",    "create", NULL,     BIT(TENANT) | BIT(NAME),  BIT(TENANT), true,  ctl_key_create,    "make an API key; prints it, this one time"},
	{"key",    "list",   NULL,     BIT(TENANT),              0,           true,  ctl_key_list,      "all keys, or a tenant's, without what is secret"},
	{"key",    "revoke", "KEY_ID", 0,                        0,           true,  ctl_key_revoke,    "end a key, within 250 ms"},
	{"image",  "list",   NULL,     0,                        0,           false, ctl_image_list,    "the images on this node"},
	{"image",  "build",  "NAME...", BIT(FRESH),              0,           false, ctl_image_build,   "make managed images from Debian packages, into the pool; with --fresh, with today's packages"},
	{"image",  "verify", "[NAME...]", 0,                     0,           false, ctl_image_verify,  "are managed images what was made; tells what is not"},
	{"status", NULL,     NULL,     0,                        0,           true,  ctl_status,        "are Redis, the runtime, the agent and the workers there"},
	{"config", "dump",   NULL,     BIT(DOC),                 0,           false, ctl_config_dump,   "print every setting; with --doc, what it is"},
};

static const struct {
	const char *name, *value;
} opts[CTL_OPT_COUNT] = {
	[CTL_PLAN]   = {"--plan",   "PLAN"},
	[CTL_TENANT] = {"--tenant", "TENANT_ID"},
	[CTL_NAME]   = {"--name",   "NAME"},
	[CTL_SET]    = {"--set",    "NAME=NUMBER"},
	[CTL_SINCE]  = {"--since",  "DATE"},
	[CTL_UNTIL]  = {"--until",  "DATE"},
	[CTL_DOC]    = {"--doc",    NULL},
	[CTL_JSON]   = {"--json",   NULL},
	[CTL_FRESH]  = {"--fresh",  NULL},
};
/* clang-format on */
const size_t ctl_cmd_count = QT_LEN(ctl_cmds);

const char *ctl_opt_name(enum ctl_opt o)
{
	return opts[o].name;
}

const char *ctl_opt_value(enum ctl_opt o)
{
	return opts[o].value;
}

void ctl_help(FILE *out)
{
	fputs("Usage: quiltctl [-c FILE] [--redis-secret FILE] COMMAND\n"
	      "       quiltctl --help | --version\n\n"
	      "  -c, --config FILE        settings (default " QT_CONF_PATH ")\n"
	      "      --redis-secret FILE  user:password for Redis; redis-admin.secret beside the settings if not given\n"
	      "      --version            print the version and exit\n"
	      "  -h, --help               print this and exit\n\n"
	      "Commands:\n",
	      out);
	for (size_t i = 0; i < QT_LEN(ctl_cmds); i++) {
		const struct ctl_cmd *k = &ctl_cmds[i];

		fprintf(out, "  %s%s%s", k->noun, k->verb ? " " : "", k->verb ? k->verb : "");
		if (k->operand)
			fprintf(out, " %s", k->operand);
		for (unsigned o = 0; o < CTL_OPT_COUNT; o++) {
			bool must = k->must & (1U << o);

			if (k->may & (1U << o))
				fprintf(out, " %s%s%s%s%s", must ? "" : "[", opts[o].name, opts[o].value ? " " : "",
					opts[o].value ? opts[o].value : "", must ? "" : "]");
		}
		fprintf(out, "\n        %s\n", k->doc);
	}
	fputs("\nExit status: 0 done; 1 it failed, the reason is on standard error; 2 the command line is wrong.\n", out);
}

static const struct ctl_cmd *find(int argc, char *const *argv)
{
	for (size_t i = 0; i < QT_LEN(ctl_cmds); i++) {
		const struct ctl_cmd *k = &ctl_cmds[i];

		if (argc > 0 && qt_streq(argv[0], k->noun) && (!k->verb || (argc > 1 && qt_streq(argv[1], k->verb))))
			return k;
	}
	return NULL;
}

static int wrong(struct qt_err *e, const char *what, const char *arg)
{
	(void)qt_fail(e, QT_E_BAD_REQUEST, "%s%s%.80s", what, *arg ? " " : "", arg);
	return CTL_USAGE;
}

/* The option at argv[*I], "--x v" or "--x=v", into C; *I is left at the last argument that was used. */
static int take_option(struct ctl *c, const struct ctl_cmd *k, int argc, char *const *argv, int *i, struct qt_err *e)
{
	const char *arg = argv[*i];
	size_t len = strcspn(arg, "=");

	for (unsigned o = 0; o < CTL_OPT_COUNT; o++) {
		if (strlen(opts[o].name) != len || strncmp(opts[o].name, arg, len) != 0 || !(k->may & (1U << o)))
			continue;
		if (c->opt[o])
			return wrong(e, "this is given twice:", opts[o].name);
		if (!opts[o].value && arg[len] == '=')
			return wrong(e, "this takes no value:", opts[o].name);
		if (!opts[o].value)
			c->opt[o] = "";
		else if (arg[len] == '=')
			c->opt[o] = arg + len + 1;
		else if (*i + 1 < argc)
			c->opt[o] = argv[++*i];
		else
			return wrong(e, "this takes a value:", opts[o].name);
		return CTL_OK;
	}
	return wrong(e, "this command has no option", arg);
}

/* One operand goes into c->operand, several to the front of ARGV: whatever they overwrite has been read. */
static int take_operand(struct ctl *c, const struct ctl_cmd *k, char **argv, int i, int *n, struct qt_err *e)
{
	if (!k->operand || (c->operand && !strstr(k->operand, "...")))
		return wrong(e, "one argument too many:", argv[i]);
	if (!c->operand)
		c->operand = argv[i];
	argv[(*n)++] = argv[i];
	return CTL_OK;
}

int ctl_parse(struct ctl *c, const struct ctl_cmd **ret, int argc, char **argv, struct qt_err *e)
{
	const struct ctl_cmd *k = find(argc, argv);
	bool only_operands = false;
	int n = 0;

	if (!k)
		return wrong(e, argc > 0 ? "there is no such command:" : "a command is missing", argc > 0 ? argv[0] : "");
	for (int i = k->verb ? 2 : 1; i < argc; i++) {
		if (!only_operands && qt_streq(argv[i], "--")) {
			only_operands = true;
		} else if (!only_operands && argv[i][0] == '-') {
			if (take_option(c, k, argc, argv, &i, e) != CTL_OK)
				return CTL_USAGE;
		} else if (take_operand(c, k, argv, i, &n, e) != CTL_OK) {
			return CTL_USAGE;
		}
	}
	argv[n] = NULL;
	c->operands = argv;
	if (k->operand && !c->operand && k->operand[0] != '[')
		return wrong(e, "this is missing:", k->operand);
	for (unsigned o = 0; o < CTL_OPT_COUNT; o++)
		if ((k->must & (1U << o)) && !c->opt[o])
			return wrong(e, "this is missing:", opts[o].name);
	*ret = k;
	return CTL_OK;
}
