/* ctl.h - quiltctl: the operator's command line. One row of commands.c a command. */
#ifndef QT_CTL_H
#define QT_CTL_H

#include "conf.h"
#include "store.h"

enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2 };

/* The options of commands: each is a value that follows it, but those after CTL_FLAGS. */
enum ctl_opt { CTL_PLAN, CTL_TENANT, CTL_NAME, CTL_SET, CTL_SINCE, CTL_UNTIL, CTL_FLAGS, CTL_DOC = CTL_FLAGS, CTL_JSON, CTL_FRESH, CTL_OPT_COUNT };

/* What a handler works with. */
struct ctl {
	struct qt_conf conf;
	struct qt_store *store; /* of a command that wants it; as the administrator */
	const char *operand;	/* of a command that takes one */
	char *const *operands;	/* of a command that takes several; NULL-ended */
	const char *opt[CTL_OPT_COUNT]; /* NULL: not given; of a flag: "" */
};

struct ctl_cmd {
	const char *noun, *verb; /* verb NULL: one word */
	const char *operand;	 /* what help calls it; NULL: it takes none. "X...": one or more, "[X...]": or none */
	unsigned may, must;	 /* bits of enum ctl_opt */
	bool store;
	int (*run)(struct ctl *c, struct qt_err *e); /* 0 or -1; writes to stdout */
	const char *doc;
};
extern const struct ctl_cmd ctl_cmds[];
extern const size_t ctl_cmd_count;

/* "--plan", and what help calls its value (NULL: a flag). */
const char *ctl_opt_name(enum ctl_opt o);
const char *ctl_opt_value(enum ctl_opt o);

/* The arguments behind the command line's own options, into C and *RET; ARGV, NULL-ended, is changed. CTL_OK, or CTL_USAGE with why in E. */
int ctl_parse(struct ctl *c, const struct ctl_cmd **ret, int argc, char **argv, struct qt_err *e);

void ctl_help(FILE *out);

/* Handlers. accounts.c */
int ctl_store_init(struct ctl *c, struct qt_err *e);
int ctl_tenant_create(struct ctl *c, struct qt_err *e);
int ctl_tenant_list(struct ctl *c, struct qt_err *e);
int ctl_tenant_quota(struct ctl *c, struct qt_err *e);
int ctl_key_create(struct ctl *c, struct qt_err *e);
int ctl_key_list(struct ctl *c, struct qt_err *e);
int ctl_key_revoke(struct ctl *c, struct qt_err *e);
/* The id of --tenant: 1; 0 if it was not given; or -1. */
int ctl_tenant_of(const struct ctl *c, struct qt_id *ret, struct qt_err *e);
/* usage.c */
int ctl_usage(struct ctl *c, struct qt_err *e);
/* machine.c */
int ctl_image_list(struct ctl *c, struct qt_err *e);
int ctl_image_build(struct ctl *c, struct qt_err *e);
int ctl_image_verify(struct ctl *c, struct qt_err *e);
int ctl_status(struct ctl *c, struct qt_err *e);
int ctl_config_dump(struct ctl *c, struct qt_err *e);

#endif
