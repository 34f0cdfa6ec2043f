/* model.h - what a container, an operation, a tenant is. No I/O. */
#ifndef QT_MODEL_H
#define QT_MODEL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "err.h"
#include "id.h"

/* The place of TEXT in WORDS (NULL-ended): how the names of an enum are read. */
bool qt_word_parse(unsigned *ret, const char *const *words, const char *text);

/* --- containers --------------------------------------------------------------------------------------- */

enum qt_state { QT_ST_CREATED, QT_ST_STARTING, QT_ST_RUNNING, QT_ST_EXITED, QT_ST_ERROR, QT_ST_COUNT };
const char *qt_state_name(enum qt_state s);		/* "created" … */
bool qt_state_parse(enum qt_state *ret, const char *text); /* `stopped` is taken as exited */

#define QT_NAME_MAX    63
#define QT_IMAGE_MAX   255
#define QT_WORKDIR_MAX 511
#define QT_ARGV_MAX    256	/* words */
#define QT_ARGV_BYTES  16384	/* of all words, with a NUL each; the same for environments */
#define QT_EXEC_BYTES  131072	/* of the words of an exec: clients put whole files there, and the kernel takes no longer word */
#define QT_ENV_MAX     256
#define QT_LABELS_MAX  64
#define QT_ROUTES_MAX  32
#define QT_USER_MAX    63
#define QT_GPUS_MAX    64
#define QT_GPU_ID_MAX  127
#define QT_GPUS_BYTES  2560	/* of the names of a container's GPUs, a NUL each */
#define QT_RECORD_MAX  16384	/* bytes of qt_ctr_dump() */

/* A container as Redis and the runtime's record hold it. JSON members are owned (never NULL after _init); times are milliseconds
 * since 1970, 0 for none. */
struct qt_ctr {
	struct qt_id id, tenant;
	char name[QT_NAME_MAX + 1];
	char node[40];
	enum qt_state state;
	uint32_t pid; /* 0: none */
	bool has_exit_code;
	int exit_code;
	char ip[16]; /* "" : none */
	int64_t created_ms, started_ms, exited_ms;
	int64_t deadline_ms; /* in created and starting: when whoever brings it up has failed; 0: none */
	int64_t deleting_ms; /* when somebody began to delete it; 0: nobody */
	char image[QT_IMAGE_MAX + 1];
	bool oci;
	struct qt_id image_id;	     /* of a pulled one, which `image` was then; s[0] == 0: none */
	char user[QT_USER_MAX + 1];  /* of the image; "": root */
	uint32_t stop_signal;	     /* of the image; 0: SIGTERM */
	json_t *image_env;	     /* object of strings: of the image; environment is on top of it */
	char workdir[QT_WORKDIR_MAX + 1];
	uint32_t memory_mb;
	uint32_t cpu_centi; /* hundredths of a percent of one cpu: 50 % is 5000 */
	bool strict;
	struct qt_id copied_from; /* ctr_… or snap_…: whose data it began with; s[0] == 0: none, as of the next */
	struct qt_id snapshot;	  /* that it was cloned from, or the container that it was forked from */
	struct qt_id build;	  /* op_…, whose build it is a part of: then no list has it; s[0] == 0: none */
	uint32_t gpu_count;
	char error[128];      /* why, in state error */
	json_t *labels;	      /* object of strings */
	json_t *environment;  /* object of strings */
	json_t *command;      /* array of strings; empty: none */
	json_t *volumes;      /* array of "name:/target[:ro]" */
	json_t *gpu_ids;      /* array of strings */
	json_t *routes;	      /* array of "10.0.0.0/24" */
};
void qt_ctr_init(struct qt_ctr *c);
void qt_ctr_done(struct qt_ctr *c);
#define auto_ctr QT_AUTO(qt_ctr_done) /* include cleanup.h */

/* The contract's container object (3.3, without the readiness members). A new reference. */
json_t *qt_ctr_view(const struct qt_ctr *c);

/* The whole of it as one JSON text, the record that the runtime keeps, and back. At most 16384 bytes: QT_E_PAYLOAD_TOO_LARGE. */
char *qt_ctr_dump(const struct qt_ctr *c, struct qt_err *e); /* free() */
int qt_ctr_load(struct qt_ctr *ret, const char *text, size_t len, struct qt_err *e); /* RET is initialised here */

/* What a copy of it begins with (image, limits, environment, command …), in the record's form, and back into a container that is initialised here. A
 * new reference. */
json_t *qt_ctr_spec(const struct qt_ctr *c);
int qt_ctr_from_spec(struct qt_ctr *ret, const json_t *spec, struct qt_err *e);

/* Checks, each with the field's JSON pointer in the error. */
int qt_check_name(const char *field, const char *name, struct qt_err *e); /* ^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$, not reserved, no id */
int qt_check_workdir(const char *field, const char *path, struct qt_err *e);
int qt_check_env(const char *field, const char *name, const char *value, bool exec, struct qt_err *e);

/* --- volumes ------------------------------------------------------------------------------------------ */

#define QT_VOLNAME_MAX 64

/* A volume as Redis and the runtime's record hold it. JSON members are owned (never NULL after _init). */
struct qt_vol {
	struct qt_id id, tenant; /* "vol" */
	char name[QT_VOLNAME_MAX + 1], node[40];
	uint64_t max_bytes;   /* 0: no bound */
	int64_t created_ms;
	int64_t deadline_ms;  /* while it is made: when whoever makes it has failed; 0: it is there */
	int64_t deleting_ms;  /* when somebody began to delete it; 0: nobody */
	json_t *labels;	      /* object of strings */
	json_t *options;      /* object of strings */
};
void qt_vol_init(struct qt_vol *v);
void qt_vol_done(struct qt_vol *v);
#define auto_vol QT_AUTO(qt_vol_done) /* include cleanup.h */

/* The contract's volume object (8). A new reference. */
json_t *qt_vol_view(const struct qt_vol *v);
/* "creating", "ready" or "deleting". */
const char *qt_vol_status(const struct qt_vol *v);

/* As qt_ctr_dump() and qt_ctr_load(). */
char *qt_vol_dump(const struct qt_vol *v, struct qt_err *e);
int qt_vol_load(struct qt_vol *ret, const char *text, size_t len, struct qt_err *e);

/* One entry of a container's volumes, "<name or id>:<absolute target>[:ro]". */
struct qt_mount {
	char name[QT_VOLNAME_MAX + 1];
	char target[QT_WORKDIR_MAX + 1]; /* without empty or "." components */
	bool read_only;
};
/* VALIDATION_ERROR with FIELD, the entry's JSON pointer. */
int qt_mount_parse(const char *field, const char *spec, struct qt_mount *ret, struct qt_err *e);

/* All entries of a container: each as above, no two with one target, none that would hide one before it, and together not more than the
 * runtime's protocol takes. */
#define QT_MOUNTS_BYTES 4096
int qt_check_volumes(const char *field, const json_t *volumes, struct qt_err *e);
int qt_check_volume(const char *field, const char *spec, struct qt_err *e);

/* ^[A-Za-z0-9_-]{1,64}$, and not like a volume's id. */
int qt_check_volume_name(const char *field, const char *name, struct qt_err *e);

/* "10G", "512M", "64K", "1T" or a number of bytes; at least 1 MiB. VALIDATION_ERROR. */
int qt_check_size(const char *field, const char *text, uint64_t *ret, struct qt_err *e);

/* --- operations --------------------------------------------------------------------------------------- */

enum qt_op_status { QT_OP_ACCEPTED, QT_OP_QUEUED, QT_OP_RUNNING, QT_OP_SUCCEEDED, QT_OP_FAILED, QT_OP_CANCELLED,
		    QT_OP_TIMED_OUT, QT_OP_STATUS_COUNT };
const char *qt_op_status_name(enum qt_op_status s);
bool qt_op_status_parse(enum qt_op_status *ret, const char *text);
bool qt_op_final(enum qt_op_status s);

/* What operations there are: one row each (optypes.def). */
enum qt_op_type {
#define QT_OPTYPE(SYM, text, deadline_s, target, doc) QT_OPT_##SYM,
#include "optypes.def"
#undef QT_OPTYPE
	QT_OPT_COUNT
};
const char *qt_op_type_name(enum qt_op_type t);
bool qt_op_type_parse(enum qt_op_type *ret, const char *text);
uint32_t qt_op_type_deadline_s(enum qt_op_type t);
const char *qt_op_type_target(enum qt_op_type t); /* "container", "snapshot", "volume" or "image" */

#define QT_OP_WARNINGS_MAX 64
#define QT_OP_ITEMS_MAX	   100

struct qt_op {
	struct qt_id id, tenant;
	enum qt_op_type type;
	enum qt_op_status status;
	struct qt_id container; /* that the operation is on; of a fork and a clone the new one. s[0] == 0: none */
	struct qt_id snapshot;	/* the one taken, cloned or deleted; s[0] == 0: none */
	char volume[65];	/* its name; "": none */
	char image[QT_IMAGE_MAX + 1]; /* the reference that is pulled; "": none */
	char node[40];
	char message[160];
	unsigned progress_pct;
	char error_code[40], error[256]; /* of a failed one */
	json_t *args;	/* owned: what the executor needs */
	json_t *result; /* owned: object */
	json_t *warnings, *downgrades; /* owned: arrays of at most QT_OP_WARNINGS_MAX strings */
	json_t *items;		       /* owned: of a batch, an array of at most QT_OP_ITEMS_MAX objects */
	int64_t created_ms, started_ms, updated_ms, completed_ms, deadline_ms;
	int64_t cancel_ms; /* when a client asked for its end; 0: nobody did */
	uint32_t attempts;
};
void qt_op_init(struct qt_op *o);
void qt_op_done(struct qt_op *o);
#define auto_op QT_AUTO(qt_op_done) /* include cleanup.h */
json_t *qt_op_view(const struct qt_op *o); /* contract 4.2 */

#endif
