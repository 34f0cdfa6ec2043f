/* The context, unpacked where nobody but quilt-files looks: in the tree of an image that is never finished. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "build.h"
#include "cleanup.h"
#include "clock.h"
#include "files.h"
#include "files/files_client.h"
#include "spool.h"
#include "str.h"

#define IGNORE_BYTES 16384 /* of FT_PACK's field */

int qt_build_file(const struct qt_build *b, struct qt_err *e)
{
	char dir[300];
	int fd;

	(void)qt_fmt(dir, sizeof(dir), "%s/agent", b->l->conf->state_dir);
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	return fd >= 0 ? fd : qt_fail_sys(e, errno, "make a file for a build");
}

static int begin(struct qt_build *b, struct qt_err *e)
{
	struct rt_image_begin_req req = {.tenant = b->o->tenant};
	struct rt_image_begin_rep rep;
	char text[QT_ID_MAX + 1], name[RT_LAYER_NAME_MAX + 1], buf[RT_LAYER_NAME_MAX + 1];

	if (!qt_fmt(text, sizeof(text), "img_%sc", b->o->id.s + strlen("op_")) || !qt_id_parse(&b->context, "img", text))
		return qt_fail(e, QT_E_INTERNAL_ERROR, "the operation's id is too long");
	req.id = b->context;
	rt_layer_name(name, &b->context); /* it must have one, and never gets it */
	req.layers = (struct rt_strv){buf, 0, 0};
	(void)rt_strv_add(&req.layers, buf, sizeof(buf), name);
	return rt_image_begin(&b->l->rt, &req, &rep, QT_BUILD_BUDGET_MS, e);
}

static bool heard(void *arg, unsigned percent)
{
	struct qt_build *b = arg;

	(void)percent;
	return !qt_op_cancelled(b->l, b->o);
}

static int unpack(struct qt_build *b, struct qt_err *e)
{
	const struct ft_extract_req req = {.path = rt_str(""), .name = rt_str("")};
	auto_close int fd = qt_spool_open(b->l->conf, b->o, e);
	auto_files struct qt_files f = {.sock = -1};
	int64_t left = b->o->deadline_ms - qt_now_ms();
	struct ft_extract_rep rep;

	if (fd < 0 && e->code == QT_E_FILE_NOT_FOUND) {
		qt_err_reset(e);
		return qt_fail(e, QT_E_BUILD_CONTEXT_NOT_FOUND, "it is not there any more");
	}
	if (fd < 0 || qt_files_open(&f, &b->l->rt, &b->context, e) < 0)
		return -1;
	return qt_files_call(&f, FT_EXTRACT, &req, fd, &rep, sizeof(rep), heard, b, (int)(left > 0 ? left : 0), e);
}

/* free(); NULL with E: FILE_NOT_FOUND … */
static char *read_text(struct qt_build *b, const char *path, uint64_t max, size_t *ret_len, struct qt_err *e)
{
	struct qt_file f = {.fd = -1, .hold = -1};
	auto_free char *text = NULL;
	size_t len = 0;
	ssize_t n = 1;

	if (qt_life_file_open(b->l, &b->context, path, max, &f, e) < 0)
		return NULL;
	text = malloc(f.size + 1);
	while (text && len < f.size && n > 0) {
		n = qt_file_read(&f, text + len, f.size - len, e);
		len += n > 0 ? (size_t)n : 0;
	}
	qt_file_done(&f);
	if (!text || len < f.size)
		return (void)qt_fail(e, QT_E_UNAVAILABLE, "a file of the context cannot be read"), NULL;
	text[len] = '\0';
	*ret_len = len;
	return qt_take(&text);
}

/* Lines without comments and spaces; "./" and "/" before them, and "/" behind, mean nothing. */
static int add_lines(struct qt_build *b, char *text, struct qt_err *e)
{
	char *save = NULL;

	for (char *p = strtok_r(text, "\n", &save); p; p = strtok_r(NULL, "\n", &save)) {
		bool not = false;
		size_t n;

		p += strspn(p, " \t\r");
		n = strlen(p);
		while (n > 0 && strchr(" \t\r", p[n - 1]))
			p[--n] = '\0';
		if (*p == '#' || !*p)
			continue;
		if (*p == '!') {
			not = true;
			p++;
			p += strspn(p, " \t");
		}
		while (*p == '/' || qt_starts(p, "./"))
			p += *p == '/' ? 1 : 2;
		n = strlen(p);
		while (n > 0 && p[n - 1] == '/')
			p[--n] = '\0';
		if (!*p || qt_streq(p, "."))
			continue;
		if (not)
			*--p = '!'; /* something was taken away there */
		if (!rt_strv_add(&b->ignored, b->ignore, IGNORE_BYTES, p))
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, ".dockerignore has more than %d bytes", IGNORE_BYTES);
	}
	return 0;
}

static int read_ignore(struct qt_build *b, const char *dockerfile, struct qt_err *e)
{
	auto_free char *text = NULL;
	char path[FT_PATH_MAX];
	size_t len;

	b->ignore = malloc(IGNORE_BYTES);
	if (!b->ignore)
		return qt_fail(e, QT_E_UNAVAILABLE, "out of memory");
	b->ignored = (struct rt_strv){b->ignore, 0, 0};
	if (qt_fmt(path, sizeof(path), "%s.dockerignore", dockerfile))
		text = read_text(b, path, 4 * IGNORE_BYTES, &len, e);
	if (!text && e->code == QT_E_FILE_NOT_FOUND) {
		qt_err_reset(e);
		text = read_text(b, ".dockerignore", 4 * IGNORE_BYTES, &len, e);
	}
	if (!text && e->code == QT_E_FILE_NOT_FOUND) {
		qt_err_reset(e);
		return 0;
	}
	if (!text)
		return qt_context(e, ".dockerignore");
	if (strlen(text) != len || qt_utf8_span(text, len) != len)
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, ".dockerignore is not text in UTF-8");
	return add_lines(b, text, e);
}

int qt_build_open_context(struct qt_build *b, struct qt_err *e)
{
	const char *path = json_string_value(json_object_get(b->o->args, "dockerfile_path"));
	auto_free char *text = NULL;
	size_t len = 0;

	path = path ? path : "Dockerfile";
	if (begin(b, e) < 0)
		return -1;
	if (unpack(b, e) < 0)
		return e->code == QT_E_BUILD_CONTEXT_NOT_FOUND ? -1 : qt_context(e, "the context");
	text = read_text(b, path, QT_DF_BYTES, &len, e);
	if (!text) {
		if (e->code != QT_E_FILE_NOT_FOUND && e->code != QT_E_VALIDATION_ERROR && e->code != QT_E_PAYLOAD_TOO_LARGE)
			return -1;
		if (e->code == QT_E_PAYLOAD_TOO_LARGE) {
			qt_err_reset(e);
			return qt_fail(e, QT_E_DOCKERFILE_INVALID, "it has more than %u bytes", QT_DF_BYTES);
		}
		qt_err_reset(e);
		return qt_fail(e, QT_E_DOCKERFILE_INVALID, "the context has no file %.100s", path);
	}
	return qt_df_parse(&b->file, text, len, e) < 0 ? -1 : read_ignore(b, path, e);
}

void qt_build_close_context(struct qt_build *b)
{
	struct rt_obj_delete_req req = {.id = b->context};
	struct rt_obj_delete_rep rep;

	if (b->context.s[0])
		(void)rt_obj_delete(&b->l->rt, &req, &rep, QT_BUILD_BUDGET_MS, &(struct qt_err){0});
}
