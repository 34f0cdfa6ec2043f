#include "image_rig.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "cleanup.h"
#include "fdio.h"
#include "files/files_client.h"
#include "rnd.h"
#include "str.h"

struct img_layer layers[LAYERS];

void img_make_layers(void)
{
	for (unsigned i = 0; i < LAYERS; i++) {
		struct img_layer *l = &layers[i];
		unsigned char hash[32];
		unsigned sum = 0;
		size_t len = 0;

		memset(l->tar, 0, sizeof(l->tar));
		(void)snprintf(l->tar, 100, "file-%u", i);
		memcpy(l->tar + 100, "0000644\0" "0000000\0" "0000000\0" "00000000005\0" "00000000000\0" "        0", 57);
		memcpy(l->tar + 257, "ustar\0" "00", 8);
		for (int k = 0; k < 512; k++)
			sum += (unsigned char)l->tar[k];
		(void)snprintf(l->tar + 148, 8, "%06o", sum);
		(void)snprintf(l->tar + 512, 512, "is %02u", i);
		assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, l->tar, sizeof(l->tar), hash, &len), 1);
		qt_hex(l->hex, hash, sizeof(hash));
		l->fd = memfd_create("layer", MFD_CLOEXEC);
		assert_int_equal(write(l->fd, l->tar, sizeof(l->tar)), sizeof(l->tar));
	}
}

struct qt_id img_tenant(void)
{
	struct qt_id t;

	assert_true(qt_id_parse(&t, "ten", "ten_a"));
	return t;
}

/* --- a pull, as the agent asks for it -------------------------------------------------------------------- */

int img_store_layer(struct rig *r, struct qt_id id, const struct img_layer *l, struct qt_err *e)
{
	const struct ft_layer_req req = {.digest = rt_str(l->hex)};
	struct rt_layer_commit_req commit = {.id = id, .digest = rt_str(l->hex), .diff_id = rt_str(l->hex)};
	struct rt_layer_commit_rep committed;
	auto_files struct qt_files f = {.sock = -1};
	char diff_id[FT_SHA256 + 1] = "";
	struct ft_layer_rep rep;
	bool there = false;

	if (qt_files_open_layer(&f, &r->rt, &id, l->hex, &there, diff_id, e) < 0)
		return -1;
	if (there) {
		assert_string_equal(diff_id, l->hex);
		return 0;
	}
	if (qt_files_call(&f, FT_LAYER, &req, l->fd, &rep, sizeof(rep), NULL, NULL, BUDGET_MS, e) < 0)
		return -1;
	assert_string_equal(rep.diff_id.s, l->hex);
	return rt_layer_commit(&r->rt, &commit, &committed, BUDGET_MS, e);
}

void img_digest(char *hex, const char *text)
{
	unsigned char hash[32];
	size_t len = 0;

	assert_int_equal(EVP_Q_digest(NULL, "SHA256", NULL, text, strlen(text), hash, &len), 1);
	qt_hex(hex, hash, sizeof(hash));
}

static int store_document(struct rig *r, struct qt_id id, const char *text, struct qt_err *e)
{
	char hex[FT_SHA256 + 1], none[FT_SHA256 + 1];
	struct ft_blob_req req;
	struct rt_layer_commit_req commit = {.id = id, .diff_id = rt_str("")};
	struct rt_layer_commit_rep committed;
	auto_files struct qt_files f = {.sock = -1};
	auto_close int fd = memfd_create("document", MFD_CLOEXEC);
	struct ft_blob_rep rep;
	bool there = false;

	img_digest(hex, text);
	req.digest = commit.digest = rt_str(hex);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	if (qt_files_open_layer(&f, &r->rt, &id, hex, &there, none, e) < 0)
		return -1;
	if (there)
		return 0;
	if (qt_files_call(&f, FT_BLOB, &req, fd, &rep, sizeof(rep), NULL, NULL, BUDGET_MS, e) < 0)
		return -1;
	assert_int_equal(rep.size, strlen(text));
	return rt_layer_commit(&r->rt, &commit, &committed, BUDGET_MS, e);
}

int img_store_documents(struct rig *r, struct qt_id id, struct qt_err *e)
{
	return store_document(r, id, id.s, e) < 0 ? -1 : store_document(r, id, IMG_CONFIG, e);
}

void img_name_layer(struct img_begun *b, const char *hex)
{
	assert_true(rt_strv_add(&b->req.layers, b->layers, sizeof(b->layers), hex));
}

void img_prepare(struct img_begun *b, struct qt_id id)
{
	char hex[FT_SHA256 + 1];

	*b = (struct img_begun){.req = {.id = id, .tenant = img_tenant()}};
	b->req.layers.s = b->layers;
	b->req.blobs.s = b->blobs;
	img_digest(hex, id.s);
	assert_true(rt_strv_add(&b->req.blobs, b->blobs, sizeof(b->blobs), hex));
	img_digest(hex, IMG_CONFIG);
	assert_true(rt_strv_add(&b->req.blobs, b->blobs, sizeof(b->blobs), hex));
}

int img_pull_by(struct rig *r, struct qt_id id, unsigned set, bool documents_first, struct qt_err *e)
{
	struct rt_image_commit_req commit = {.id = id, .size_bytes = 1, .record = {"rec", 3}};
	struct rt_image_commit_rep committed;
	struct rt_image_begin_rep rep;
	struct img_begun b;

	img_prepare(&b, id);
	for (unsigned i = 0; i < LAYERS; i++)
		if (set & 1U << i)
			img_name_layer(&b, layers[i].hex);
	if (rt_image_begin(&r->rt, &b.req, &rep, BUDGET_MS, e) < 0)
		return -1;
	if (rep.there)
		return 0;
	if (documents_first && img_store_documents(r, id, e) < 0)
		return -1;
	for (unsigned i = 0; i < LAYERS; i++)
		if ((set & 1U << i) && img_store_layer(r, id, &layers[i], e) < 0)
			return -1;
	if (!documents_first && img_store_documents(r, id, e) < 0)
		return -1;
	return rt_image_commit(&r->rt, &commit, &committed, BUDGET_MS, e);
}

int img_pull(struct rig *r, struct qt_id id, unsigned set, struct qt_err *e)
{
	return img_pull_by(r, id, set, true, e);
}

struct qt_id img_make_container(struct rig *r)
{
	struct rt_create_req req = rig_create_req(qt_id_new("ctr"));
	struct rt_create_rep rep;
	struct qt_err e = {0};
	auto_close int fd = -1;
	char path[256];

	req.no_start = 1;
	if (rt_create(&r->rt, &req, &rep, BUDGET_MS, &e) < 0)
		fail_msg("create: %s", e.msg);
	(void)snprintf(path, sizeof(path), "%s/pool/ctr/%s/upper/built", r->dir, req.id.s);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	assert_int_equal(write(fd, "here", 4), 4);
	return req.id;
}

int img_take(struct rig *r, struct qt_id ctr, struct qt_id id, struct qt_err *e)
{
	struct rt_layer_take_req req = {.id = ctr, .image = id};
	struct rt_layer_commit_req whole = {.id = id, .diff_id = rt_str(layers[0].hex)};
	struct rt_image_commit_req commit = {.id = id, .size_bytes = 1, .record = {"rec", 3}};
	char name[RT_LAYER_NAME_MAX + 1];
	struct rt_image_commit_rep committed;
	struct rt_layer_commit_rep done;
	struct rt_layer_take_rep taken;
	struct rt_image_begin_rep rep;
	struct img_begun b;

	rt_layer_name(name, &id);
	req.digest = whole.digest = rt_str(name);
	img_prepare(&b, id);
	img_name_layer(&b, layers[1].hex);
	img_name_layer(&b, name);
	if (rt_image_begin(&r->rt, &b.req, &rep, BUDGET_MS, e) < 0)
		return -1;
	if (rep.there)
		return 0;
	if (rt_layer_take(&r->rt, &req, &taken, BUDGET_MS, e) < 0 || rt_layer_commit(&r->rt, &whole, &done, BUDGET_MS, e) < 0 || img_store_documents(r, id, e) < 0)
		return -1;
	return rt_image_commit(&r->rt, &commit, &committed, BUDGET_MS, e);
}

int img_drop(struct rig *r, struct qt_id id, struct qt_err *e)
{
	struct rt_obj_delete_req req = {.id = id};
	struct rt_obj_delete_rep rep;

	return rt_obj_delete(&r->rt, &req, &rep, BUDGET_MS, e);
}

void img_holds(struct rig *r, unsigned set)
{
	for (unsigned i = 0; i < LAYERS; i++) {
		char path[256], text[16] = "";
		struct qt_err e = {0};

		(void)snprintf(path, sizeof(path), "%s/pool/layers/%s/fs/file-%u", r->dir, layers[i].hex, i);
		assert_int_equal(qt_read_file(AT_FDCWD, path, text, sizeof(text), &e) >= 0, (set >> i) & 1);
		if (set & 1U << i)
			assert_int_equal(atoi(text + 3), i);
	}
}

unsigned img_blobs(unsigned images)
{
	return images > 0 ? images + 1 : 0;
}

void img_documented(struct rig *r, struct qt_id id, bool there)
{
	static const char *const names[] = {"manifest.json", "config.json"};
	const char *const texts[] = {id.s, IMG_CONFIG};
	char path[256], text[64] = "";
	static char index[1 << 16];
	struct qt_err e = {0};

	for (int i = 0; i < 2; i++) {
		struct rt_image_file_req req = {.image = rt_str(id.s), .path = rt_str(names[i])};
		struct rt_image_file_rep rep;
		auto_close int fd = -1;

		qt_err_reset(&e);
		memset(text, 0, sizeof(text));
		assert_int_equal(rt_call(&r->rt, RT_IMAGE_FILE, &req, NULL, &rep, &fd, BUDGET_MS, &e), there ? 0 : -1);
		assert_true(!there || read(fd, text, sizeof(text) - 1) == (ssize_t)rep.size_bytes);
		assert_string_equal(text, there ? texts[i] : "");
	}
	(void)snprintf(path, sizeof(path), "%s/pool/oci/index.json", r->dir);
	assert_true(qt_read_file(AT_FDCWD, path, index, sizeof(index), &e) > 0);
	assert_int_equal(strstr(index, id.s) != NULL, there);
}

