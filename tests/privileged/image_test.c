/* The store of pulled images, in the real runtime: each step of a pull cut off, and a long random walk, after which it has what images name and nothing else. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fdio.h"
#include "files/files_client.h"
#include "image_rig.h"
#include "rnd.h"
#include "str.h"

#define IMAGES 5
#define STEPS  160

static int make(void **state, const char *pool)
{
	static struct rig r;

	img_make_layers();
	rig_make(&r, pool);
	*state = &r;
	return 0;
}

static int make_btrfs(void **state)
{
	return make(state, "btrfs");
}

static int make_ext4(void **state)
{
	return make(state, "ext4");
}

static int unmake(void **state)
{
	for (unsigned i = 0; i < LAYERS; i++)
		qt_close(layers[i].fd);
	rig_unmake(*state);
	return 0;
}

static int end(void **state)
{
	struct rig *r = *state;

	rig_expect(r, 0, 0);
	rig_expect_images(r, 0, 0, 0);
	if (r->pid)
		rig_reset(r);
	return 0;
}

/* --- documents ------------------------------------------------------------------------------------------- */

/* An agent that is not what it should be: nothing stands under a digest that it has not. */
static void documents_that_lie(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("img");
	char hex[FT_SHA256 + 1], none[FT_SHA256 + 1];
	struct ft_blob_req req = {.digest = rt_str(hex)};
	auto_files struct qt_files f = {.sock = -1};
	struct rt_image_begin_rep rep;
	struct qt_err e = {0};
	struct ft_blob_rep kept;
	struct img_begun b;
	bool there;

	rig_start(r, NULL);
	img_prepare(&b, id);
	img_name_layer(&b, layers[0].hex);
	img_digest(hex, IMG_CONFIG);
	b.req.blobs.n = 1;
	b.req.blobs.len = FT_SHA256 + 1;
	REFUSED(r, QT_E_VALIDATION_ERROR, image_begin, .id = id, .tenant = b.req.tenant, .layers = b.req.layers, .blobs = b.req.blobs);
	img_prepare(&b, id);
	img_name_layer(&b, hex);
	REFUSED(r, QT_E_IMAGE_REFUSED, image_begin, .id = id, .tenant = b.req.tenant, .layers = b.req.layers, .blobs = b.req.blobs);
	img_prepare(&b, id);
	img_name_layer(&b, layers[0].hex);
	assert_int_equal(rt_image_begin(&r->rt, &b.req, &rep, BUDGET_MS, &e), 0);
	assert_int_equal(img_store_layer(r, id, &layers[0], &e), 0);
	REFUSED(r, QT_E_CONFLICT, image_commit, .id = id, .record = {"rec", 3});
	REFUSED(r, QT_E_CONFLICT, layer_commit, .id = id, .digest = rt_str(hex), .diff_id = rt_str(""));
	/* A layer's content, and what is neither. */
	assert_int_equal(qt_files_open_layer(&f, &r->rt, &id, hex, &there, none, &e), 0);
	assert_false(there);
	assert_int_equal(qt_files_call(&f, FT_BLOB, &req, layers[0].fd, &kept, sizeof(kept), NULL, NULL, BUDGET_MS, &e), -1);
	assert_int_equal(e.code, QT_E_ARCHIVE_REFUSED);
	qt_files_done(&f);
	REFUSED(r, QT_E_CONFLICT, layer_commit, .id = id, .digest = rt_str(hex), .diff_id = rt_str(""));
	REFUSED(r, QT_E_VALIDATION_ERROR, layer_commit, .id = id, .digest = rt_str(hex), .diff_id = rt_str(layers[0].hex));
	REFUSED(r, QT_E_CONFLICT, image_commit, .id = id, .record = {"rec", 3});
	qt_err_reset(&e);
	assert_int_equal(img_drop(r, id, &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

struct committing {
	struct rig *r;
	struct rt_layer_commit_req req;
	struct qt_err e;
	int rc;
};

static void *commit_beside(void *arg)
{
	struct committing *c = arg;
	struct rt_layer_commit_rep rep;
	struct rt_client rt;

	c->rc = rt_client_init(&rt, c->r->rt.path, &c->e);
	if (c->rc == 0)
		c->rc = rt_layer_commit(&rt, &c->req, &rep, BUDGET_MS, &c->e);
	rt_client_done(&rt);
	return NULL;
}

/* Of the runtime's children: the job among them, that syncs. */
static void signal_children(const struct rig *r, int sig)
{
	char path[64], text[4096], *p = text;
	long pid;
	ssize_t n;
	int fd;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", r->pid, r->pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	(void)close(fd);
	assert_true(n >= 0);
	text[n] = '\0';
	while ((pid = strtol(p, &p, 10)) > 0)
		(void)kill((pid_t)pid, sig);
}

/* So much is to be synced with it. */
static void make_dirty(const char *path)
{
	static char block[1 << 20];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	memset(block, 'x', sizeof(block));
	for (int i = 0; i < 64; i++)
		assert_int_equal(write(fd, block, sizeof(block)), sizeof(block));
	(void)close(fd);
}

/* The agent dies while the runtime syncs its layer, and the next one begins the image anew: what that one unpacks is not taken for what was synced. */
static bool begun_anew(struct rig *r)
{
	struct qt_id id = qt_id_new("img");
	const char *hex = layers[0].hex;
	const struct ft_layer_req unpack = {.digest = rt_str(hex)};
	struct committing c = {.r = r, .req = {.id = id, .digest = rt_str(hex), .diff_id = rt_str(hex)}};
	auto_files struct qt_files first = {.sock = -1}, second = {.sock = -1};
	char none[FT_SHA256 + 1], large[400], diff_id[440], whole[400];
	struct rt_layer_commit_rep committed;
	struct rt_image_begin_rep begun;
	struct ft_layer_rep unpacked;
	struct qt_err e = {0};
	struct img_begun b;
	pthread_t t;
	bool there;

	(void)snprintf(large, sizeof(large), "%s/pool/large", r->dir);
	(void)snprintf(diff_id, sizeof(diff_id), "%s/pool/layers/%s.%s/diff_id", r->dir, id.s, hex);
	(void)snprintf(whole, sizeof(whole), "%s/pool/layers/%s", r->dir, hex);
	img_prepare(&b, id);
	img_name_layer(&b, hex);
	assert_int_equal(rt_image_begin(&r->rt, &b.req, &begun, BUDGET_MS, &e), 0);
	assert_int_equal(qt_files_open_layer(&first, &r->rt, &id, hex, &there, none, &e), 0);
	assert_int_equal(qt_files_call(&first, FT_LAYER, &unpack, layers[0].fd, &unpacked, sizeof(unpacked), NULL, NULL, BUDGET_MS, &e), 0);
	make_dirty(large);
	assert_int_equal(pthread_create(&t, NULL, commit_beside, &c), 0);
	while (access(diff_id, F_OK) < 0 && access(whole, F_OK) < 0)
		continue;
	signal_children(r, SIGSTOP);
	assert_int_equal(rt_image_begin(&r->rt, &b.req, &begun, BUDGET_MS, &e), 0);
	assert_int_equal(qt_files_open_layer(&second, &r->rt, &id, hex, &there, none, &e), 0);
	signal_children(r, SIGCONT);
	assert_int_equal(pthread_join(t, NULL), 0);
	if (there || c.rc == 0) { /* it was synced before we could stop it */
		assert_int_equal(img_drop(r, id, &e), 0);
		return false;
	}
	assert_true(c.rc < 0 && c.e.code == QT_E_CONFLICT);
	assert_int_equal(access(whole, F_OK), -1);
	assert_int_equal(qt_files_call(&second, FT_LAYER, &unpack, layers[0].fd, &unpacked, sizeof(unpacked), NULL, NULL, BUDGET_MS, &e), 0);
	assert_int_equal(rt_layer_commit(&r->rt, &c.req, &committed, BUDGET_MS, &e), 0);
	assert_int_equal(access(whole, F_OK), 0);
	assert_int_equal(img_drop(r, id, &e), 0);
	assert_int_equal(unlink(large), 0);
	return true;
}

static void begun_anew_during_a_commit(void **state)
{
	struct rig *r = *state;

	rig_start(r, NULL);
	for (unsigned tries = 1; !begun_anew(r); tries++)
		assert_true(tries < 20);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* What a build makes of one: an image that names its layer and documents, of which nothing comes over a socket, and which outlives the version. */
static void built_on_a_managed_one(void **state)
{
	struct rig *r = *state;
	struct qt_id pulled = qt_id_new("img"), step = qt_id_new("img");
	struct rt_image_commit_rep committed;
	char manifest[FT_SHA256 + 1], config[FT_SHA256 + 1], line[640];
	struct rt_image_begin_rep begun;
	struct rt_images_rep list;
	struct qt_err e = {0};
	struct img_begun b;

	rig_start(r, NULL);
	if (img_pull(r, pulled, 1U << 0, &e) < 0)
		fail_msg("pull: %s", e.msg);
	img_digest(manifest, pulled.s);
	img_digest(config, IMG_CONFIG);
	/* A version of the same parts, as `quiltctl image build` puts it there; then it has them alone. */
	(void)snprintf(line, sizeof(line),
		       "cd %s/pool/images && mkdir own@%s && ln -s own@%s own &&"
		       "printf 'name = own\\nversion = 2\\nkind = managed\\ndigest = sha256:%s\\nconfig = %s\\nlayer = %s\\n' >own/image.conf",
		       r->dir, manifest, manifest, manifest, config, layers[0].hex);
	assert_int_equal(system(line), 0);
	assert_int_equal(img_drop(r, pulled, &e), 0);
	rig_expect_images(r, 0, 1, img_blobs(1));
	rig_census(r, 0, 0);
	CALL(r, images, &list, .after = rt_str("busybox"));
	assert_int_equal(list.images.n, RT_IMAGE_TEXTS);
	(void)snprintf(line, sizeof(line), "own 2 sha256:%s managed 0 sha256:%s sha256:%s", manifest, config, layers[0].hex);
	for (uint32_t i = 0; i + 1 < list.images.len; i++)
		assert_int_equal(list.images.s[i] ? list.images.s[i] : ' ', line[i]);
	CALL(r, images, &list, .after = rt_str(""));
	assert_string_equal(list.images.s, "busybox");
	assert_int_equal(list.images.n, 2 * RT_IMAGE_TEXTS); /* the first is of an older quiltd: two of them are empty */
	img_prepare(&b, step);
	img_name_layer(&b, layers[0].hex);
	b.req.blobs = (struct rt_strv){b.blobs, 0, 0};
	assert_true(rt_strv_add(&b.req.blobs, b.blobs, sizeof(b.blobs), manifest) && rt_strv_add(&b.req.blobs, b.blobs, sizeof(b.blobs), config));
	assert_int_equal(rt_image_begin(&r->rt, &b.req, &begun, BUDGET_MS, &e), 0);
	CALL(r, image_commit, &committed, .id = step, .record = {"rec", 3});
	/* No tag means it any more. */
	(void)snprintf(line, sizeof(line), "%s/pool/images/own", r->dir);
	assert_int_equal(unlink(line), 0);
	rig_term(r);
	rig_start(r, NULL);
	(void)snprintf(line, sizeof(line), "%s/pool/images/own@%s", r->dir, manifest);
	assert_int_equal(access(line, F_OK), -1);
	img_holds(r, 1U << 0);
	rig_expect_images(r, 1, 1, img_blobs(1));
	rig_census(r, 0, 0);
	assert_int_equal(img_drop(r, step, &e), 0);
	rig_expect_images(r, 0, 0, 0);
	rig_census(r, 0, 0);
	/* Who comes too late. */
	assert_int_equal(rt_image_begin(&r->rt, &b.req, &begun, BUDGET_MS, &e), 0);
	REFUSED(r, QT_E_CONFLICT, image_commit, .id = step, .record = {"rec", 3});
	assert_int_equal(img_drop(r, step, &e), 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* They have their documents in a tree. */
static void images_of_an_older_runtime(void **state)
{
	const struct ft_write_req write_ = {.path = rt_str("manifest.json"), .mode = 0644};
	struct rig *r = *state;
	struct qt_id id = qt_id_new("img");
	auto_close int doc = memfd_create("document", MFD_CLOEXEC), fd = -1;
	auto_files struct qt_files f = {.sock = -1};
	struct rt_image_file_req req = {.image = rt_str(id.s), .path = rt_str("manifest.json")};
	struct rt_image_commit_rep committed;
	struct rt_image_file_rep file;
	struct rt_image_begin_rep rep;
	struct ft_write_rep wrote;
	struct qt_err e = {0};
	struct img_begun b;
	char text[8] = "";

	assert_int_equal(write(doc, "old", 3), 3);
	assert_int_equal(lseek(doc, 0, SEEK_SET), 0);
	rig_start(r, NULL);
	img_prepare(&b, id);
	img_name_layer(&b, layers[0].hex);
	b.req.blobs.n = b.req.blobs.len = 0;
	assert_int_equal(rt_image_begin(&r->rt, &b.req, &rep, BUDGET_MS, &e), 0);
	assert_int_equal(img_store_layer(r, id, &layers[0], &e), 0);
	assert_int_equal(qt_files_open(&f, &r->rt, &id, &e), 0);
	assert_int_equal(qt_files_call(&f, FT_WRITE, &write_, doc, &wrote, sizeof(wrote), NULL, NULL, BUDGET_MS, &e), 0);
	qt_files_done(&f);
	CALL(r, image_commit, &committed, .id = id, .record = {"rec", 3});
	rig_kill(r);
	rig_start(r, NULL);
	assert_int_equal(rt_call(&r->rt, RT_IMAGE_FILE, &req, NULL, &file, &fd, BUDGET_MS, &e), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 3);
	assert_string_equal(text, "old");
	REFUSED(r, QT_E_NOT_FOUND, image_file, .image = rt_str(id.s), .path = rt_str("config.json"));
	REFUSED(r, QT_E_NOT_FOUND, image_file, .image = rt_str(id.s), .path = rt_str("../../../etc/passwd"));
	rig_expect_images(r, 1, 1, 0);
	rig_census(r, 0, 0);
	assert_int_equal(img_drop(r, id, &e), 0);
	rig_expect_images(r, 0, 0, 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

/* --- random walk ----------------------------------------------------------------------------------------- */

struct walk {
	struct rig *r;
	struct {
		struct qt_id id;
		unsigned set; /* 0: there is no such image */
	} images[IMAGES];
	struct {
		struct qt_id id; /* "": none */
		int image;
	} ctrs[6], snaps[6];
};

static unsigned pick(unsigned n)
{
	return (unsigned)random() % n;
}

static bool in_use(const struct walk *w, int image)
{
	for (size_t i = 0; i < QT_LEN(w->ctrs); i++)
		if ((w->ctrs[i].id.s[0] && w->ctrs[i].image == image) || (w->snaps[i].id.s[0] && w->snaps[i].image == image))
			return true;
	return false;
}

static void step_image(struct walk *w, int i)
{
	struct qt_err e = {0};

	if (w->images[i].set == 0) {
		w->images[i].id = qt_id_new("img");
		w->images[i].set = 1 + pick((1U << LAYERS) - 1);
		if (img_pull(w->r, w->images[i].id, w->images[i].set, &e) < 0)
			fail_msg("pull: %s", e.msg);
	} else if (in_use(w, i)) {
		assert_int_equal(img_drop(w->r, w->images[i].id, &e), -1);
		assert_int_equal(e.code, QT_E_IMAGE_IN_USE);
	} else {
		if (img_drop(w->r, w->images[i].id, &e) < 0)
			fail_msg("drop: %s", e.msg);
		w->images[i].set = 0;
	}
}

static void step_container(struct walk *w, unsigned i)
{
	int image = (int)pick(IMAGES);
	struct rt_create_rep rep;
	struct rt_create_req req;
	struct qt_err e = {0};

	if (w->ctrs[i].id.s[0]) {
		if (rig_delete(w->r, w->ctrs[i].id, &e) < 0)
			fail_msg("delete: %s", e.msg);
		w->ctrs[i].id.s[0] = '\0';
		return;
	}
	req = rig_create_req(qt_id_new("ctr"));
	req.image = rt_str(w->images[image].id.s[0] ? w->images[image].id.s : "img_none");
	req.no_start = 1;
	if (w->images[image].set == 0) {
		assert_int_equal(rt_create(&w->r->rt, &req, &rep, BUDGET_MS, &e), -1);
		assert_int_equal(e.code, QT_E_IMAGE_NOT_FOUND);
	} else if (rt_create(&w->r->rt, &req, &rep, BUDGET_MS, &e) < 0) {
		fail_msg("create: %s", e.msg);
	} else {
		w->ctrs[i].id = req.id;
		w->ctrs[i].image = image;
	}
}

static void step_snapshot(struct walk *w, unsigned i)
{
	unsigned of = pick(QT_LEN(w->ctrs));
	struct rt_snapshot_req req = {.id = w->ctrs[of].id, .snapshot = qt_id_new("snap"), .record = {"rec", 3}};
	struct rt_snapshot_rep rep;
	struct qt_err e = {0};

	if (w->snaps[i].id.s[0]) {
		if (img_drop(w->r, w->snaps[i].id, &e) < 0)
			fail_msg("drop a snapshot: %s", e.msg);
		w->snaps[i].id.s[0] = '\0';
	} else if (w->ctrs[of].id.s[0]) {
		if (rt_snapshot(&w->r->rt, &req, &rep, BUDGET_MS, &e) < 0)
			fail_msg("snapshot: %s", e.msg);
		w->snaps[i].id = req.snapshot;
		w->snaps[i].image = w->ctrs[of].image;
	}
}

/* What there should be, by what was asked for. */
static void compare(const struct walk *w)
{
	unsigned set = 0, images = 0, ctrs = 0, snaps = 0;

	for (int i = 0; i < IMAGES; i++) {
		set |= w->images[i].set;
		images += w->images[i].set != 0;
	}
	for (size_t i = 0; i < QT_LEN(w->ctrs); i++) {
		ctrs += w->ctrs[i].id.s[0] != '\0';
		snaps += w->snaps[i].id.s[0] != '\0';
	}
	rig_expect(w->r, snaps, 0);
	rig_expect_images(w->r, images, (unsigned)__builtin_popcount(set), img_blobs(images));
	rig_census(w->r, ctrs, 0);
	img_holds(w->r, set);
	for (int i = 0; i < IMAGES; i++)
		if (w->images[i].id.s[0])
			img_documented(w->r, w->images[i].id, w->images[i].set != 0);
}

/* What containers, snapshots or images stand on stays, whatever happens around it; what nobody stands on goes. Also over deaths of the runtime. */
static void random_walk(void **state)
{
	const char *again = getenv("QT_SEED");
	struct walk w = {.r = *state};
	uint32_t seed;

	qt_rnd(&seed, sizeof(seed));
	if (again)
		seed = (uint32_t)strtoul(again, NULL, 10);
	print_message("QT_SEED=%u\n", seed);
	srandom(seed);
	rig_start(w.r, NULL);
	for (unsigned n = 0; n < STEPS; n++) {
		unsigned what = pick(100);

		if (what < 40)
			step_image(&w, (int)pick(IMAGES));
		else if (what < 70)
			step_container(&w, pick(QT_LEN(w.ctrs)));
		else if (what < 95)
			step_snapshot(&w, pick(QT_LEN(w.snaps)));
		else {
			rig_kill(w.r);
			rig_start(w.r, NULL);
		}
		compare(&w);
	}
	for (unsigned i = 0; i < QT_LEN(w.ctrs); i++) {
		if (w.ctrs[i].id.s[0])
			step_container(&w, i);
		if (w.snaps[i].id.s[0])
			step_snapshot(&w, i);
	}
	for (int i = 0; i < IMAGES; i++)
		if (w.images[i].set)
			step_image(&w, i);
	compare(&w);
	rig_term(w.r);
}

/* --- fail points ----------------------------------------------------------------------------------------- */

#ifdef QT_FAILPOINTS
#define OLD   0x3U /* layers of an image that has nothing to do with it, */
#define NEW   0x6U /* of the one that is pulled, */
#define BELOW 0x2U /* and below what is taken of a container (img_take()) */

enum way { PULLS, KEEPS, TAKES, DELETES }; /* KEEPS: a pull that begins with the documents */

static int make_image(struct rig *r, enum way way, struct qt_id ctr, struct qt_id id, struct qt_err *e)
{
	return way == TAKES ? img_take(r, ctr, id, e) : img_pull_by(r, id, NEW, way == KEEPS, e);
}

static bool is_there(struct rig *r, struct qt_id id)
{
	struct rt_obj_get_req req = {.id = id};
	struct rt_obj_get_rep rep;
	struct qt_err e = {0};

	return rt_obj_get(&r->rt, &req, &rep, BUDGET_MS, &e) == 0;
}

static void expect(struct rig *r, enum way way, struct qt_id id, bool there)
{
	unsigned set = OLD | (!there ? 0 : way == TAKES ? BELOW : NEW);
	char name[RT_LAYER_NAME_MAX + 1], path[256], text[16] = "";
	struct qt_err e = {0};

	rig_expect_images(r, 1U + there, (unsigned)__builtin_popcount(set) + (way == TAKES && there), img_blobs(1U + there));
	rig_census(r, way == TAKES, 0);
	img_holds(r, set);
	img_documented(r, id, there);
	rt_layer_name(name, &id);
	(void)snprintf(path, sizeof(path), "%s/pool/layers/%s/fs/built", r->dir, name);
	(void)qt_read_file(AT_FDCWD, path, text, sizeof(text), &e);
	assert_string_equal(text, way == TAKES && there ? "here" : "");
}

/* An image that is pulled, taken or deleted, on a runtime that fails or dies at POINT: whole or nothing afterwards, and it can be asked again. */
static void hit(struct rig *r, const char *point, enum way way, bool die)
{
	struct qt_id id = qt_id_new("img"), old = qt_id_new("img"), ctr = {""};
	struct qt_err e = {0};
	char fail[64];
	int done;

	(void)snprintf(fail, sizeof(fail), "%s%s", die ? "kill:" : "", point);
	rig_start(r, NULL);
	if (img_pull(r, old, OLD, &e) < 0 || (way == DELETES && img_pull(r, id, NEW, &e) < 0))
		fail_msg("%s: %s", fail, e.msg);
	if (way == TAKES)
		ctr = img_make_container(r);
	rig_term(r);

	rig_start(r, fail);
	done = way == DELETES ? img_drop(r, id, &e) : make_image(r, way, ctr, id, &e);
	if (die) {
		assert_int_equal(done, -1);
		rig_died(r);
		rig_start(r, NULL);
		expect(r, way, id, is_there(r, id)); /* at once, before anybody asks again */
	} else if (done < 0 && way != DELETES) {
		qt_err_reset(&e);
		if (img_drop(r, id, &e) < 0) /* as the agent gives up */
			fail_msg("give up after %s: %s", fail, e.msg);
		expect(r, way, id, false);
	}
	qt_err_reset(&e);
	if (make_image(r, way, ctr, id, &e) < 0)
		fail_msg("made anew after %s: %s", fail, e.msg);
	expect(r, way, id, true);
	if (img_drop(r, id, &e) < 0)
		fail_msg("delete after %s: %s", fail, e.msg);
	expect(r, way, id, false);
	assert_int_equal(img_drop(r, old, &e), 0);
	if (way == TAKES && rig_delete(r, ctr, &e) < 0)
		fail_msg("delete a container after %s: %s", fail, e.msg);
	rig_expect_images(r, 0, 0, 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

static void survives_every_fail_point(void **state)
{
	static const struct {
		const char *verb;
		enum way way;
	} ways[] = {{"image_commit", PULLS}, {"layer_begin", PULLS}, {"layer_commit", PULLS}, {"layer_begin", KEEPS}, {"layer_commit", KEEPS},
		    {"image_commit", TAKES}, {"layer_commit", TAKES}, {"layer_take", TAKES}, {"obj_delete", DELETES}};
	unsigned n = 0;

	for (size_t i = 0; i < rig_n_points; i++)
		for (size_t k = 0; k < QT_LEN(ways); k++)
			for (int die = 0; die < 2 && qt_streq(rig_points[i].verb, ways[k].verb); die++, n++)
				hit(*state, rig_points[i].name, ways[k].way, die);
	assert_int_equal(n, 32);
}
#endif

/* --- who dies -------------------------------------------------------------------------------------------- */

/* Its agent is killed with its documents and one layer whole and another layer begun: the next that begins something has neither, before two hours are over. */
static void who_makes_it_dies(void **state)
{
	struct rig *r = *state;
	struct qt_id id = qt_id_new("img"), next = qt_id_new("img");
	struct qt_err e = {0};
	pid_t agent;
	int status;

	rig_start(r, NULL);
	agent = fork();
	assert_true(agent >= 0);
	if (agent == 0) {
		struct rt_image_begin_rep begun;
		auto_files struct qt_files f = {.sock = -1};
		char path[96], diff_id[FT_SHA256 + 1];
		struct rig mine = *r;
		struct img_begun b;
		bool there;

		img_prepare(&b, id);
		img_name_layer(&b, layers[0].hex);
		img_name_layer(&b, layers[1].hex);
		(void)snprintf(path, sizeof(path), "%s/run/runtime.sock", r->dir);
		if (rt_client_init(&mine.rt, path, &e) == 0 && rt_image_begin(&mine.rt, &b.req, &begun, BUDGET_MS, &e) == 0 &&
		    img_store_documents(&mine, id, &e) == 0 && img_store_layer(&mine, id, &layers[0], &e) == 0 && qt_files_open_layer(&f, &mine.rt, &id, layers[1].hex, &there, diff_id, &e) == 0)
			(void)kill(getpid(), SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(agent, &status, 0), agent);
	assert_true(WIFSIGNALED(status));
	img_holds(r, 1U << 0);
	if (img_pull(r, next, 1U << 2, &e) < 0)
		fail_msg("pull: %s", e.msg);
	rig_expect_images(r, 1, 1, img_blobs(1));
	rig_census(r, 0, 0);
	img_holds(r, 1U << 2);
	assert_int_equal(img_drop(r, next, &e), 0);
	rig_expect_images(r, 0, 0, 0);
	rig_census(r, 0, 0);
	rig_term(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(documents_that_lie, end),
		cmocka_unit_test_teardown(begun_anew_during_a_commit, end),
		cmocka_unit_test_teardown(built_on_a_managed_one, end),
		cmocka_unit_test_teardown(images_of_an_older_runtime, end),
		cmocka_unit_test_teardown(who_makes_it_dies, end),
		cmocka_unit_test_teardown(random_walk, end),
#ifdef QT_FAILPOINTS
		cmocka_unit_test_teardown(survives_every_fail_point, end),
#endif
	};

	return cmocka_run_group_tests_name("images on btrfs", tests, make_btrfs, unmake) +
	       cmocka_run_group_tests_name("images with copies", tests, make_ext4, unmake);
}
