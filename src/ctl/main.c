#include <signal.h>
#include <string.h>

#include "cleanup.h"
#include "ctl.h"
#include "installed.h"
#include "str.h"

struct args {
	const char *conf, *secret;
	int used;
};

/* What stands before the command. CTL_OK, CTL_USAGE, or -1: it was help or the version, and all is said. */
static int own_options(struct args *a, int argc, char **argv, struct qt_err *e)
{
	struct {
		const char *name;
		const char **to;
	} known[] = {{"-c", &a->conf}, {"--config", &a->conf}, {"--redis-secret", &a->secret}};

	for (a->used = 1; a->used < argc && argv[a->used][0] == '-'; a->used += 2) {
		const char *arg = argv[a->used];
		size_t i = 0;

		if (qt_streq(arg, "--help") || qt_streq(arg, "-h")) {
			ctl_help(stdout);
			return -1;
		}
		if (qt_streq(arg, "--version")) {
			puts("quiltctl " PACKAGE_VERSION);
			return -1;
		}
		while (i < QT_LEN(known) && !qt_streq(arg, known[i].name))
			i++;
		if (i == QT_LEN(known) || a->used + 1 == argc) {
			(void)qt_fail(e, QT_E_BAD_REQUEST, "%s: %.80s", i == QT_LEN(known) ? "unknown option" : "this takes a value", arg);
			return CTL_USAGE;
		}
		*known[i].to = argv[a->used + 1];
	}
	return CTL_OK;
}

/* --redis-secret, or redis-admin.secret in the directory of the settings. */
static int set_secret(struct qt_conf *c, const struct args *a, struct qt_err *e)
{
	const char *conf = a->conf ? a->conf : QT_CONF_PATH, *slash = strrchr(conf, '/');
	bool fits = a->secret ? qt_copy(c->redis_secret_file, sizeof(c->redis_secret_file), a->secret)
			      : qt_fmt(c->redis_secret_file, sizeof(c->redis_secret_file), "%.*sredis-admin.secret",
				       slash ? (int)(slash - conf + 1) : 0, conf);

	return fits ? 0 : qt_fail(e, QT_E_VALIDATION_ERROR, "the path of the secret for Redis is too long");
}

static int run(const struct args *a, struct ctl *c, const struct ctl_cmd *k, struct qt_err *e)
{
	int r;

	if (qt_conf_load(&c->conf, a->conf, e) < 0)
		return -1;
	if (!k->store)
		return k->run(c, e);
	if (set_secret(&c->conf, a, e) < 0 || qt_store_new(&c->store, &c->conf, e) < 0)
		return -1;
	r = k->run(c, e);
	qt_store_free(c->store);
	return r;
}

static int complain(const struct qt_err *e, int status)
{
	fprintf(stderr, "quiltctl: %s\n", e->msg);
	if (status == CTL_USAGE)
		fputs("`quiltctl --help` lists the commands.\n", stderr);
	return status;
}

int main(int argc, char **argv)
{
	const struct ctl_cmd *k = NULL;
	struct args a = {0};
	struct ctl c = {0};
	struct qt_err e = {0};
	int r;

	(void)signal(SIGPIPE, SIG_IGN);
	r = own_options(&a, argc, argv, &e);
	if (r == CTL_OK)
		r = ctl_parse(&c, &k, argc - a.used, argv + a.used, &e);
	if (r == CTL_USAGE)
		return complain(&e, CTL_USAGE);
	if (r == CTL_OK && run(&a, &c, k, &e) < 0) {
		(void)fflush(stdout);
		return complain(&e, CTL_FAILED);
	}
	/* A key that did not reach the disk or the pipe must not look as if it had. */
	if (fflush(stdout) != 0 || ferror(stdout)) {
		fputs("quiltctl: standard output cannot be written\n", stderr);
		return CTL_FAILED;
	}
	return CTL_OK;
}
