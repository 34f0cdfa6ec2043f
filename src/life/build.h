/*
 * build.h - builds of images from Dockerfiles (contract 14), in the agent's executor; see "Builds" in docs/architecture.md.
 *
 * A step is executed in a container of the tenant that no list has, made of what was built before; what it wrote becomes a layer. What a step made is an image
 * object of the runtime that Redis does not know: the cache. Everything here can be done again from the start, and then finds the steps that were done.
 */
#ifndef QT_LIFE_BUILD_H
#define QT_LIFE_BUILD_H

#include "buf.h"
#include "json/dec.h"
#include "dockerfile.h"
#include "img.h"
#include "inner.h"

#define QT_BUILD_STAGES_MAX 32
#define QT_BUILD_BUDGET_MS  20000
#define QT_BUILD_COPY_MS    600000
#define QT_KEY_HEX	    64

/* One stage: what it has come to. JSON is owned. */
struct qt_stage {
	char name[129];	     /* "": none */
	const struct qt_df_step *from;
	size_t first, end;   /* its instructions, behind FROM */
	bool begun, done;

	struct qt_id image;  /* the files: an image object of the runtime */
	json_t *layers;	     /* digests of those that the runtime has, the bottom first */
	json_t *diff_ids, *descriptors; /* of the image that it begins with, as its documents have them */
	json_t *taken;	     /* array of objects digest, size_bytes: layers that were made here, on top of those */
	char key[QT_KEY_HEX + 1]; /* all that the files depend on */

	json_t *config;	     /* the document: architecture, os, config, history */
	json_t *env, *args;  /* objects of strings */
	json_t *shell;	     /* array of strings */
	json_t *dirs;	     /* array of strings: working directories that no step has made yet */
	bool cmd_set;	     /* by this Dockerfile */

	struct qt_ctr c;     /* the container of its steps, which has layers and taken as of then */
	bool has_ctr;
	json_t *ctr_layers, *ctr_taken;
};

struct qt_build {
	struct qt_life *l;
	struct qt_op *o;
	struct qt_dockerfile file;
	struct qt_imgref ref;
	struct qt_id context; /* an image object that is never finished: it holds the context's tree */
	char *ignore;	      /* lines of .dockerignore */
	struct rt_strv ignored;
	json_t *globals;      /* ARG before the first FROM, and what the platform gives */
	json_t *given;	      /* build_args; borrowed */
	struct qt_stage stages[QT_BUILD_STAGES_MAX];
	size_t n_stages, target;
	unsigned step, cached, total; /* of those that are counted in the log */
	const struct qt_df_step *at;  /* what is being done */
	char shown[256];
	uint32_t memory_mb, cpu_centi;
	json_t *steps; /* what the cache has: array of records; read once */
	struct qt_buf log;	/* of one stream, not written yet */
	const char *log_stream; /* a literal */
	int64_t log_since;
};

/* --- op_build.c ---------------------------------------------------------------------------------------------------------- */
/* E becomes what a client is told of the instruction under way; -1. */
int qt_build_blame(struct qt_build *b, struct qt_err *e);
/* The stage that TEXT (name, or number) means for what comes before stage LIMIT; NULL: none. */
struct qt_stage *qt_build_stage(struct qt_build *b, const char *text, size_t limit);
/* Do it, unless it is done. */
int qt_build_run_stage(struct qt_build *b, struct qt_stage *st, struct qt_err *e);

/* --- build_from.c -------------------------------------------------------------------------------------------------------- */
/* Begin ST with the image REFERENCE: a bare name that is a managed image of this node means that one, all else is a registry's, and is pulled if need be; with nothing
 * ("scratch"); or with what OTHER came to. */
int qt_build_from_image(struct qt_build *b, struct qt_stage *st, const char *reference, struct qt_err *e);
int qt_build_from_scratch(struct qt_build *b, struct qt_stage *st, struct qt_err *e);
void qt_build_from_stage(struct qt_stage *st, const struct qt_stage *other);
void qt_stage_init(struct qt_stage *st);
void qt_stage_done(struct qt_stage *st);

/* --- build_meta.c: instructions that change the configuration alone ------------------------------------------------------- */
int qt_build_meta(struct qt_build *b, struct qt_stage *st, const struct qt_df_step *s, struct qt_err *e);
int qt_build_global_arg(struct qt_build *b, const struct qt_df_step *s, struct qt_err *e);
const char *qt_build_platform(void); /* "linux/amd64" */
json_t *qt_build_vars(const struct qt_stage *st); /* ARG, and ENV over it: a new reference */
const char *qt_stage_workdir(const struct qt_stage *st);
/* PATH below the working directory, without "." and "..", with a slash before it, and one behind it if it had one. False: too long. */
bool qt_stage_path(const struct qt_stage *st, const char *path, char *out, size_t size);
void qt_build_history(struct qt_build *b, struct qt_stage *st, bool layer);

/* --- build_run.c, build_copy.c: instructions that change files ------------------------------------------------------------ */
int qt_build_run(struct qt_build *b, struct qt_stage *st, const struct qt_df_step *s, struct qt_err *e);
int qt_build_copy(struct qt_build *b, struct qt_stage *st, const struct qt_df_step *s, struct qt_err *e);
/* At the end of a stage: working directories that no step has made. */
int qt_build_dirs(struct qt_build *b, struct qt_stage *st, struct qt_err *e);

/* --- build_ctr.c: the container of a stage -------------------------------------------------------------------------------- */
/* It runs, as the stage's user, and has the stage's working directories. */
int qt_build_up(struct qt_build *b, struct qt_stage *st, struct qt_err *e);
/* It ends, and what it wrote is what the stage has come to, under KEY. */
int qt_build_take(struct qt_build *b, struct qt_stage *st, const char *key, struct qt_err *e);
void qt_build_drop_ctr(struct qt_build *b, struct qt_stage *st);
/* Containers of an earlier try, if there was one. */
int qt_build_sweep(struct qt_build *b, struct qt_err *e);

/* --- build_cache.c -------------------------------------------------------------------------------------------------------- */
/* All parts, NULL-ended, after what KEY was. OUT may be KEY. */
void qt_build_key(char *out, const char *key, ...) __attribute__((sentinel));
void qt_build_sha(char *out, const void *data, size_t len); /* QT_KEY_HEX + 1 bytes */
/* 1: ST has come to what KEY stands for, by an earlier build; 0: nobody has. */
int qt_build_cached(struct qt_build *b, struct qt_stage *st, const char *key, struct qt_err *e);
/* The record of the step ID, for the runtime. free(). */
char *qt_build_step_dump(const struct qt_build *b, const struct qt_id *id, const char *key, const json_t *layers, const json_t *taken, uint64_t size);
void qt_build_evict(struct qt_build *b);

/* --- build_log.c ---------------------------------------------------------------------------------------------------------- */
/* LEN bytes of STREAM, a literal: written when there is enough, or some time has passed. */
void qt_build_log(struct qt_build *b, const char *stream, const char *text, size_t len);
void qt_build_say(struct qt_build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void qt_build_log_flush(struct qt_build *b);
void qt_build_log_tick(struct qt_build *b);

/* --- build_context.c ------------------------------------------------------------------------------------------------------ */
/* Unpack the context, and read Dockerfile and .dockerignore. */
int qt_build_open_context(struct qt_build *b, struct qt_err *e);
void qt_build_close_context(struct qt_build *b);
/* An empty file without a name, for the agent. */
int qt_build_file(const struct qt_build *b, struct qt_err *e);

/* --- build_end.c ---------------------------------------------------------------------------------------------------------- */
int qt_build_finish(struct qt_build *b, struct qt_stage *st, struct qt_err *e);

/* Of op_image.c: what I's reference meant before goes, unless something stands on it. */
void qt_img_drop_superseded(struct qt_life *l, const struct qt_img *i);

#endif
