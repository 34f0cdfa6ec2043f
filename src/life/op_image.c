/* Pulls. Each step can be taken again: the image's id is the operation's, and what an earlier try has stored is found there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "fdio.h"
#include "files/files_client.h"
#include "images.h"
#include "imgs.h"
#include "inner.h"
#include "str.h"

#define BUDGET_MS  20000
#define COMMIT_MS  300000
#define CONFIG_MAX (8U << 20)
#define FETCH_PCT  60 /* of the progress; unpacking is the rest */
#define STEP_PCT   5  /* the record is written so often */

struct pull {
	struct qt_life *l;
	struct qt_op *o;
	struct qt_imgref ref;
	struct qt_img img;
	char dir[400]; /* for the fetcher's files */
	int dir_fd;
	json_t *got, *config; /* of the fetcher; the configuration */
	unsigned from, share; /* of the progress: what is under way */
	const char *doing;
};

static const char *arg_of(const struct qt_op *o, const char *name)
{
	const char *s = json_string_value(json_object_get(o->args, name));

	return s ? s : "";
}

static bool heard(void *arg, unsigned percent)
{
	struct pull *p = arg;
	unsigned pct = p->from + p->share * (percent < 100 ? percent : 100) / 100;

	if (pct >= p->o->progress_pct + STEP_PCT)
		qt_op_progress(p->l, p->o, pct, p->doing);
	else
		(void)qt_op_cancelled(p->l, p->o);
	return !p->l->op_cancelled && !p->l->op_lost;
}

/* --- the directory ------------------------------------------------------------------------------------------ */

static void empty(int fd)
{
	int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	const struct dirent *de;

	if (!d) {
		qt_close(copy);
		return;
	}
	while ((de = readdir(d)))
		if (!qt_streq(de->d_name, ".") && !qt_streq(de->d_name, ".."))
			(void)unlinkat(fd, de->d_name, 0);
	(void)closedir(d);
}

#define UP_MAX 300

static void name_up(char out[UP_MAX], const struct qt_conf *conf)
{
	(void)qt_fmt(out, UP_MAX, "%s/agent/pull", conf->state_dir);
}

static int open_dir(struct pull *p, struct qt_err *e)
{
	char up[UP_MAX];

	name_up(up, p->l->conf);
	if (!qt_fmt(p->dir, sizeof(p->dir), "%s/%s", up, p->o->id.s))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "state_dir is too long");
	if ((mkdir(up, 0700) < 0 && errno != EEXIST) || (mkdir(p->dir, 0700) < 0 && errno != EEXIST))
		return qt_fail_sys(e, errno, "make a directory for a pull");
	p->dir_fd = open(p->dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (p->dir_fd < 0)
		return qt_fail_sys(e, errno, "open the directory for a pull");
	empty(p->dir_fd);
	return 0;
}

int qt_img_pull_sweep(const struct qt_conf *conf, struct qt_err *e)
{
	const struct dirent *de;
	char up[UP_MAX];
	DIR *d;

	name_up(up, conf);
	d = opendir(up);
	if (!d)
		return errno == ENOENT ? 0 : qt_fail_sys(e, errno, "list the directories of pulls");
	while ((de = readdir(d))) {
		auto_close int fd = de->d_name[0] == '.' ? -1 : openat(dirfd(d), de->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

		if (fd < 0)
			continue;
		empty(fd);
		(void)unlinkat(dirfd(d), de->d_name, AT_REMOVEDIR);
	}
	(void)closedir(d);
	return 0;
}

/* The directory is called after the operation: who has that by now works in it. Of one that is over, or that Redis has lost, nobody does. */
static bool is_anothers(const struct pull *p)
{
	struct qt_err e = {0};
	struct qt_op now;
	bool final;

	if (!p->l->op_lost)
		return false;
	if (qt_store_op_get(p->l->store, &p->o->tenant, p->o->id.s, &now, &e) < 0)
		return e.code != QT_E_OPERATION_NOT_FOUND;
	final = qt_op_final(now.status);
	qt_op_done(&now);
	return !final;
}

static void done(struct pull *p)
{
	if (p->dir_fd >= 0 && !is_anothers(p)) {
		empty(p->dir_fd);
		(void)rmdir(p->dir);
	}
	qt_close(p->dir_fd);
	json_decref(p->got);
	json_decref(p->config);
	qt_img_done(&p->img);
}

/* --- fetching ------------------------------------------------------------------------------------------------- */

/* Layers that a registry showed to this very tenant: it may have them again without a proof. */
static json_t *layers_had(struct pull *p, struct qt_err *e)
{
	json_t *have = json_array();
	struct qt_img_list list;

	if (qt_store_img_list(p->l->store, &p->o->tenant, &list, e) < 0) {
		json_decref(have);
		return NULL;
	}
	for (size_t i = 0; i < list.n; i++)
		if (qt_streq(list.v[i].node, p->l->conf->node))
			json_array_extend(have, list.v[i].layers);
	qt_img_list_done(&list);
	return have;
}

static int fetch(struct pull *p, bool all, struct qt_err *e)
{
	const struct qt_conf *conf = p->l->conf;
	json_t *have = all ? json_array() : layers_had(p, e), *secret, *req;
	int r;

	if (!have)
		return -1;
	req = json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:o}", "reference", p->ref.text, "platform", arg_of(p->o, "platform"), "allow", conf->registry_allow,
			"ca", conf->registry_ca, "max_bytes", (json_int_t)conf->image_max_bytes, "stall_s", (json_int_t)conf->registry_stall_s, "have", have);
	secret = qt_secret_get(conf, p->o);
	json_object_update(req, secret);
	p->from = 0;
	p->share = FETCH_PCT;
	p->doing = "fetching";
	r = qt_fetch(p->dir, req, heard, p, p->o->deadline_ms, &p->got, e);
	json_decref(secret);
	json_decref(req);
	return r;
}

static int read_config(struct pull *p, struct qt_err *e)
{
	auto_free char *text = malloc(CONFIG_MAX + 1);
	ssize_t n = text ? qt_read_file(p->dir_fd, "config", text, CONFIG_MAX + 1, e) : -1;

	if (n < 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the image's configuration cannot be read");
	p->config = json_loadb(text, (size_t)n, JSON_REJECT_DUPLICATES, NULL);
	if (!p->config)
		return qt_fail(e, QT_E_IMAGE_REFUSED, "the image's configuration is not JSON");
	return qt_img_configure(&p->img, p->config, (size_t)json_integer_value(json_object_get(p->got, "n_layers")), e);
}

/* What the fetcher says, which is believed as far as it has the right form. */
static int describe(struct pull *p, struct qt_err *e)
{
	const char *manifest = json_string_value(json_object_get(p->got, "manifest_digest")), *config = json_string_value(json_object_get(p->got, "config_digest"));
	json_t *layers = json_object_get(p->got, "layers"), *x;
	struct qt_img *i = &p->img;
	size_t n;

	if (!manifest || !config || !qt_digest_ok(manifest) || !qt_digest_ok(config) || json_array_size(layers) == 0)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the program that fetches images says something unknown");
	i->tenant = p->o->tenant;
	(void)qt_copy(i->reference, sizeof(i->reference), p->ref.text);
	(void)qt_copy(i->registry, sizeof(i->registry), p->ref.registry);
	(void)qt_copy(i->repository, sizeof(i->repository), p->ref.repository);
	(void)qt_copy(i->tag, sizeof(i->tag), p->ref.tag);
	(void)qt_copy(i->node, sizeof(i->node), p->l->conf->node);
	(void)qt_copy(i->manifest_digest, sizeof(i->manifest_digest), manifest);
	(void)qt_copy(i->config_digest, sizeof(i->config_digest), config);
	i->size_bytes = (uint64_t)json_integer_value(json_object_get(p->got, "size_bytes"));
	i->pulled_ms = qt_now_ms();
	json_array_foreach(layers, n, x) {
		const char *digest = json_string_value(json_object_get(x, "digest"));

		if (!digest || !qt_digest_ok(digest))
			return qt_fail(e, QT_E_INTERNAL_ERROR, "the program that fetches images says something unknown");
		json_array_append_new(i->layers, json_string(digest));
	}
	return read_config(p, e);
}

/* --- storing ---------------------------------------------------------------------------------------------------- */

static int begin(struct pull *p, bool *there, struct qt_err *e)
{
	const struct qt_img_begin b = {.id = p->img.id, .tenant = p->img.tenant, .layers = p->img.layers, .manifest = p->img.manifest_digest,
				       .config = p->img.config_digest, .docker = json_is_true(json_object_get(p->got, "docker"))};

	return qt_img_begin(p->l, &b, there, e);
}

/* What the tree, or the archive, makes impossible is the image's fault. */
static int blame(struct qt_err *e)
{
	struct qt_err why = *e;

	if (e->code != QT_E_ARCHIVE_REFUSED && e->code != QT_E_VALIDATION_ERROR && e->code != QT_E_PAYLOAD_TOO_LARGE && e->code != QT_E_FILE_NOT_FOUND)
		return -1;
	qt_err_reset(e);
	return qt_fail(e, QT_E_IMAGE_REFUSED, "a layer of the image cannot be unpacked: %s", why.msg);
}

/* Is it what the image's configuration says? */
static int check_diff_id(const struct pull *p, const json_t *layer, const char *is, struct qt_err *e)
{
	size_t index = (size_t)json_integer_value(json_object_get(layer, "index"));
	const char *want = json_string_value(json_array_get(json_object_get(json_object_get(p->config, "rootfs"), "diff_ids"), index));

	return want && qt_streq(is, want + strlen("sha256:"))
		       ? 0
		       : qt_fail(e, QT_E_IMAGE_REFUSED, "a layer is not what the image's configuration says: its diff_id differs");
}

static int unpack(struct pull *p, struct qt_files *f, const json_t *layer, const char *hex, char *ret_diff_id, struct qt_err *e)
{
	unsigned index = (unsigned)json_integer_value(json_object_get(layer, "index"));
	const struct ft_layer_req req = {.digest = rt_str(hex)};
	int64_t left = p->o->deadline_ms - qt_now_ms();
	struct ft_layer_rep rep;
	auto_close int fd = -1;
	char name[32];

	(void)qt_fmt(name, sizeof(name), "layer.%u", index);
	fd = openat(p->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return qt_fail_sys(e, errno, "open a fetched layer");
	if (qt_files_call(f, FT_LAYER, &req, fd, &rep, sizeof(rep), heard, p, (int)(left > 0 ? left : 0), e) < 0)
		return blame(e);
	if (check_diff_id(p, layer, rep.diff_id.s, e) < 0)
		return -1;
	(void)qt_copy(ret_diff_id, FT_SHA256 + 1, rep.diff_id.s);
	(void)unlinkat(p->dir_fd, name, 0); /* the disk has it twice by now */
	return 0;
}

/* *MISSING: it was not fetched, and is not there. */
static int store_layer(struct pull *p, const json_t *layer, bool *missing, struct qt_err *e)
{
	const char *digest = json_string_value(json_object_get(layer, "digest")), *hex = digest + strlen("sha256:");
	char diff_id[FT_SHA256 + 1] = "";
	struct rt_layer_commit_req commit = {.id = p->img.id, .digest = rt_str(hex)};
	struct rt_layer_commit_rep committed;
	auto_files struct qt_files f = {.sock = -1};
	bool there = false;

	if (qt_op_go_on(p->l, p->o, e) < 0 || qt_files_open_layer(&f, &p->l->rt, &p->img.id, hex, &there, diff_id, e) < 0)
		return -1;
	if (there)
		return check_diff_id(p, layer, diff_id, e);
	if (json_is_true(json_object_get(layer, "have"))) {
		*missing = true;
		return 0;
	}
	if (unpack(p, &f, layer, hex, diff_id, e) < 0)
		return -1;
	qt_files_done(&f);
	commit.diff_id = rt_str(diff_id);
	return rt_layer_commit(&p->l->rt, &commit, &committed, COMMIT_MS, e);
}

static int store_layers(struct pull *p, bool *missing, struct qt_err *e)
{
	json_t *layers = json_object_get(p->got, "layers"), *x;
	unsigned n = (unsigned)json_array_size(layers);
	size_t i;

	p->doing = "unpacking";
	json_array_foreach(layers, i, x) {
		p->from = FETCH_PCT + (98 - FETCH_PCT) * (unsigned)i / n;
		p->share = (98 - FETCH_PCT) / n;
		if (store_layer(p, x, missing, e) < 0)
			return -1;
		if (*missing)
			return 0;
	}
	return 0;
}

static int keep(struct pull *p, const char *name, const char *digest, struct qt_err *e)
{
	auto_close int fd = openat(p->dir_fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? qt_fail_sys(e, errno, "open a fetched document") : qt_img_keep(p->l, &p->img.id, digest, fd, e);
}

static int commit(struct pull *p, struct qt_err *e)
{
	struct rt_image_commit_req req = {.id = p->img.id, .size_bytes = p->img.size_bytes};
	auto_free char *record = qt_img_dump(&p->img, e);
	struct rt_image_commit_rep rep;

	if (!record) {
		qt_err_reset(e);
		return qt_fail(e, QT_E_IMAGE_REFUSED, "the image's environment and commands are too large");
	}
	req.record = rt_str(record);
	return rt_image_commit(&p->l->rt, &req, &rep, BUDGET_MS, e);
}

static int store(struct pull *p, bool *missing, struct qt_err *e)
{
	bool there = false;

	if (begin(p, &there, e) < 0)
		return -1;
	if (there)
		return 0;
	if (keep(p, "manifest", p->img.manifest_digest, e) < 0 || keep(p, "config", p->img.config_digest, e) < 0 || store_layers(p, missing, e) < 0)
		return -1;
	return *missing ? 0 : commit(p, e);
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

static void tell(struct qt_op *o, const struct qt_img *i)
{
	json_object_set_new(o->result, "image", qt_img_view(i, true));
}

static int fetch_and_store(struct pull *p, struct qt_err *e)
{
	bool missing = false;

	for (int all = 0; all < 2; all++) {
		json_decref(qt_take(&p->got));
		json_decref(qt_take(&p->config));
		json_array_clear(p->img.layers);
		empty(p->dir_fd);
		missing = false;
		if (fetch(p, all, e) < 0 || describe(p, e) < 0)
			return -1;
		if (store(p, &missing, e) < 0)
			return qt_op_vanished(p->l, e);
		if (!missing)
			return 0;
	}
	return qt_fail(e, QT_E_CONFLICT, "a layer went away meanwhile");
}

/* Nothing is left, also of layers that were whole already and nobody else has. */
static void give_up(struct pull *p)
{
	struct rt_obj_delete_req req = {.id = p->img.id};
	struct rt_obj_delete_rep rep;
	struct qt_err ignored = {0};

	(void)rt_obj_delete(&p->l->rt, &req, &rep, BUDGET_MS, &ignored);
}

/* What the reference meant before goes at once, unless something stands on it: then the agent takes it away later (settle_img.c), as all that fails here. */
void qt_img_drop_superseded(struct qt_life *l, const struct qt_img *i)
{
	struct qt_err ignored = {0};
	struct qt_img_list list;

	if (qt_store_img_list(l->store, &i->tenant, &list, &ignored) < 0)
		return;
	for (size_t k = 0; k < list.n; k++) {
		qt_err_reset(&ignored);
		if (list.v[k].untagged && qt_streq(list.v[k].reference, i->reference) && qt_streq(list.v[k].node, l->conf->node))
			(void)qt_life_img_delete(l, &list.v[k], &ignored);
	}
	qt_img_list_done(&list);
}

static int pull(struct pull *p, struct qt_err *e)
{
	if (qt_op_go_on(p->l, p->o, e) < 0 || qt_store_img_room(p->l->store, &p->o->tenant, e) < 0 || open_dir(p, e) < 0)
		return -1;
	if (fetch_and_store(p, e) == 0 && qt_store_img_put(p->l->store, &p->img, e) == 0) {
		tell(p->o, &p->img);
		qt_img_drop_superseded(p->l, &p->img);
		return 0;
	}
	/* When another has it by now, or nobody knows what Redis has, the image stays for who comes next. */
	if (!p->l->op_lost && e->code != QT_E_STORE_UNAVAILABLE)
		give_up(p);
	return -1;
}

/* By an earlier try of this operation, or, unless it is to be pulled anew, by any. */
static int there_already(struct pull *p, struct qt_err *e)
{
	bool force = json_is_true(json_object_get(p->o->args, "force"));
	struct qt_img i;

	if (qt_store_img_get(p->l->store, &p->o->tenant, p->img.id.s, &i, e) < 0) {
		if (e->code != QT_E_IMAGE_NOT_FOUND)
			return -1;
		qt_err_reset(e);
		if (force || qt_store_img_get(p->l->store, &p->o->tenant, p->ref.text, &i, e) < 0) {
			if (!force && e->code != QT_E_IMAGE_NOT_FOUND)
				return -1;
			qt_err_reset(e);
			return 0;
		}
	}
	tell(p->o, &i);
	qt_img_done(&i);
	return 1;
}

int qt_op_img_pull(struct qt_life *l, struct qt_op *o, struct qt_err *e)
{
	QT_AUTO(done) struct pull p = {.l = l, .o = o, .dir_fd = -1};
	int r;

	qt_img_init(&p.img);
	if (!qt_id_parse(&p.img.id, "img", arg_of(o, "image_id")))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the operation does not say which image");
	if (qt_imgref_parse("/reference", o->image, &p.ref, e) < 0)
		return -1;
	r = there_already(&p, e);
	if (r == 0)
		r = pull(&p, e);
	if (r >= 0 || !qt_op_leave(l, e))
		qt_secret_drop(l->conf, o);
	return r < 0 ? -1 : 0;
}
