#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "b64.h"
#include "buf.h"
#include "cleanup.h"
#include "files/proto.h"
#include "handlers.h"
#include "life/files.h"
#include "query.h"
#include "spool.h"
#include "str.h"

/* A path out of a body or a query, made plain. */
static int plain(char *out, const char *field, const char *path, struct qt_err *e)
{
	struct qt_err why = {0};

	if (ft_path(out, path, &why) == 0)
		return 0;
	return qt_fail_field(e, QT_E_VALIDATION_ERROR, field, "a path inside the tree", "%s", why.msg);
}

/* The file of …/files/{path*}: one segment with %2F in it, or several, or both. */
static int path_of(const struct qt_call *c, char *out, struct qt_err *e)
{
	struct qt_buf b = QT_BUF(2 * FT_PATH_MAX);
	struct qt_err full = {0};
	int r = 0;

	for (size_t i = 0; r == 0 && c->rest[i]; i++)
		r = qt_buf_fmt(&b, &full, "%s%s", i ? "/" : "", c->rest[i]);
	r = r < 0 ? qt_fail(e, QT_E_VALIDATION_ERROR, "the path is too long") : plain(out, "", b.data ? b.data : "", e);
	qt_buf_done(&b);
	return r;
}

int qt_h_files_ls(struct qt_call *c, struct qt_err *e)
{
	auto_vol struct qt_vol v = {0};
	char path[FT_PATH_MAX];

	if (plain(path, "path", qt_query_str(c, "path", "/"), e) < 0 || qt_h_volume(c, &v, e) < 0)
		return -1;
	c->reply = qt_life_ls(c->life, &v.id, path, (uint32_t)qt_query_u64(c, "page", 1), (uint32_t)qt_query_u64(c, "page_size", 100), e);
	return c->reply ? 0 : -1;
}

int qt_h_files_write(struct qt_call *c, struct qt_err *e)
{
	const struct qt_file_req *q = c->req;
	const char *text = json_string_value(q->content);
	size_t len = json_string_length(q->content);
	auto_free unsigned char *data = malloc(len / 4 * 3 + 3);
	auto_vol struct qt_vol v = {0};
	struct qt_b64 b = {0};
	char path[FT_PATH_MAX];
	uint32_t mode;
	ssize_t n;

	if (!data)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	n = qt_b64_decode(&b, data, text, len);
	if (n < 0 || !qt_b64_ended(&b))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/content", "base64", "content is not base64");
	if (!qt_file_mode(&mode, q->mode))
		return qt_fail_field(e, QT_E_VALIDATION_ERROR, "/mode", "644; 420", "this is no mode of a file");
	if (plain(path, "/path", q->path, e) < 0 || qt_h_volume(c, &v, e) < 0 ||
	    qt_life_file_write(c->life, &v.id, path, mode, data, (size_t)n, e) < 0)
		return -1;
	c->reply = json_pack("{s:b, s:s+, s:I}", "success", 1, "path", "/", path, "size", (json_int_t)n);
	return 0;
}

int qt_h_files_delete(struct qt_call *c, struct qt_err *e)
{
	auto_vol struct qt_vol v = {0};
	char path[FT_PATH_MAX];

	if (path_of(c, path, e) < 0 || qt_h_volume(c, &v, e) < 0 || qt_life_file_delete(c->life, &v.id, path, e) < 0)
		return -1;
	c->reply = json_pack("{s:b}", "success", 1);
	return 0;
}

/* --- download -------------------------------------------------------------------------------------------- */

/* Bytes, or JSON: contract 8, "File download". */
static bool wants_bytes(const struct qt_call *c)
{
	const char *raw = qt_query_str(c, "raw", "0");

	return qt_streq(raw, "1") || qt_streq(raw, "true") || strcasestr(c->accept, "application/octet-stream");
}

/* The whole of it, which is bounded, as base64. */
static int as_json(struct qt_call *c, const char *path, struct qt_file *f, struct qt_err *e)
{
	auto_free char *data = malloc(f->size + 1), *text = malloc((f->size + 2) / 3 * 4 + 1);
	size_t got = 0;

	if (!data || !text)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	while (got < f->size) {
		ssize_t n = qt_file_read(f, data + got, f->size - got, e);

		if (n < 0)
			return -1;
		if (n == 0)
			break; /* it was cut meanwhile: then that is what it holds */
		got += (size_t)n;
	}
	qt_b64_encode(text, data, got);
	c->reply = json_pack("{s:s+, s:s, s:I, s:i, s:I}", "path", "/", path, "content", text, "size", (json_int_t)got, "mode",
			     (int)qt_file_mode_digits(f->mode), "modified", (json_int_t)f->mtime);
	return 0;
}

static int as_bytes(struct qt_call *c, struct qt_file *f, struct qt_err *e)
{
	c->file = malloc(sizeof(*c->file));
	if (!c->file)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	*c->file = *f;
	*f = (struct qt_file){.fd = -1, .hold = -1};
	return 0;
}

int qt_h_files_read(struct qt_call *c, struct qt_err *e)
{
	const struct qt_conf *conf = c->life->conf;
	auto_vol struct qt_vol v = {0};
	bool bytes = wants_bytes(c);
	struct qt_file f = {.fd = -1, .hold = -1};
	char path[FT_PATH_MAX];
	int r;

	if (path_of(c, path, e) < 0 || qt_h_volume(c, &v, e) < 0)
		return -1;
	r = qt_life_file_open(c->life, &v.id, path, bytes ? conf->max_archive_bytes : conf->max_body_bytes, &f, e);
	if (r < 0 && e->code == QT_E_PAYLOAD_TOO_LARGE && !bytes)
		e->hint = "Ask for the bytes themselves: ?raw=1, or Accept: application/octet-stream.";
	if (r == 0)
		r = bytes ? as_bytes(c, &f, e) : as_json(c, path, &f, e);
	qt_file_done(&f);
	return r;
}

/* --- archives -------------------------------------------------------------------------------------------- */

/* That a client hears at once of a plain mistake: gzip by its magic, or whole blocks of tar. The rest is the operation's. */
int qt_h_looks_like_archive(int fd, struct qt_err *e)
{
	unsigned char magic[512];
	ssize_t n = pread(fd, magic, sizeof(magic), 0);

	if (n == sizeof(magic) || (n >= 2 && magic[0] == 0x1f && magic[1] == 0x8b))
		return 0;
	return qt_fail(e, QT_E_ARCHIVE_REFUSED, "this is neither tar nor tar.gz");
}

/* The arguments, from the JSON's members or the query. */
static int archive_args(struct qt_call *c, struct qt_op *o, struct qt_err *e)
{
	const struct qt_archive_req *q = c->req;
	char path[FT_PATH_MAX];

	if (plain(path, q ? "/path" : "path", q ? q->path : qt_query_str(c, "path", "/"), e) < 0 || qt_h_looks_like_archive(c->upload, e) < 0)
		return -1;
	json_object_set_new(o->args, "path", json_sprintf("/%s", path));
	json_object_set_new(o->args, "strip_components", json_integer((json_int_t)(q ? q->strip : qt_query_u64(c, "strip_components", 0))));
	return 0;
}

static int submit(struct qt_call *c, struct qt_op *o, struct qt_err *e)
{
	o->tenant = c->tenant;
	o->id = qt_id_new("op");
	if (archive_args(c, o, e) < 0 || qt_spool_keep(c->life->conf, c->upload, o, e) < 0)
		return -1;
	if (qt_h_receipt_op(c, o, e) == 0)
		return 0;
	qt_spool_drop(c->life->conf, o);
	return -1;
}

int qt_h_ctr_archive(struct qt_call *c, struct qt_err *e)
{
	auto_ctr struct qt_ctr k = {0};
	auto_op struct qt_op o = {0};

	if (qt_h_container(c, &k, e) < 0 || qt_life_may(&k, QT_V_EXEC, e) < 0)
		return -1;
	qt_op_init(&o);
	o.type = QT_OPT_CTR_ARCHIVE;
	o.container = k.id;
	(void)qt_copy(o.node, sizeof(o.node), k.node);
	return submit(c, &o, e);
}

int qt_h_vol_archive(struct qt_call *c, struct qt_err *e)
{
	auto_vol struct qt_vol v = {0};
	auto_op struct qt_op o = {0};

	if (qt_h_volume(c, &v, e) < 0)
		return -1;
	qt_op_init(&o);
	o.type = QT_OPT_VOL_ARCHIVE;
	(void)qt_copy(o.volume, sizeof(o.volume), v.name);
	(void)qt_copy(o.node, sizeof(o.node), v.node);
	json_object_set_new(o.args, "volume_id", json_string(v.id.s));
	return submit(c, &o, e);
}
