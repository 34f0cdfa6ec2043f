#include "life/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "fdio.h"
#include "files/files_client.h"
#include "num.h"
#include "str.h"

#define BUDGET_MS 25000
#define STALL_MS  20000

/* Any bytes as JSON text; what is not UTF-8 becomes U+FFFD. */
static json_t *text_of(const char *s)
{
	size_t len = strlen(s);
	auto_free char *mended = malloc(3 * len + 1);

	return mended ? json_stringn_nocheck(mended, qt_utf8_mend(mended, s, len)) : json_string("");
}

static json_t *path_of(const char *dir, const char *name)
{
	char whole[2 * FT_PATH_MAX];

	(void)qt_fmt(whole, sizeof(whole), "/%s%s%s", dir, *dir && *name ? "/" : "", name);
	return text_of(whole);
}

/* Five texts a file. False: it broke the protocol. */
static bool add_files(json_t *files, const char *dir, const struct rt_strv *v)
{
	const char *p = NULL, *five[5];
	unsigned n = 0;

	while ((p = rt_strv_next(v, p))) {
		uint64_t size, mtime;
		uint32_t mode;

		five[n++] = p;
		if (n < 5)
			continue;
		n = 0;
		if (!qt_u64(&size, five[2], 0, INT64_MAX) || !qt_u32(&mode, five[3], 0, 7777) || !qt_u64(&mtime, five[4], 0, INT64_MAX))
			return false;
		json_array_append_new(files, json_pack("{s:o, s:o, s:o, s:I, s:i, s:I}", "name", text_of(five[0]), "path", path_of(dir, five[0]), "type",
						       text_of(five[1]), "size", (json_int_t)size, "mode", (int)mode, "modified", (json_int_t)mtime));
	}
	return n == 0;
}

json_t *qt_life_ls(struct qt_life *l, const struct qt_id *vol, const char *path, uint32_t page, uint32_t page_size, struct qt_err *e)
{
	uint64_t first = (uint64_t)(page - 1) * page_size;
	auto_files struct qt_files f = {.sock = -1};
	json_t *files = json_array();
	uint32_t got = 0;

	if (qt_files_open(&f, &l->rt, vol, e) < 0)
		goto fail;
	for (;;) {
		/* As much as one message holds, until the page is full. */
		const struct ft_ls_req req = {.path = rt_str(path), .offset = first + got < UINT32_MAX ? (uint32_t)(first + got) : UINT32_MAX,
					      .count = page_size - got};
		struct ft_ls_rep rep;

		if (qt_files_call(&f, FT_LS, &req, -1, &rep, sizeof(rep), NULL, NULL, BUDGET_MS, e) < 0)
			goto fail;
		if (!add_files(files, path, &rep.entries)) {
			(void)qt_fail(e, QT_E_INTERNAL_ERROR, "a list that cannot be read");
			goto fail;
		}
		got += rep.n;
		if (rep.n == 0 || got >= page_size || first + got >= rep.total)
			return json_pack("{s:o, s:o, s:I, s:I, s:I}", "path", path_of(path, ""), "files", files, "page", (json_int_t)page, "page_size",
					 (json_int_t)page_size, "total", (json_int_t)rep.total);
	}
fail:
	json_decref(files);
	return NULL;
}

int qt_life_file_write(struct qt_life *l, const struct qt_id *vol, const char *path, uint32_t mode, const void *data, size_t len, struct qt_err *e)
{
	const struct ft_write_req req = {.path = rt_str(path), .mode = mode};
	auto_close int fd = memfd_create("upload", MFD_CLOEXEC);
	auto_files struct qt_files f = {.sock = -1};
	struct ft_write_rep rep;

	if (fd < 0)
		return qt_fail_sys(e, errno, "memory for a file");
	if (qt_write_full(fd, data, len, e) < 0 || lseek(fd, 0, SEEK_SET) < 0 || qt_files_open(&f, &l->rt, vol, e) < 0)
		return -1;
	return qt_files_call(&f, FT_WRITE, &req, fd, &rep, sizeof(rep), NULL, NULL, BUDGET_MS, e);
}

int qt_life_file_delete(struct qt_life *l, const struct qt_id *vol, const char *path, struct qt_err *e)
{
	const struct ft_delete_req req = {.path = rt_str(path)};
	auto_files struct qt_files f = {.sock = -1};
	struct ft_delete_rep rep;

	if (qt_files_open(&f, &l->rt, vol, e) < 0)
		return -1;
	return qt_files_call(&f, FT_DELETE, &req, -1, &rep, sizeof(rep), NULL, NULL, BUDGET_MS, e);
}

int qt_life_file_open(struct qt_life *l, const struct qt_id *vol, const char *path, uint64_t max_bytes, struct qt_file *ret, struct qt_err *e)
{
	const struct ft_read_req req = {.path = rt_str(path), .max_bytes = max_bytes};
	auto_files struct qt_files f = {.sock = -1};
	auto_close int in = -1, out = -1;
	struct ft_read_rep rep;
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return qt_fail_sys(e, errno, "make a pipe");
	in = p[0];
	out = p[1];
	if (qt_files_open(&f, &l->rt, vol, e) < 0 || qt_files_call(&f, FT_READ, &req, out, &rep, sizeof(rep), NULL, NULL, BUDGET_MS, e) < 0)
		return -1;
	if (rep.size > max_bytes)
		return qt_fail(e, QT_E_INTERNAL_ERROR, "a file that is larger than it may be");
	*ret = (struct qt_file){.fd = qt_take_fd(&in), .hold = qt_take_fd(&f.sock), .size = rep.size, .mode = rep.mode & 07777, .mtime = (int64_t)rep.mtime};
	return 0;
}

void qt_file_done(struct qt_file *f)
{
	qt_reset_fd(&f->fd, -1);
	qt_reset_fd(&f->hold, -1);
}

ssize_t qt_file_read(struct qt_file *f, void *buf, size_t size, struct qt_err *e)
{
	struct pollfd p = {.fd = f->fd, .events = POLLIN};
	ssize_t n;
	int r;

	do
		r = poll(&p, 1, STALL_MS);
	while (r < 0 && errno == EINTR);
	n = r > 0 ? read(f->fd, buf, size) : -1;
	return n >= 0 ? n : qt_fail(e, QT_E_RUNTIME_UNAVAILABLE, "the file stopped coming");
}

bool qt_file_mode(uint32_t *ret, uint64_t sent)
{
	/* Raw modes that consist of octal digits: read as digits they would be nonsense. */
	static const uint32_t raw[] = {0644, 0664, 0640, 0555, 0777};
	uint32_t octal = 0;

	for (size_t i = 0; i < QT_LEN(raw); i++)
		if (sent == raw[i]) {
			*ret = raw[i];
			return true;
		}
	if (sent > 1777)
		return false;
	for (uint64_t left = sent, place = 0; left > 0; left /= 10, place += 3) {
		if (left % 10 > 7) {
			octal = (uint32_t)sent;
			break;
		}
		octal |= (uint32_t)(left % 10) << place;
	}
	*ret = octal;
	return octal <= 01777;
}

unsigned qt_file_mode_digits(uint32_t mode)
{
	unsigned digits = 0;

	for (unsigned place = 1; mode > 0; mode >>= 3, place *= 10)
		digits += (mode & 7) * place;
	return digits;
}
